//! The key to a deferred exception.

use crate::error::{AnswerError, StateError};
use crate::local::Local;
use crate::request::deferrals::Slots;
use crate::request::slot::Held;
use crate::wire::scratch::REPLY_WORDS;
use alloc::sync::Arc;
use mach_sys::exception::ExceptionType;
use mach_sys::pod;
use mach_sys::rights::ThreadRight;
use mach_sys::thread_state::{Flavor, StateMismatch as Mismatch, THREAD_STATE_MAX, ThreadState};

/// The key to a deferred exception, which answers it from any thread. Dropping the key declines.
///
/// ```
/// use exc_server::{AnswerError, Deferred};
///
/// /// Resumes the thread if it still waits.
/// fn release(deferred: Deferred) -> Result<bool, AnswerError> {
///     match deferred.resume() {
///         Ok(()) => Ok(true),
///         Err(AnswerError::AlreadyDeclined) => Ok(false),
///         Err(error) => Err(error),
///     }
/// }
/// ```
///
/// The exception itself stays in its table ([`Deferrals`](crate::Deferrals)). When its route closes, its server or table is dropped, or its
/// deadline passes, the table declines it, also if this key was forgotten. The key is then stale: its methods return errors. Exactly one
/// answer is sent, whichever comes first.
///
/// Until it is answered, the exception is a request in flight of its route. Answering takes about 6 KiB of stack. Dropping the key in the
/// child of a fork does nothing. The methods are not async-signal-safe: they wait for a thread that uses the key, which may be the
/// interrupted one.
#[must_use = "dropping a deferred exception declines it"]
#[derive(Debug)]
pub struct Deferred {
    slots: Arc<Local<Slots>>,
    key: Key,
    description: Description,
}

/// The identity of a deferred exception: the index and generation of its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u64,
}

/// The properties of an exception that the key keeps after the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description {
    pub(crate) exception_type: ExceptionType,
    pub(crate) codes: [i64; 2],
    pub(crate) tag: u64,
}

impl Deferred {
    pub(crate) fn new(slots: Arc<Local<Slots>>, key: Key, description: Description) -> Self {
        Self {
            slots,
            key,
            description,
        }
    }

    /// Returns the exception type.
    #[must_use]
    pub fn exception_type(&self) -> ExceptionType {
        self.description.exception_type
    }

    /// Returns the exception's codes.
    #[must_use]
    pub fn codes(&self) -> [i64; 2] {
        self.description.codes
    }

    /// Returns the tag of the route; without a server, the context of the port.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.description.tag
    }

    /// Returns whether the exception still waits for an answer. Another thread may decline it at any moment.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.hold().is_some()
    }

    /// Returns a new reference on the faulting thread. Returns `None` if the behavior does not name the thread, if it is gone, or if the
    /// exception is answered already.
    #[must_use]
    pub fn thread(&self) -> Option<ThreadRight> {
        let held = self.hold()?;
        let question = held.content().question.as_ref()?;
        question.rights().thread.as_ref()?.try_clone().ok()
    }

    /// Returns the thread state in the request.
    ///
    /// # Errors
    /// - [`StateError::Answered`]: the exception is answered already.
    /// - [`StateError::Absent`]: the behavior carries no state.
    /// - [`StateError::Foreign`]: `S` is a state of another machine.
    /// - [`StateError::Mismatch`]: the state in the request has another flavor or size.
    #[doc(alias = "thread_get_state")]
    pub fn state<S: ThreadState>(&self) -> Result<S, StateError> {
        StateError::check_machine(Flavor::new(S::MACHINE, S::FLAVOR))?;
        let held = self.hold().ok_or(StateError::Answered)?;
        let (flavor, words) = held.content().state().ok_or(StateError::Absent)?;
        if flavor != S::FLAVOR {
            let flavor_of = |flavor| Flavor::new(S::MACHINE, flavor);
            return Err(StateError::Mismatch(Mismatch::Flavor {
                found: flavor_of(flavor),
                wanted: flavor_of(S::FLAVOR),
            }));
        }
        Ok(S::from_words(words)?)
    }

    /// Sets the state that the thread resumes with.
    ///
    /// # Safety
    /// The same as for [`Exception::set_state`](crate::Exception::set_state).
    ///
    /// # Errors
    /// - [`StateError::Answered`]: the exception is answered already.
    /// - [`StateError::Absent`]: the behavior carries no state.
    /// - [`StateError::Foreign`]: `S` is a state of another machine.
    /// - [`StateError::TooLarge`]: the state is larger than any reply can carry.
    #[doc(alias = "thread_set_state")]
    #[allow(unsafe_code)]
    pub unsafe fn set_state<S: ThreadState>(&mut self, state: &S) -> Result<(), StateError> {
        StateError::check_machine(Flavor::new(S::MACHINE, S::FLAVOR))?;
        let words = state.as_words();
        let mut held = self.hold().ok_or(StateError::Answered)?;
        let content = held.content_mut();
        let question = content.question.as_ref().ok_or(StateError::Answered)?;
        if !question.routine().has_state() {
            return Err(StateError::Absent);
        }
        if words.len() > THREAD_STATE_MAX {
            return Err(StateError::TooLarge { words: words.len() });
        }
        content.set_new_state(Some((S::FLAVOR, words)));
        Ok(())
    }

    /// Resumes the thread with `state`: [`set_state`](Self::set_state), then [`resume`](Self::resume).
    ///
    /// # Safety
    /// The same as for [`Exception::set_state`](crate::Exception::set_state).
    ///
    /// # Errors
    /// The errors of [`resume`](Self::resume), and [`AnswerError::State`]: the state could not be set; the exception was declined.
    #[allow(unsafe_code)]
    pub unsafe fn resume_with<S: ThreadState>(mut self, state: &S) -> Result<(), AnswerError> {
        // SAFETY: the caller's promise.
        match unsafe { self.set_state(state) } {
            Ok(()) => self.resume(),
            Err(StateError::Answered) => Err(AnswerError::AlreadyDeclined),
            Err(error) => Err(AnswerError::State(error)),
        }
    }

    /// Resumes the thread with the state set before, or with its state unchanged. The place in the table is free before the thread resumes.
    ///
    /// # Errors
    /// - [`AnswerError::AlreadyDeclined`]: the exception was declined already, or the calling process is the child of a fork.
    /// - [`AnswerError::Unwanted`]: the thread is gone, or does not wait any more.
    /// - [`AnswerError::Encode`]: the reply could not be written; the exception was declined.
    /// - [`AnswerError::Kernel`]: another error of the kernel.
    pub fn resume(self) -> Result<(), AnswerError> {
        self.answer(true)
    }

    /// Declines the exception: the kernel tries the next level. The place in the table is free before the thread continues.
    ///
    /// # Errors
    /// The same as for [`resume`](Self::resume).
    pub fn decline(self) -> Result<(), AnswerError> {
        self.answer(false)
    }

    /// Takes the exception; `None` if it was answered, and in the child of a fork.
    fn hold(&self) -> Option<Held<'_>> {
        if !self.slots.is_here() {
            return None;
        }
        self.slots.hold(self.key.index, self.key.generation)
    }

    fn answer(&self, handled: bool) -> Result<(), AnswerError> {
        let mut held = self.hold().ok_or(AnswerError::AlreadyDeclined)?;
        let content = held.content_mut();
        let question = content.question.take();
        let mut question = question.ok_or(AnswerError::AlreadyDeclined)?;
        // The reply is written before the slot is free, and sent after: the thread that resumes may need the same slot.
        let mut reply = [0; REPLY_WORDS];
        let state = content.new_state().filter(|_| handled);
        let size = question.encode(handled, state, pod::word_bytes_mut(&mut reply));
        held.free();
        let sent = question.send(size?, &mut reply);
        if sent.is_err() {
            self.slots.note_unwanted();
        }
        sent
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // An error means that the exception was answered already, or that no thread waits.
        let _ = self.answer(false);
    }
}
