//! Wait queues: a word for each port and set, and the list of those that an operation wakes.

use super::arena::{Table, Zeroed};
use super::id::{Id, PortId, SetId};
use crate::error::ReserveError;
use crate::host::{Meanwhile, cpu, futex};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::time::Instant;

/// A word that changes with every event, and the number of threads that wait for it.
#[derive(Debug)]
pub(crate) struct WaitWord {
    sequence: AtomicU32,
    sleepers: AtomicU32,
    /// CPU of the thread that waited last, plus one; 0 when none did.
    cpu: AtomicU32,
}

// SAFETY: three integers.
#[allow(unsafe_code)]
unsafe impl Zeroed for WaitWord {}

/// Longest spin of a waiting thread before it sleeps: about four traps.
const SPIN: Duration = Duration::from_micros(50);

/// Result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Something happened; look again.
    Event,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

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

impl WaitWord {
    /// Reads the word, which a caller does under the kernel's lock together with the state that it waits for.
    pub(crate) fn sequence(&self) -> u32 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// Waits until something happens after `sequence` was read. Spins first only if `spin` says so.
    pub(crate) fn wait(&self, sequence: u32, deadline: Option<Instant>, spin: bool) -> Waited {
        self.cpu
            .store(cpu::current().wrapping_add(1), Ordering::Relaxed);
        if spin && self.spin(sequence) {
            return Waited::Event;
        }
        let timeout = match deadline {
            None => None,
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                Some(rest) if !rest.is_zero() => Some(rest),
                _ => return Waited::TimedOut,
            },
        };
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let outcome = futex::wait(&self.sequence, sequence, timeout);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        match outcome {
            futex::Wait::Woken | futex::Wait::Changed => Waited::Event,
            futex::Wait::TimedOut => Waited::TimedOut,
            futex::Wait::Interrupted => Waited::Interrupted,
        }
    }

    fn spin(&self, sequence: u32) -> bool {
        let start = Instant::now();
        loop {
            for _ in 0..32 {
                if self.sequence() != sequence {
                    return true;
                }
                core::hint::spin_loop();
            }
            if start.elapsed() > SPIN {
                return false;
            }
        }
    }

    /// Says that something happened. Called after the kernel's lock was given back, so that a spinning thread does not run into
    /// it.
    pub(crate) fn signal(&self) {
        self.sequence.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            futex::wake(&self.sequence, u32::MAX);
        }
    }

    /// Returns whether the thread that waited here last ran on another CPU than the caller: only then can spinning win.
    pub(crate) fn waiter_is_elsewhere(&self) -> bool {
        let waiter = self.cpu.load(Ordering::Relaxed);
        waiter != 0 && waiter != cpu::current().wrapping_add(1)
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

/// The wait words of one kernel, by identifier. They outlive the objects: a thread may still look at the word of an object that
/// died.
#[derive(Debug)]
pub(crate) struct WaitWords {
    ports: Table<WaitWord>,
    sets: Table<WaitWord>,
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
    pub(crate) fn of(&self, object: WaitOn) -> &WaitWord {
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
                self.words.of(object).signal();
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
