//! Answers that are put off.

use crate::delivery::Delivery;
use crate::error::{ReplyError, StateError};
use crate::question::{NewState, Question};
use alloc::boxed::Box;
use alloc::vec;
use mach_sys::exception::ExceptionType;
use mach_sys::machine::Machine;
use mach_sys::mig::Request;
use mach_sys::rights::ThreadRight;
use mach_sys::thread_state::{Flavor, StateError as Mismatch, THREAD_STATE_MAX, ThreadState};
use mach_sys::types::{mach_msg_type_number_t, natural_t, thread_state_flavor_t};

/// Words of a reply before its state.
const REPLY_HEADER_WORDS: usize = 11;

/// Memory for one deferred exception: to be made before it is needed, since nothing may allocate on the way of an exception.
#[derive(Debug, Default)]
pub struct DeferSlot {
    state: Box<[u32]>,
    new_state: Box<[u32]>,
    reply: Box<[u32]>,
}

impl DeferSlot {
    /// Room for a state of `count` words; 0 for behaviors without state.
    #[must_use]
    pub fn with_room(count: mach_msg_type_number_t) -> Self {
        let count = (count as usize).min(THREAD_STATE_MAX);
        Self {
            state: vec![0; count].into_boxed_slice(),
            new_state: vec![0; count].into_boxed_slice(),
            reply: vec![0; REPLY_HEADER_WORDS + count].into_boxed_slice(),
        }
    }

    /// Room for a state of type `S`.
    #[must_use]
    pub fn for_state<S: ThreadState>() -> Self {
        Self::with_room(S::COUNT)
    }

    /// Room for the state that a delivery brings.
    #[must_use]
    pub fn for_delivery(delivery: Delivery) -> Self {
        let count = Flavor::new(Machine::NATIVE, delivery.flavor()).count();
        Self::with_room(count.filter(|_| delivery.has_state()).unwrap_or(0))
    }

    /// The most words of a state.
    pub(crate) fn room(&self) -> usize {
        self.state.len()
    }
}

/// An exception whose answer was put off: owns all that it needs, and can be answered from any thread. Dropping it declines.
///
/// A thread that waits for an answer of this kind is a request in flight of its route.
#[must_use = "dropping a deferred exception declines it"]
#[derive(Debug)]
pub struct Deferred {
    question: Question,
    kind: ExceptionType,
    codes: [i64; 2],
    tag: u64,
    /// Flavor and length of the state that came.
    state: Option<(thread_state_flavor_t, usize)>,
    new_state: Option<(thread_state_flavor_t, usize)>,
    slot: DeferSlot,
}

impl Deferred {
    /// `new_state` is the one that was set before, if any. The slot has room for both.
    pub(crate) fn new(
        request: &Request<'_>,
        question: Question,
        tag: u64,
        new_state: Option<NewState<'_>>,
        slot: DeferSlot,
    ) -> Self {
        let mut deferred = Self {
            question,
            kind: request.exception(),
            codes: crate::exception::two_codes(request),
            tag,
            state: None,
            new_state: None,
            slot,
        };
        deferred.state = request.flavor().and_then(|flavor| {
            let words = request.old_state().copy_to(&mut deferred.slot.state)?;
            Some((flavor, words.len()))
        });
        if let Some((flavor, words)) = new_state {
            if let Some(room) = deferred.slot.new_state.get_mut(..words.len()) {
                room.copy_from_slice(words);
                deferred.new_state = Some((flavor, words.len()));
            }
        }
        deferred
    }

    /// The kind of exception.
    #[must_use]
    pub fn kind(&self) -> ExceptionType {
        self.kind
    }

    /// The codes.
    #[must_use]
    pub fn codes(&self) -> [i64; 2] {
        self.codes
    }

    /// The tag of the route.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// The faulting thread, as [`Exception::thread`](crate::Exception::thread).
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadRight> {
        self.question.rights.thread.as_ref()
    }

    /// The state that came.
    ///
    /// # Errors
    /// None came, or it is of another flavor or size.
    pub fn state<S: ThreadState>(&self) -> Result<S, StateError> {
        let (flavor, length) = self.state.ok_or(StateError::Absent)?;
        if flavor != S::FLAVOR {
            let flavor_of = |flavor| Flavor::new(S::MACHINE, flavor);
            return Err(StateError::Mismatch(Mismatch::Flavor {
                found: flavor_of(flavor),
                wanted: flavor_of(S::FLAVOR),
            }));
        }
        Ok(S::from_words(self.slot.state.get(..length).unwrap_or(&[]))?)
    }

    /// Sets the state that the thread goes on with if it is resumed.
    ///
    /// # Safety
    /// As [`Exception::set_state`](crate::Exception::set_state).
    ///
    /// # Errors
    /// The behavior carries no state, or the slot has no room for this one.
    #[allow(unsafe_code)]
    pub unsafe fn set_state<S: ThreadState>(&mut self, state: &S) -> Result<(), StateError> {
        let words: &[natural_t] = state.as_words();
        if !self.question.routine.has_state() {
            return Err(StateError::Absent);
        }
        let room = self
            .slot
            .new_state
            .get_mut(..words.len())
            .ok_or(StateError::TooLarge { words: words.len() })?;
        room.copy_from_slice(words);
        self.new_state = Some((S::FLAVOR, words.len()));
        Ok(())
    }

    /// Handled: the thread goes on. Gives the slot back for another exception.
    ///
    /// # Errors
    /// The reply reached nobody.
    pub fn resume(mut self) -> Result<DeferSlot, ReplyError> {
        self.answer(true).map(|()| self.take_slot())
    }

    /// Not ours: the kernel asks the next level. Gives the slot back for another exception.
    ///
    /// # Errors
    /// The reply reached nobody.
    pub fn decline(mut self) -> Result<DeferSlot, ReplyError> {
        self.answer(false).map(|()| self.take_slot())
    }

    fn take_slot(&mut self) -> DeferSlot {
        core::mem::take(&mut self.slot)
    }

    fn answer(&mut self, handled: bool) -> Result<(), ReplyError> {
        let DeferSlot {
            new_state, reply, ..
        } = &mut self.slot;
        let state = self
            .new_state
            .filter(|_| handled)
            .map(|(flavor, length)| (flavor, &new_state[..length]));
        self.question.answer(handled, state, reply)
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !self.question.is_answered() {
            // Nobody waits any more, or the thread goes to the next level: either way it does not wait for us.
            let _ = self.answer(false);
        }
    }
}
