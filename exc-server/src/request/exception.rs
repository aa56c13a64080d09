//! A stopped thread that waits for an answer.

use crate::answer::{Answered, Outcome};
use crate::buffer::Scratch;
use crate::deferred::{DeferSlot, Deferred};
use crate::error::{ReplyError, StateError};
use crate::forward::Forward;
#[cfg(feature = "std")]
use crate::install::Displaced;
use crate::question::Question;
use crate::receiver::{Received, Timeout};
use crate::registration::{Previous, PreviousHandler};
use crate::stats::Counters;
use core::fmt;
use mach_sys::exception::{ExceptionType, Meaning};
use mach_sys::machine::Machine;
use mach_sys::mig::{Request, Routine};
use mach_sys::rights::{Name, SendRight, TaskIdToken, TaskRight, ThreadRight};
use mach_sys::thread_state::{NativeState, THREAD_STATE_MAX, ThreadState};
use mach_sys::types::{natural_t, thread_state_flavor_t};

/// A stopped thread that waits for an answer, and what its message said. Borrows the receive buffer.
///
/// Exactly one answer leaves. Dropping it declines, so that neither an early return nor a panic leaves the thread stopped or claims
/// the fault handled.
#[must_use = "dropping an exception declines it"]
pub struct Exception<'b> {
    request: Request<'b>,
    /// Stands with whoever received it: forgetting the exception leaves it there, and it is declined.
    question: &'b mut Question,
    tag: u64,
    context: u64,
    scratch: &'b mut Scratch,
    /// The new state's flavor and length; its words lie in the scratch's forward buffer.
    new_state: Option<(thread_state_flavor_t, usize)>,
    counters: Option<&'b Counters>,
}

impl<'b> Exception<'b> {
    pub(crate) fn new(received: Received<'b>, tag: u64, counters: Option<&'b Counters>) -> Self {
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
        }
    }

    /// The kind of exception.
    #[must_use]
    pub fn kind(&self) -> ExceptionType {
        self.request.exception()
    }

    /// The codes, two of them in every message of the kernel's but one (A3.8); sign-extended from 32 bits where they came so. A
    /// code that did not come is 0.
    #[must_use]
    pub fn codes(&self) -> [i64; 2] {
        two_codes(&self.request)
    }

    /// What the codes say.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        Meaning::decode(Machine::NATIVE, self.kind(), self.request.codes())
    }

    /// Which routine of `exc` or `mach_exc` was called.
    #[must_use]
    pub fn routine(&self) -> Routine {
        self.question.routine
    }

    /// The tag of the route that it came by; for a [`Receiver`](crate::Receiver) without a server, the port's context.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// The context of the port that it arrived on.
    #[must_use]
    pub fn port_context(&self) -> u64 {
        self.context
    }

    /// The port that it arrived on; `None` if that died meanwhile.
    #[must_use]
    pub fn port(&self) -> Option<Name> {
        Name::new(self.request.exception_port())
    }

    /// The faulting thread, where the behavior names it and it still lives. Released with the answer: clone it to keep it.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadRight> {
        self.question.rights.thread.as_ref()
    }

    /// The faulting thread's task, likewise.
    #[must_use]
    pub fn task(&self) -> Option<&TaskRight> {
        self.question.rights.task.as_ref()
    }

    /// The task's identity token, of a protected behavior.
    #[must_use]
    pub fn task_token(&self) -> Option<&SendRight<TaskIdToken>> {
        self.question.rights.token.as_ref()
    }

    /// The thread's 64-bit identifier, of a protected behavior.
    #[must_use]
    pub fn thread_id(&self) -> Option<u64> {
        self.question.rights.thread_id
    }

    /// The flavor of the state that came, if one did.
    #[must_use]
    pub fn flavor(&self) -> Option<thread_state_flavor_t> {
        self.request.flavor()
    }

    /// The state as `S`.
    ///
    /// # Errors
    /// No state came, or one of another flavor or size.
    pub fn state<S: ThreadState>(&self) -> Result<S, StateError> {
        if self.flavor().is_none() {
            return Err(StateError::Absent);
        }
        Ok(self.request.state()?)
    }

    /// The general registers.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn registers(&self) -> Result<NativeState, StateError> {
        self.state()
    }

    /// Sets the state that the thread goes on with if it is resumed.
    ///
    /// # Safety
    /// With these registers the thread must not break any invariant of the code it resumes in: the program counter is an entry point
    /// that expects this stack and these arguments, and no frame that is skipped owns a value that must be dropped.
    ///
    /// # Errors
    /// The behavior carries no state.
    #[allow(unsafe_code)]
    pub unsafe fn set_state<S: ThreadState>(&mut self, state: &S) -> Result<(), StateError> {
        // SAFETY: the caller's promise.
        unsafe { self.set_state_words(S::FLAVOR, state.as_words()) }
    }

    /// As [`set_state`](Self::set_state), from words of a flavor; it may be another than the one that came (A4.3).
    ///
    /// # Safety
    /// As [`set_state`](Self::set_state).
    ///
    /// # Errors
    /// The behavior carries no state, or the words are more than any state has.
    #[allow(unsafe_code)]
    pub unsafe fn set_state_words(
        &mut self,
        flavor: thread_state_flavor_t,
        words: &[natural_t],
    ) -> Result<(), StateError> {
        if !self.question.routine.has_state() {
            return Err(StateError::Absent);
        }
        if words.len() > THREAD_STATE_MAX {
            return Err(StateError::TooLarge { words: words.len() });
        }
        self.scratch.forward[..words.len()].copy_from_slice(words);
        self.new_state = Some((flavor, words.len()));
        Ok(())
    }

    /// Handled: the thread goes on, with the state set before, or unchanged.
    pub fn resume(mut self) -> Answered {
        self.answer(true)
    }

    /// Not ours: the kernel asks the next level, with nothing changed.
    pub fn decline(mut self) -> Answered {
        self.answer(false)
    }

    /// Asks the handler that the route displaced, in the form that he registered for, and passes his answer on. Declines when nobody
    /// was there, when he does not handle it or takes too long, and when he was this server, which cannot wait for itself.
    ///
    /// 64-bit codes are cut for a 32-bit handler; a state that the request lacks is read from the thread. A state that was set before
    /// is dropped. While he is waited for, this server serves nobody else.
    #[cfg(feature = "std")]
    pub fn forward(self, limit: Timeout) -> Answered {
        let displaced = self
            .question
            .place
            .as_ref()
            .and_then(|place| place.displaced(self.kind()));
        match displaced {
            Some(Displaced { handler, thread }) => self.ask(&handler, thread.as_ref(), limit),
            None => self.decline(),
        }
    }

    /// Asks the handler that an [`Installation`](crate::Installation) displaced, in the form that he registered for, and passes his
    /// answer on; what `forward` says of a route's holds here too. A form for which the request lacks something is declined.
    pub fn forward_to(self, previous: &Previous, limit: Timeout) -> Answered {
        match previous.handler(self.kind()) {
            Some(handler) => self.ask(handler, None, limit),
            None => self.decline(),
        }
    }

    fn ask(
        mut self,
        handler: &PreviousHandler,
        thread: Option<&ThreadRight>,
        limit: Timeout,
    ) -> Answered {
        let forward = Forward {
            handler,
            thread,
            milliseconds: limit.milliseconds(),
        };
        match forward.ask(&self.request, self.question, self.scratch) {
            Some(new_state) => {
                self.new_state = new_state;
                self.answer_with(true, Outcome::Forwarded)
            }
            None => self.answer(false),
        }
    }

    /// Puts the answer off: the slot, made before, takes all that it needs, the state that was set included, and somebody answers
    /// later, from any thread.
    ///
    /// # Errors
    /// The slot has no room for the state that came, or for the one that was set: the exception is declined, and the slot given
    /// back.
    pub fn defer(mut self, slot: DeferSlot) -> Result<(Answered, Deferred), (Answered, DeferSlot)> {
        let new_length = self.new_state.map_or(0, |(_, length)| length);
        if self.request.old_state().len().max(new_length) > slot.room() {
            return Err((self.answer(false), slot));
        }
        let question = self.take_question();
        let new_state = self
            .new_state
            .map(|(flavor, length)| (flavor, &self.scratch.forward[..length]));
        let deferred = Deferred::new(&self.request, question, self.tag, new_state, slot);
        if let Some(counters) = self.counters {
            counters.answered(Outcome::Deferred);
        }
        Ok((Answered(Outcome::Deferred), deferred))
    }

    fn take_question(&mut self) -> Question {
        let answered = Question::answered(self.question.routine);
        core::mem::replace(self.question, answered)
    }

    fn answer(&mut self, handled: bool) -> Answered {
        let outcome = if handled {
            Outcome::Resumed
        } else {
            Outcome::Declined
        };
        self.answer_with(handled, outcome)
    }

    fn answer_with(&mut self, handled: bool, outcome: Outcome) -> Answered {
        let Scratch { reply, forward } = &mut *self.scratch;
        let state = self
            .new_state
            .filter(|_| handled)
            .map(|(flavor, length)| (flavor, &forward[..length]));
        // Counted before the reply leaves: whoever goes on because of it finds it counted.
        if let Some(counters) = self.counters {
            counters.answered(outcome);
        }
        let outcome = match self.question.answer(handled, state, reply) {
            Ok(()) => outcome,
            Err(ReplyError::NobodyWaits | ReplyError::Encode(_) | ReplyError::Kernel(_)) => {
                if let Some(counters) = self.counters {
                    counters.answered(Outcome::Unwanted);
                }
                Outcome::Unwanted
            }
        };
        Answered(outcome)
    }
}

/// The codes of a request; one that did not come is 0.
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
            .field("kind", &self.kind())
            .field("codes", &self.codes())
            .field("routine", &self.routine())
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}
