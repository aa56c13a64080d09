//! A stopped thread that waits for an answer.

use crate::answer::{Answered, Outcome};
use crate::clock;
use crate::error::{DeferError, StateError};
#[cfg(feature = "std")]
use crate::registration::install::Displaced;
use crate::registration::previous::{Previous, PreviousHandler};
use crate::request::deferrals::Deferrals;
use crate::request::deferred::{Deferred, Description, Key};
use crate::request::forward::Forward;
use crate::request::question::Question;
use crate::request::receive::Received;
use crate::request::slot::Filed;
use crate::stats::Counters;
use crate::timeout::Timeout;
use crate::wire::scratch::Scratch;
use alloc::sync::Arc;
use core::fmt;
use mach_sys::exception::{ExceptionType, Meaning};
use mach_sys::machine::Machine;
use mach_sys::mig::{Request, Routine};
use mach_sys::rights::{Name, Right, SendRight, TaskIdToken, TaskRight, ThreadRight};
use mach_sys::thread_state::{NativeState, THREAD_STATE_MAX, ThreadState};
use mach_sys::types::{natural_t, thread_state_flavor_t};

/// A request: a thread that is stopped in an exception until it is answered. Borrows the receive buffer.
///
/// Exactly one answer leaves. Dropping it declines, so that neither an early return nor a panic leaves the thread stopped or claims
/// the fault handled.
#[must_use = "dropping an exception declines it"]
pub struct Exception<'b> {
    request: Request<'b>,
    /// Owned by the receiving side: forgetting the exception leaves it there, and it is declined.
    question: &'b mut Question,
    tag: u64,
    context: u64,
    scratch: &'b mut Scratch,
    /// The new state's flavor and length; its words lie in the scratch's forward buffer.
    new_state: Option<(thread_state_flavor_t, usize)>,
    counters: Option<&'b Counters>,
    deferrals: Option<&'b Deferrals>,
}

/// An exception that could not be deferred: it still waits for an answer.
#[derive(Debug)]
pub struct NotDeferred<'b> {
    /// The exception. Dropping it declines.
    pub exception: Exception<'b>,
    /// Why it was not deferred.
    pub reason: DeferError,
}

impl<'b> Exception<'b> {
    pub(crate) fn new(
        received: Received<'b>,
        tag: u64,
        counters: Option<&'b Counters>,
        deferrals: Option<&'b Deferrals>,
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
        }
    }

    /// Returns the exception type.
    #[must_use]
    pub fn kind(&self) -> ExceptionType {
        self.request.exception()
    }

    /// Returns the codes, two of them in every message of the kernel's but one (A3.8); sign-extended from 32 bits where they came so. A
    /// code that did not come is 0.
    #[must_use]
    pub fn codes(&self) -> [i64; 2] {
        two_codes(&self.request)
    }

    /// Decodes what the codes mean.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        Meaning::decode(Machine::NATIVE, self.kind(), self.request.codes())
    }

    /// Returns the routine of `exc` or `mach_exc` that was called.
    #[must_use]
    pub fn routine(&self) -> Routine {
        self.question.routine()
    }

    /// Returns the tag of its route; for a [`Receiver`](crate::Receiver) without a server, the port's context.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// Returns the context of the port that it arrived on.
    #[must_use]
    pub fn port_context(&self) -> u64 {
        self.context
    }

    /// Returns the port that it arrived on; `None` if that died meanwhile.
    #[must_use]
    pub fn port(&self) -> Option<Name> {
        Name::new(self.request.exception_port())
    }

    /// Returns the faulting thread, where the behavior names it and it still lives. Released with the answer: clone it to keep it.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadRight> {
        self.question.rights().thread.as_ref()
    }

    /// Returns the faulting thread's task, under the same conditions.
    #[must_use]
    pub fn task(&self) -> Option<&TaskRight> {
        self.question.rights().task.as_ref()
    }

    /// Returns the task's identity token, where the behavior is a protected one.
    #[must_use]
    pub fn task_token(&self) -> Option<&SendRight<TaskIdToken>> {
        self.question.rights().token.as_ref()
    }

    /// Returns the thread's 64-bit identifier, where the behavior is a protected one.
    #[must_use]
    pub fn thread_id(&self) -> Option<u64> {
        self.question.rights().thread_id
    }

    /// Returns the flavor of the state that came, if one did.
    #[must_use]
    pub fn flavor(&self) -> Option<thread_state_flavor_t> {
        self.request.flavor()
    }

    /// Returns the state that came, as `S`.
    ///
    /// # Errors
    /// No state came, or one of another flavor or size.
    pub fn state<S: ThreadState>(&self) -> Result<S, StateError> {
        if self.flavor().is_none() {
            return Err(StateError::Absent);
        }
        Ok(self.request.state()?)
    }

    /// Returns the general registers.
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
        if !self.question.routine().has_state() {
            return Err(StateError::Absent);
        }
        if words.len() > THREAD_STATE_MAX {
            return Err(StateError::TooLarge { words: words.len() });
        }
        self.scratch.forward[..words.len()].copy_from_slice(words);
        self.new_state = Some((flavor, words.len()));
        Ok(())
    }

    /// Resumes the thread, with the state set before, or unchanged.
    pub fn resume(mut self) -> Answered {
        self.answer(true)
    }

    /// Declines: the kernel tries the next level, with nothing changed.
    pub fn decline(mut self) -> Answered {
        self.answer(false)
    }

    /// Forwards the request to the handler that the route displaced, with that handler's behavior and flavor, and returns its reply
    /// to the kernel. Declines if there is none, if it declines or times out, or if it is this server, which cannot wait for itself.
    ///
    /// 64-bit codes are cut for a 32-bit handler; a state that the request lacks is read from the thread. A state that was set before
    /// is dropped. While it waits for the reply, this server serves no other request.
    #[cfg(feature = "std")]
    pub fn forward(self, limit: Timeout) -> Answered {
        let displaced = self
            .question
            .place()
            .and_then(|place| place.displaced(self.kind()));
        match displaced {
            Some(Displaced { handler, thread }) => self.ask(&handler, thread.as_ref(), limit),
            None => self.decline(),
        }
    }

    /// Forwards the request to the handler that an [`Installation`](crate::Installation) displaced, as `forward` does to a route's.
    /// Declines also if the handler's port is any of this server's, or, without a server, the one that the request arrived on; and if
    /// the handler's behavior needs what the request lacks.
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
        let port = handler.port.as_ref().map(Right::name);
        if port.is_none_or(|port| self.would_wait_for_itself(port)) || !self.question.is_here() {
            return self.answer(false);
        }
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

    /// Returns whether a message to this port is received by the thread that would wait for its reply.
    fn would_wait_for_itself(&self, port: Name) -> bool {
        self.port() == Some(port)
            || self
                .question
                .place()
                .is_some_and(|place| place.is_own_port(port))
    }

    /// Defers the answer: the exception, the state that was set included, moves into the server's or receiver's table
    /// ([`Deferrals`](crate::Deferrals)), and is answered later by its key, from any thread. When the limit is over before that, the
    /// table declines it. Allocates nothing.
    ///
    /// # Errors
    /// There is no table, no room in it, or the route or table is closed. The exception comes back, unanswered.
    // The exception comes back by value: a box would be an allocation.
    #[allow(clippy::result_large_err)]
    pub fn defer(self, limit: Timeout) -> Result<(Answered, Deferred), NotDeferred<'b>> {
        let refused = |exception, reason| Err(NotDeferred { exception, reason });
        let Some(deferrals) = self.deferrals else {
            return refused(self, DeferError::NoTable);
        };
        let slots = deferrals.slots();
        if !self.question.is_here() {
            return refused(self, DeferError::Closed);
        }
        let Some((index, filling)) = slots.claim() else {
            let capacity = deferrals.capacity();
            return refused(self, DeferError::Full { capacity });
        };
        let open = self.question.place().is_none_or(|place| place.is_open());
        if !open || slots.is_closed() {
            drop(filling);
            return refused(self, DeferError::Closed);
        }
        let description = Description {
            kind: self.kind(),
            codes: self.codes(),
            tag: self.tag,
        };
        let since = clock::now();
        let filed = Filed {
            route: self.question.place().map_or(0, |place| place.route()),
            tag: self.tag,
            since,
            deadline: limit.deadline(since),
        };
        // Counted before another thread can answer it.
        if let Some(counters) = self.counters {
            counters.answered(Outcome::Deferred);
        }
        let new_state = self
            .new_state
            .map(|(flavor, length)| (flavor, &self.scratch.forward[..length]));
        let question = self.question.take();
        let generation = filling.fill(&self.request, question, new_state, filed);
        slots.note_deadline(filed.deadline);
        let key = Key { index, generation };
        let deferred = Deferred::new(Arc::clone(slots), key, description);
        Ok((Answered(Outcome::Deferred), deferred))
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
