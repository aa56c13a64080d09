//! The parts of a request that its answer needs: the reply right, the other rights, and the reply's header.

use crate::answer::Answer;
use crate::error::AnswerError;
use crate::request::asking::Declined;
use crate::wire::message;
use core::mem;
use mach_sys::kern_return::KernError;
use mach_sys::kernel::system::Origin;
use mach_sys::message::mach_msg_header_t;
use mach_sys::mig::{Identity, ReplyTo, Request, Routine};
use mach_sys::pod;
use mach_sys::rights::{
    Name, Right, SendOnceRight, SendRight, TaskIdToken, TaskRight, ThreadRight,
};
use mach_sys::types::{natural_t, thread_state_flavor_t};

#[cfg(feature = "std")]
pub(crate) use crate::route::table::Place;

/// A place in a route; without a server there are no routes.
#[cfg(not(feature = "std"))]
#[derive(Debug)]
pub(crate) enum Place {}

#[cfg(not(feature = "std"))]
impl Place {
    pub(crate) fn is_own_port(&self, _: Name) -> bool {
        match *self {}
    }

    pub(crate) fn is_open(&self) -> bool {
        match *self {}
    }

    pub(crate) fn route(&self) -> u64 {
        match *self {}
    }
}

/// The rights of a request. Dropping the value releases them.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    pub(crate) thread: Option<ThreadRight>,
    pub(crate) task: Option<TaskRight>,
    pub(crate) token: Option<SendRight<TaskIdToken>>,
    /// The kcdata object of a backtrace request (A3.6).
    pub(crate) kcdata: Option<SendRight>,
    pub(crate) thread_id: Option<u64>,
}

impl Rights {
    #[allow(unsafe_code)]
    fn of(request: &Request<'_>) -> Self {
        let mut rights = Self::default();
        match request.identity() {
            Identity::ThreadAndTask { thread, task } => {
                // SAFETY: the message was received, and moved one reference on each of these names to this task; the request's
                // one owner takes them. A right whose port died arrives as no name.
                rights.thread = Name::new(thread).map(|name| unsafe { Right::from_name(name) });
                // SAFETY: as above.
                rights.task = Name::new(task).map(|name| unsafe { Right::from_name(name) });
            }
            Identity::Token { token, thread_id } => {
                // SAFETY: as above.
                rights.token = Name::new(token).map(|name| unsafe { Right::from_name(name) });
                rights.thread_id = Some(thread_id);
            }
            Identity::Kcdata { object } => {
                // SAFETY: as above.
                rights.kcdata = Name::new(object).map(|name| unsafe { Right::from_name(name) });
            }
            // No identity, or one whose rights this version does not decode.
            _ => {}
        }
        rights
    }
}

/// An unanswered request without its codes and state. Dropping it destroys the reply right, which declines (A6.8). In the child of a fork
/// dropping it does nothing.
#[derive(Debug)]
pub(crate) struct Question {
    to: ReplyTo,
    routine: Routine,
    /// The right to reply; `None` once used, and if the request came without one, or with a dead one.
    reply: Option<SendOnceRight>,
    answered: bool,
    rights: Rights,
    place: Option<Place>,
    /// The ports of handlers that it was forwarded to and that declined.
    declined: Declined,
    /// The process that the rights belong to.
    origin: Origin,
}

/// A state for the thread to resume with: its flavor and words.
pub(crate) type NewState<'a> = (thread_state_flavor_t, &'a [natural_t]);

impl Question {
    #[allow(unsafe_code)]
    pub(crate) fn of(request: &Request<'_>, origin: Origin) -> Self {
        let reply = Name::new(request.reply_port()).map(|name| {
            // SAFETY: the message moved its send-once right to this task; the request's one owner takes it.
            unsafe { SendOnceRight::from_name(name) }
        });
        Self {
            to: ReplyTo::request(request),
            routine: request.routine(),
            reply,
            answered: false,
            rights: Rights::of(request),
            place: None,
            declined: Declined::default(),
            origin,
        }
    }

    /// Takes the question, for other code to answer, and leaves an answered one.
    pub(crate) fn take(&mut self) -> Self {
        let answered = Self {
            to: ReplyTo::header(&mach_msg_header_t::default()),
            routine: self.routine,
            reply: None,
            answered: true,
            rights: Rights::default(),
            place: None,
            declined: Declined::default(),
            origin: self.origin,
        };
        mem::replace(self, answered)
    }

    pub(crate) fn routine(&self) -> Routine {
        self.routine
    }

    pub(crate) fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Returns the place in its route; `None` if it has no route.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    #[cfg(feature = "std")]
    pub(crate) fn set_place(&mut self, place: Option<Place>) {
        self.place = place;
    }

    pub(crate) fn declined(&self) -> Declined {
        self.declined
    }

    pub(crate) fn set_declined(&mut self, declined: Declined) {
        self.declined = declined;
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Returns whether the calling process received it.
    pub(crate) fn is_here(&self) -> bool {
        self.origin.is_current()
    }

    /// Answers the request: [`encode`](Self::encode), then [`send`](Self::send). Declines if the reply cannot be written.
    pub(crate) fn answer(
        &mut self,
        handled: bool,
        state: Option<NewState<'_>>,
        buffer: &mut [u32],
    ) -> Result<(), AnswerError> {
        match self.encode(handled, state, pod::word_bytes_mut(buffer)) {
            Ok(size) => self.send(size, buffer),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Writes the reply into `bytes`, and returns its size in bytes.
    pub(crate) fn encode(
        &self,
        handled: bool,
        state: Option<NewState<'_>>,
        bytes: &mut [u8],
    ) -> Result<usize, AnswerError> {
        let carries_state = self.routine.has_state();
        Ok(match state {
            Some((flavor, words)) if handled && carries_state => {
                self.to.encode_state(bytes, flavor, words)?
            }
            _ => {
                let answer = if handled {
                    Answer::Resume
                } else {
                    Answer::Decline
                };
                self.to
                    .encode_status(bytes, answer.return_code(self.routine))?
            }
        })
    }

    /// Sends the reply. First releases the request's rights: after the reply the thread may exit, and another thread get its name. Also
    /// leaves the route first, so that the resumed thread finds it idle.
    pub(crate) fn send(&mut self, size: usize, buffer: &mut [u32]) -> Result<(), AnswerError> {
        if !self.origin.is_current() {
            self.forget();
            return Err(AnswerError::Unwanted);
        }
        self.answered = true;
        self.rights = Rights::default();
        self.place = None;
        let reply = self.reply.take().ok_or(AnswerError::Unwanted)?;
        match message::send(buffer, size) {
            // The message consumed the right.
            Ok(()) => {
                let _ = reply.into_name();
                Ok(())
            }
            Err(unsent) => {
                if unsent.rights_gone {
                    let _ = reply.into_name();
                }
                Err(match unsent.code {
                    // The wait was aborted, or the thread terminated: the right is a dead name, which dropping it releases.
                    KernError::SEND_INVALID_DEST => AnswerError::Unwanted,
                    code => AnswerError::Kernel(code),
                })
            }
        }
    }

    /// Declines by destroying the reply right, without a message.
    pub(crate) fn abandon(&mut self) {
        if !self.is_here() {
            return self.forget();
        }
        self.answered = true;
        self.rights = Rights::default();
        self.place = None;
        self.reply = None;
    }

    /// Leaks all rights: their names belong to another process.
    fn forget(&mut self) {
        self.answered = true;
        mem::forget(mem::take(&mut self.rights));
        self.place = None;
        mem::forget(self.reply.take());
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // An answered request has no rights left.
        if !self.is_answered() {
            self.abandon();
        }
    }
}
