//! What an answer needs of a request: the reply right, the rights that came with it, and where the reply goes.

use crate::answer::return_code;
use crate::error::ReplyError;
use crate::message;
use mach_sys::kern_return::KernReturn;
use mach_sys::message::mach_msg_header_t;
use mach_sys::mig::{Identity, ReplyTo, Request, Routine};
use mach_sys::pod;
use mach_sys::rights::{
    Name, Right, SendOnceRight, SendRight, TaskIdToken, TaskRight, ThreadRight,
};
use mach_sys::types::{natural_t, thread_state_flavor_t};

#[cfg(feature = "std")]
pub(crate) use crate::table::Place;
/// Without a server there are no routes to have a place in.
#[cfg(not(feature = "std"))]
pub(crate) type Place = core::convert::Infallible;

/// The rights of a request. Dropping releases them.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    pub(crate) thread: Option<ThreadRight>,
    pub(crate) task: Option<TaskRight>,
    pub(crate) token: Option<SendRight<TaskIdToken>>,
    pub(crate) thread_id: Option<u64>,
}

impl Rights {
    #[allow(unsafe_code)]
    fn of(request: &Request<'_>) -> Self {
        let mut rights = Self::default();
        match request.identity() {
            Identity::ThreadAndTask { thread, task } => {
                // SAFETY: the message was received, and moved one reference on each of these names to this task; the request's
                // one owner takes them. A right whose port died arrives as a name that is none.
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
                // SAFETY: as above; whatever it leads to, the reference is released with the request.
                rights.token = Name::new(object).map(|name| unsafe { Right::from_name(name) });
            }
            Identity::None => {}
        }
        rights
    }
}

/// An unanswered request, but for its content. Dropping it destroys the reply right, which declines (A6.8).
#[derive(Debug)]
pub(crate) struct Question {
    to: ReplyTo,
    pub(crate) routine: Routine,
    reply: Option<SendOnceRight>,
    pub(crate) rights: Rights,
    pub(crate) place: Option<Place>,
}

/// A state for the thread to go on with.
pub(crate) type NewState<'a> = (thread_state_flavor_t, &'a [natural_t]);

impl Question {
    #[allow(unsafe_code)]
    pub(crate) fn of(request: &Request<'_>) -> Self {
        let reply = Name::new(request.reply_port()).map(|name| {
            // SAFETY: the message moved its send-once right to this task; the request's one owner takes it.
            unsafe { SendOnceRight::from_name(name) }
        });
        Self {
            to: ReplyTo::request(request),
            routine: request.routine(),
            reply,
            rights: Rights::of(request),
            place: None,
        }
    }

    /// What is left of a question that somebody else answers.
    pub(crate) fn answered(routine: Routine) -> Self {
        Self {
            to: ReplyTo::header(&mach_msg_header_t::default()),
            routine,
            reply: None,
            rights: Rights::default(),
            place: None,
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.reply.is_none()
    }

    /// Declines by destroying the reply right, without a message.
    #[cfg(feature = "std")]
    pub(crate) fn abandon(&mut self) {
        self.rights = Rights::default();
        self.place = None;
        self.reply = None;
    }

    /// Answers. The request's rights are released before the reply leaves: after it the thread may be gone, and its name another
    /// thread's. It is in flight no more then: a thread that goes on because of the reply finds its route idle.
    pub(crate) fn answer(
        &mut self,
        handled: bool,
        state: Option<NewState<'_>>,
        buffer: &mut [u32],
    ) -> Result<(), ReplyError> {
        self.rights = Rights::default();
        self.place = None;
        match self.reply.take() {
            Some(reply) => self.send(reply, handled, state, buffer),
            None => Err(ReplyError::NobodyWaits),
        }
    }

    fn send(
        &self,
        reply: SendOnceRight,
        handled: bool,
        state: Option<NewState<'_>>,
        buffer: &mut [u32],
    ) -> Result<(), ReplyError> {
        let carries_state = self.routine.has_state();
        let code = return_code(handled, carries_state, state.is_some());
        let bytes = pod::word_bytes_mut(buffer);
        let size = match state {
            Some((flavor, words)) if handled && carries_state => {
                self.to.encode_state(bytes, flavor, words)?
            }
            _ => self.to.encode_status(bytes, code)?,
        };
        match message::send(buffer, size) {
            // The message used the right up.
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
                    KernReturn::SEND_INVALID_DEST => ReplyError::NobodyWaits,
                    code => ReplyError::Kernel(code),
                })
            }
        }
    }
}
