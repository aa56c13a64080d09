//! Wait queues: a [wait word](super::wait_word) for each port and set, and the list of those that an operation wakes.

use super::arena::{Table, Zeroed};
use super::id::{Id, PortId, SetId};
use super::pool::HandOff;
use super::wait_word::{WaitWord, Waited};
use crate::error::ReserveError;
use crate::host::Meanwhile;

// SAFETY: three integers.
#[allow(unsafe_code)]
unsafe impl Zeroed for WaitWord {}

impl Waited {
    /// Returns the result, with what happened to the waiting thread meanwhile: an abort ends its wait, a suspension does not.
    pub(super) fn with(self, meanwhile: Meanwhile) -> Self {
        match (self, meanwhile) {
            (_, Meanwhile::Aborted) => Self::Interrupted,
            (Self::Interrupted, Meanwhile::Suspended) => Self::Event,
            (waited, _) => waited,
        }
    }
}

/// The object whose events a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitOn {
    Port(PortId),
    Set(SetId),
}

impl WaitOn {
    /// Returns the object as a word, which is never 0. Slots are below 2^31.
    pub(super) fn to_word(self) -> u32 {
        match self {
            Self::Port(port) => port.to_word() << 1,
            Self::Set(set) => set.to_word() << 1 | 1,
        }
    }

    /// Returns the object in a word; `None` for 0.
    pub(super) fn from_word(word: u32) -> Option<Self> {
        if word & 1 == 0 {
            PortId::from_word(word >> 1).map(Self::Port)
        } else {
            SetId::from_word(word >> 1).map(Self::Set)
        }
    }
}

/// The words that threads which wait for an object use without the kernel's lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Waiting {
    pub(crate) word: WaitWord,
    /// The reply to the kernel's request, on a reply port of the kernel's.
    pub(crate) hand_off: HandOff,
}

// SAFETY: of both all bytes zero are valid.
#[allow(unsafe_code)]
unsafe impl Zeroed for Waiting {}

/// The wait words of one kernel, by identifier. They outlive the objects: a thread may still look at the word of an object that
/// died.
#[derive(Debug)]
pub(crate) struct WaitWords {
    ports: Table<Waiting>,
    sets: Table<Waiting>,
}

impl WaitWords {
    #[inline]
    pub(crate) fn new(ports: u32, sets: u32) -> Result<Self, ReserveError> {
        Ok(Self {
            ports: Table::new("the wait words of ports", ports as usize)?,
            sets: Table::new("the wait words of port sets", sets as usize)?,
        })
    }

    #[inline]
    pub(crate) fn of(&self, object: WaitOn) -> &Waiting {
        let (words, slot) = match object {
            WaitOn::Port(port) => (&self.ports, port.slot()),
            WaitOn::Set(set) => (&self.sets, set.slot()),
        };
        &words.as_slice()[slot.get() as usize - 1]
    }
}

const LENGTH: usize = 16;

/// The objects whose waiting threads an operation wakes, once it has given the kernel's lock back.
#[derive(Debug)]
pub(crate) struct Wakes<'k> {
    words: &'k WaitWords,
    /// The objects, each as [`WaitOn::to_word`].
    objects: [u32; LENGTH],
    count: usize,
}

impl<'k> Wakes<'k> {
    #[inline]
    pub(crate) fn new(words: &'k WaitWords) -> Self {
        Self {
            words,
            objects: [0; LENGTH],
            count: 0,
        }
    }

    #[inline]
    pub(crate) fn words(&self) -> &'k WaitWords {
        self.words
    }

    /// Notes that the threads that wait on this object have to look again.
    #[inline]
    pub(crate) fn add(&mut self, object: WaitOn) {
        let object = object.to_word();
        if self.objects[..self.count].contains(&object) {
            return;
        }
        if self.count == LENGTH {
            // More than usual (a port in many sets died): these threads are woken early and wait for the lock.
            self.flush();
        }
        self.objects[self.count] = object;
        self.count += 1;
    }

    #[inline]
    fn flush(&mut self) {
        for word in &self.objects[..self.count] {
            if let Some(object) = WaitOn::from_word(*word) {
                self.words.of(object).word.signal();
            }
        }
        self.count = 0;
    }
}

impl Drop for Wakes<'_> {
    #[inline]
    fn drop(&mut self) {
        self.flush();
    }
}
