//! An exception: a stopped thread that waits for an answer.

use crate::answer::{Answered, Outcome};
use crate::error::StateError;
use crate::request::deferrals::Deferrals;
use crate::request::meanwhile::Server;
use crate::request::question::Question;
use crate::request::receive::Received;
use crate::stats::Counters;
use crate::wire::scratch::Scratch;
use core::fmt;
use mach_sys::exception::{ExceptionType, Meaning};
use mach_sys::machine::Machine;
use mach_sys::mig::{Request, Routine};
use mach_sys::rights::{Name, PortSet, SendRight, TaskIdToken, TaskRight, ThreadRight};
use mach_sys::thread_state::{Flavor, NativeState, THREAD_STATE_MAX, ThreadState};
use mach_sys::types::{natural_t, thread_state_flavor_t};

/// A received request: its thread is stopped in an exception until the request is answered. Borrows the receive buffer.
///
/// Exactly one answer is sent. Dropping the exception declines, so that neither an early return nor a panic leaves the thread stopped or
/// reports the fault as handled.
///
/// ```
/// use exc_server::mach_sys::thread_state::Registers;
/// use exc_server::{Answered, Exception};
///
/// /// Resumes the thread at `pc`, if the request carries its registers.
/// fn go_on_at(pc: u64, exception: Exception<'_>) -> Answered {
///     let Ok(mut state) = exception.registers() else {
///         return exception.decline();
///     };
///     state.set_pc(pc);
///     // SAFETY: the code at `pc` expects these registers and this stack.
///     unsafe { exception.resume_with(&state) }
/// }
/// ```
///
/// An exception cannot be answered twice:
///
/// ```compile_fail,E0382
/// use exc_server::{Answered, Exception};
///
/// fn answer(exception: Exception<'_>) -> Answered {
///     let _ = exception.resume();
///     exception.decline()
/// }
/// ```
///
/// Nor can a handler keep it. To answer later, [`defer`](Self::defer) it:
///
/// ```compile_fail,E0521
/// use exc_server::Exception;
/// use std::sync::Mutex;
///
/// static KEPT: Mutex<Option<Exception<'static>>> = Mutex::new(None);
///
/// fn keep(exception: Exception<'_>) {
///     *KEPT.lock().unwrap() = Some(exception);
/// }
/// ```
#[must_use = "dropping an exception declines it"]
pub struct Exception<'b> {
    pub(super) request: Request<'b>,
    /// The receiving side owns it: if the exception is forgotten, the question stays there and is declined.
    pub(super) question: &'b mut Question,
    pub(super) tag: u64,
    pub(super) context: u64,
    pub(super) scratch: &'b mut Scratch,
    /// The flavor and the length in words of the new state, whose words are in `scratch.forward`.
    pub(super) new_state: Option<(thread_state_flavor_t, usize)>,
    pub(super) counters: Option<&'b Counters>,
    pub(super) deferrals: Option<&'b Deferrals>,
    /// The port set that it was received from; `None` if it was received from a port.
    pub(super) set: Option<&'b PortSet>,
    pub(super) server: Server<'b>,
}

impl<'b> Exception<'b> {
    pub(crate) fn new(
        received: Received<'b>,
        tag: u64,
        counters: Option<&'b Counters>,
        deferrals: Option<&'b Deferrals>,
        set: Option<&'b PortSet>,
        server: Server<'b>,
    ) -> Self {
        let Received {
            request,
            context,
            scratch,
            question,
        } = received;
        Self {
            request,
            question,
            tag,
            context,
            scratch,
            new_state: None,
            counters,
            deferrals,
            set,
            server,
        }
    }

    /// Returns the exception type.
    #[must_use]
    pub fn exception_type(&self) -> ExceptionType {
        self.request.exception()
    }

    /// Returns the codes. The kernel sends two in every request but one (A3.8); a missing code is 0. 32-bit codes are sign-extended.
    #[must_use]
    pub fn codes(&self) -> [i64; 2] {
        two_codes(&self.request)
    }

    /// Returns the decoded meaning of the codes.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        Meaning::decode(Machine::NATIVE, self.exception_type(), self.request.codes())
    }

    /// Returns the request's routine of `exc` or `mach_exc`.
    #[must_use]
    pub fn routine(&self) -> Routine {
        self.question.routine()
    }

    /// Returns the tag of its route; for a [`Receiver`](crate::Receiver) without a server, the port's context.
    ///
    /// The tag identifies the port, not the faulting thread: other code with a send right to the port can register it for another thread,
    /// or forward that thread's exceptions to it. Only a behavior that names the thread identifies it ([`thread`](Self::thread)).
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// Returns the context of the port that it arrived on.
    #[must_use]
    pub fn port_context(&self) -> u64 {
        self.context
    }

    /// Returns the port that it arrived on; `None` if the port died meanwhile.
    #[must_use]
    pub fn port(&self) -> Option<Name> {
        Name::new(self.request.exception_port())
    }

    /// Returns the faulting thread's port; `None` if the behavior does not name the thread, or it is gone. The answer releases the right:
    /// clone it to keep it.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadRight> {
        self.question.rights().thread.as_ref()
    }

    /// Returns the port of the faulting thread's task, under the same conditions as [`thread`](Self::thread).
    #[must_use]
    pub fn task(&self) -> Option<&TaskRight> {
        self.question.rights().task.as_ref()
    }

    /// Returns the task's identity token; `None` unless the behavior is protected.
    #[must_use]
    #[doc(alias = "task_id_token_t")]
    pub fn task_token(&self) -> Option<&SendRight<TaskIdToken>> {
        self.question.rights().token.as_ref()
    }

    /// Returns the kcdata object with the backtrace; `None` unless the request is a `mach_exception_raise_backtrace`, for whose answer no
    /// thread waits (A3.6).
    #[must_use]
    #[doc(alias = "kcdata_object_t")]
    pub fn kcdata(&self) -> Option<&SendRight> {
        self.question.rights().kcdata.as_ref()
    }

    /// Returns the thread's 64-bit identifier; `None` unless the behavior is protected.
    #[must_use]
    pub fn thread_id(&self) -> Option<u64> {
        self.question.rights().thread_id
    }

    /// Returns the flavor of the thread state in the request; `None` if the behavior carries no state.
    #[must_use]
    pub fn flavor(&self) -> Option<Flavor> {
        let raw = self.request.flavor()?;
        Some(Flavor::new(Machine::NATIVE, raw))
    }

    /// Returns the thread state in the request, as `S`.
    ///
    /// # Errors
    /// - [`StateError::Absent`]: the behavior carries no state.
    /// - [`StateError::Foreign`]: `S` is a state of another machine.
    /// - [`StateError::Mismatch`]: the state in the request has another flavor or size.
    #[doc(alias = "thread_get_state")]
    pub fn state<S: ThreadState>(&self) -> Result<S, StateError> {
        StateError::check_machine(Flavor::new(S::MACHINE, S::FLAVOR))?;
        if self.flavor().is_none() {
            return Err(StateError::Absent);
        }
        Ok(self.request.state()?)
    }

    /// Returns the general registers in the request.
    ///
    /// # Errors
    /// The same as for [`state`](Self::state).
    pub fn registers(&self) -> Result<NativeState, StateError> {
        self.state()
    }

    /// Sets the state that the thread resumes with.
    ///
    /// # Safety
    /// With these registers the thread must not break any invariant of the code it resumes in: the program counter is an entry point
    /// that expects this stack and these arguments, and no frame that is skipped owns a value that must be dropped.
    ///
    /// # Errors
    /// - [`StateError::Absent`]: the behavior carries no state.
    /// - [`StateError::Foreign`]: `S` is a state of another machine.
    /// - [`StateError::TooLarge`]: the state is larger than any reply can carry.
    #[doc(alias = "thread_set_state")]
    #[allow(unsafe_code)]
    pub unsafe fn set_state<S: ThreadState>(&mut self, state: &S) -> Result<(), StateError> {
        let flavor = Flavor::new(S::MACHINE, S::FLAVOR);
        // SAFETY: the caller's promise.
        unsafe { self.set_state_words(flavor, state.as_words()) }
    }

    /// Sets the state that the thread resumes with, from the words of a flavor. The flavor may differ from the request's (A4.3).
    ///
    /// # Safety
    /// The same as for [`set_state`](Self::set_state).
    ///
    /// # Errors
    /// The same as for [`set_state`](Self::set_state).
    #[allow(unsafe_code)]
    pub unsafe fn set_state_words(
        &mut self,
        flavor: Flavor,
        words: &[natural_t],
    ) -> Result<(), StateError> {
        StateError::check_machine(flavor)?;
        if !self.question.routine().has_state() {
            return Err(StateError::Absent);
        }
        if words.len() > THREAD_STATE_MAX {
            return Err(StateError::TooLarge { words: words.len() });
        }
        self.scratch.forward[..words.len()].copy_from_slice(words);
        self.new_state = Some((flavor.raw, words.len()));
        Ok(())
    }

    /// Resumes the thread with `state`: [`set_state`](Self::set_state), then [`resume`](Self::resume). Declines if `set_state`
    /// returns an error.
    ///
    /// # Safety
    /// The same as for [`set_state`](Self::set_state).
    #[allow(unsafe_code)]
    pub unsafe fn resume_with<S: ThreadState>(mut self, state: &S) -> Answered {
        // SAFETY: the caller's promise.
        match unsafe { self.set_state(state) } {
            Ok(()) => self.resume(),
            Err(_) => self.decline(),
        }
    }

    /// Resumes the thread with the state set before, or with its state unchanged.
    pub fn resume(mut self) -> Answered {
        self.answer(true)
    }

    /// Declines the exception: the kernel tries the next level, with nothing changed.
    pub fn decline(mut self) -> Answered {
        self.answer(false)
    }

    pub(super) fn answer(&mut self, handled: bool) -> Answered {
        let outcome = if handled {
            Outcome::Resumed
        } else {
            Outcome::Declined
        };
        self.answer_with(handled, outcome)
    }

    pub(super) fn answer_with(&mut self, handled: bool, outcome: Outcome) -> Answered {
        let Scratch { reply, forward } = &mut *self.scratch;
        let state = self
            .new_state
            .filter(|_| handled)
            .map(|(flavor, length)| (flavor, &forward[..length]));
        // Counted before the reply is sent: the resumed thread finds it counted.
        if let Some(counters) = self.counters {
            counters.answered(outcome);
        }
        let outcome = match self.question.answer(handled, state, reply) {
            Ok(()) => outcome,
            Err(_) => {
                if let Some(counters) = self.counters {
                    counters.answered(Outcome::Unwanted);
                }
                Outcome::Unwanted
            }
        };
        Answered(outcome)
    }
}

/// Returns the codes of a request; a missing code is 0.
pub(crate) fn two_codes(request: &Request<'_>) -> [i64; 2] {
    let mut codes = [0; 2];
    for (to, from) in codes.iter_mut().zip(request.codes()) {
        *to = *from;
    }
    codes
}

impl Drop for Exception<'_> {
    fn drop(&mut self) {
        if !self.question.is_answered() {
            let _ = self.answer(false);
        }
    }
}

impl fmt::Debug for Exception<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exception")
            .field("exception_type", &self.exception_type())
            .field("codes", &self.codes())
            .field("routine", &self.routine())
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}
