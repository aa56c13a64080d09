//! Answers that are put off.

use crate::error::{ReplyError, StateError};
use crate::question::Question;
use mach_sys::exception::ExceptionType;
use mach_sys::mig::Request;
use mach_sys::thread_state::{THREAD_STATE_MAX, ThreadState};
use mach_sys::types::{mach_msg_type_number_t, natural_t, thread_state_flavor_t};

/// Words of a reply before its state.
const REPLY_HEADER_WORDS: usize = 11;

/// Memory for one deferred exception: to be made before it is needed, since nothing may allocate on the way of an exception.
#[derive(Debug)]
pub struct DeferSlot {
    words: Box<[u32]>,
    reply: Box<[u32]>,
}

impl DeferSlot {
    /// Room for a state of `count` words; 0 for behaviors without state.
    #[must_use]
    pub fn with_room(count: mach_msg_type_number_t) -> Self {
        let count = (count as usize).min(THREAD_STATE_MAX);
        Self {
            words: vec![0; count].into_boxed_slice(),
            reply: vec![0; REPLY_HEADER_WORDS + count].into_boxed_slice(),
        }
    }

    /// Room for a state of type `S`.
    #[must_use]
    pub fn for_state<S: ThreadState>() -> Self {
        Self::with_room(S::COUNT)
    }
}

/// An exception whose answer was put off: owns all that it needs, and can be answered from any thread. Dropping it declines.
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
    pub(crate) fn new(
        request: &Request<'_>,
        question: Question,
        tag: u64,
        mut slot: DeferSlot,
    ) -> Self {
        let state = request.flavor().and_then(|flavor| {
            let length = request.old_state().copy_to(&mut slot.words)?.len();
            Some((flavor, length))
        });
        Self {
            question,
            kind: request.exception(),
            codes: crate::exception::two_codes(request),
            tag,
            state,
            new_state: None,
            slot,
        }
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

    /// The state that came.
    ///
    /// # Errors
    /// None came, the slot had no room for it, or it is of another flavor or size.
    pub fn state<S: ThreadState>(&self) -> Result<S, StateError> {
        match self.state {
            Some((flavor, length)) if flavor == S::FLAVOR => {
                Ok(S::from_words(&self.slot.words[..length])?)
            }
            _ => Err(StateError::Absent),
        }
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
            .words
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
        core::mem::replace(
            &mut self.slot,
            DeferSlot {
                words: Box::default(),
                reply: Box::default(),
            },
        )
    }

    fn answer(&mut self, handled: bool) -> Result<(), ReplyError> {
        let DeferSlot { words, reply } = &mut self.slot;
        let state = self
            .new_state
            .filter(|_| handled)
            .map(|(flavor, length)| (flavor, &words[..length]));
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
