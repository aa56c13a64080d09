//! Forwards a request to the previously registered handler.
#![allow(unsafe_code)]

use crate::answer::{Answered, Outcome};
use crate::clock;
use crate::error::ForwardError;
use crate::registration::calls::receives_from;
#[cfg(feature = "std")]
use crate::registration::install::Displaced;
use crate::registration::previous::{Previous, PreviousHandler};
use crate::request::asking::{Arrival, Asking, Begin, Declined, Refused};
use crate::request::exception::Exception;
use crate::request::meanwhile::{Looks, Meanwhile, NotServed, Server};
use crate::request::print::Print;
use crate::request::question::Question;
use crate::timeout::Timeout;
use crate::wire::message;
use crate::wire::scratch::Scratch;
use mach_sys::exception::{Behavior, BehaviorModifiers};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system};
use mach_sys::message::{Disposition, MAX_TRAILER_SIZE};
use mach_sys::mig::{
    HeaderPort, Identity, IdentityKind, Raise, ReplyError, Request, Routine, check_reply,
};
use mach_sys::pod;
use mach_sys::rights::{Name, ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::THREAD_STATE_MAX;
use mach_sys::types::{mach_msg_type_number_t, natural_t, thread_state_flavor_t};

/// An exception that no other handler handled, and that still waits for an answer.
#[derive(Debug, thiserror::Error)]
#[error("the exception was not forwarded")]
#[non_exhaustive]
pub struct NotForwarded<'b> {
    /// The exception, without a new state. Dropping it declines.
    pub exception: Exception<'b>,
    /// The reason that it was not handled.
    #[source]
    pub reason: ForwardError,
}

impl From<NotForwarded<'_>> for ForwardError {
    /// Returns the reason, and drops the exception, which declines it.
    fn from(refused: NotForwarded<'_>) -> Self {
        refused.reason
    }
}

impl<'b> Exception<'b> {
    /// Forwards the request to the handler that the route displaced, with that handler's behavior and flavor, and returns its reply to
    /// the kernel. Declines if there is no such handler, if it declines or times out, if it has declined this exception already, or if it
    /// waits for the answer itself: it is this server, or one that forwarded the exception here.
    ///
    /// The displaced handler is the nearest living one below the route. Installations of this process that have left, or whose port has
    /// died, are skipped. 64-bit codes are truncated for a 32-bit handler. A state that the request lacks is read from the thread. A state
    /// set before with [`set_state`](Self::set_state) is dropped.
    ///
    /// While it waits, for room in the handler's queue and then for the reply, this server serves no other request, except if the server
    /// that it waits for waits in turn for this one about another exception. Then one of the two serves that exception: this one if the
    /// other cannot. It calls its handler before `forward` returns, on the same thread, nested up to three deep if the stack has room. So do
    /// not hold a lock that the handler takes while calling `forward`. The limit counts again once the inner calls have returned. If
    /// neither server can serve, the exception is declined.
    ///
    /// Circles of forwarding are detected among the servers and receivers of one process that use one copy of this crate, up to 256 forwards
    /// at a time. A circle through another process or other code waits until the limit. Threads that receive from one port count as one.
    ///
    /// The limit is meant for broken handlers. A handler that is only slow may still be working after the limit, and write to the stack of
    /// a thread that has resumed, as a redirect writes its frame.
    #[cfg(feature = "std")]
    pub fn forward(self, limit: Timeout) -> Answered {
        or_decline(self.try_forward(limit))
    }

    /// Forwards the request as [`forward`](Self::forward) does, and returns the exception instead of declining it.
    ///
    /// # Errors
    /// [`NotForwarded`], with the unanswered exception and the reason. After [`ForwardError::TimedOut`] the other handler may still be
    /// working.
    #[cfg(feature = "std")]
    // The exception is returned by value: a box would be an allocation.
    #[allow(clippy::result_large_err)]
    pub fn try_forward(self, limit: Timeout) -> Result<Answered, NotForwarded<'b>> {
        let mut exception = self;
        let mut last = None;
        loop {
            let Some(Displaced { handler, thread }) = exception.displaced() else {
                return Err(exception.not_forwarded(ForwardError::NoHandler));
            };
            let port = handler.port.as_ref().map(Right::name);
            let refused = match exception.ask(&handler, thread.as_ref(), limit) {
                Ok(answered) => return Ok(answered),
                Err(refused) => refused,
            };
            // If the handler's port died meanwhile, the request is forwarded to the handler below.
            let below = refused.exception.displaced();
            let below = below
                .and_then(|below| below.handler.port)
                .map(|port| port.name());
            if !refused.reason.is_dead_port() || below.is_none() || [port, last].contains(&below) {
                return Err(refused);
            }
            last = port;
            exception = refused.exception;
        }
    }

    /// Returns the nearest handler below the exception's route; `None` if there is none, or no route.
    #[cfg(feature = "std")]
    fn displaced(&self) -> Option<Displaced> {
        self.question.place()?.displaced(self.exception_type())
    }

    /// Forwards the request to the handler that an [`Installation`](crate::Installation) displaced, as `forward` does to a route's.
    /// Declines also if the handler's port belongs to this server, or, without a server, is the port that the request arrived on or another
    /// member of the receiver's set, and if the handler's behavior needs a right that the request lacks.
    pub fn forward_to(self, previous: &Previous, limit: Timeout) -> Answered {
        or_decline(self.try_forward_to(previous, limit))
    }

    /// Forwards the request as [`forward_to`](Self::forward_to) does, and returns the exception instead of declining it.
    ///
    /// # Errors
    /// [`NotForwarded`], with the unanswered exception and the reason. After [`ForwardError::TimedOut`] the other handler may still be
    /// working.
    // The exception is returned by value: a box would be an allocation.
    #[allow(clippy::result_large_err)]
    pub fn try_forward_to(
        self,
        previous: &Previous,
        limit: Timeout,
    ) -> Result<Answered, NotForwarded<'b>> {
        match previous.handler(self.exception_type()) {
            Some(handler) => self.ask(handler, None, limit),
            None => Err(self.not_forwarded(ForwardError::NoHandler)),
        }
    }

    fn not_forwarded(mut self, reason: ForwardError) -> NotForwarded<'b> {
        self.new_state = None;
        NotForwarded {
            exception: self,
            reason,
        }
    }

    /// Forwards the request to `handler`, and answers it with the reply.
    // The exception is returned by value: a box would be an allocation.
    #[allow(clippy::result_large_err)]
    fn ask(
        mut self,
        handler: &PreviousHandler,
        thread: Option<&ThreadRight>,
        limit: Timeout,
    ) -> Result<Answered, NotForwarded<'b>> {
        let Some(port) = handler.port.as_ref().map(Right::name) else {
            return Err(self.not_forwarded(ForwardError::NoHandler));
        };
        if !self.question.is_here() {
            return Err(self.not_forwarded(ForwardError::Forked));
        }
        match self.would_wait_for_itself(port) {
            Ok(false) => {}
            Ok(true) => return Err(self.not_forwarded(ForwardError::OwnPort)),
            Err(code) => return Err(self.not_forwarded(ForwardError::Kernel(code))),
        }
        let forward = Forward {
            handler,
            thread,
            limit,
            arrival: Arrival {
                port: self.port(),
                set: self.set.map(Right::name),
            },
            server: self.server,
        };
        let mut declined = self.question.declined();
        let asked = forward.ask(&self.request, self.question, &mut declined, self.scratch);
        self.question.set_declined(declined);
        match asked {
            Ok(new_state) => {
                self.new_state = new_state;
                Ok(self.answer_with(true, Outcome::Forwarded))
            }
            Err(reason) => Err(self.not_forwarded(reason)),
        }
    }

    /// Returns whether messages to this port are received by the receiver of this exception, which would then wait for itself.
    fn would_wait_for_itself(&self, port: Name) -> Result<bool, KernError> {
        let place = self.question.place();
        if self.port() == Some(port) || place.is_some_and(|place| place.is_own_port(port)) {
            return Ok(true);
        }
        match self.set {
            // A server knows its own ports. Another task's port is in no port set of this task.
            Some(set) if place.is_none() && receives_from(port) => set.contains(port),
            _ => Ok(false),
        }
    }
}

fn or_decline(forwarded: Result<Answered, NotForwarded<'_>>) -> Answered {
    match forwarded {
        Ok(answered) => answered,
        Err(refused) => refused.exception.decline(),
    }
}

/// The state in the displaced handler's reply: its flavor and its length in words. The words are at the start of the scratch's `forward`
/// buffer.
pub(crate) type NewState = Option<(thread_state_flavor_t, usize)>;

/// The parameters of one forward.
pub(crate) struct Forward<'a> {
    pub(crate) handler: &'a PreviousHandler,
    /// The thread of the route, for a request that does not name its thread.
    pub(crate) thread: Option<&'a ThreadRight>,
    pub(crate) limit: Timeout,
    /// The port and port set that the request arrived on.
    pub(crate) arrival: Arrival,
    pub(crate) server: Server<'a>,
}

impl Forward<'_> {
    /// Sends the request with the handler's behavior and flavor, waits for the reply, and returns the new state in it, if any. Returns an
    /// error unless the handler handled the exception.
    pub(crate) fn ask(
        &self,
        request: &Request<'_>,
        question: &Question,
        declined: &mut Declined,
        scratch: &mut Scratch,
    ) -> Result<NewState, ForwardError> {
        let handler = self.handler;
        let port = handler.port.as_ref().ok_or(ForwardError::NoHandler)?;
        let flavor = handler.flavor.raw;
        let lacks = ForwardError::Behavior(handler.behavior);
        let thread = question.rights().thread.as_ref().or(self.thread);
        let width = handler.behavior.modifiers() & BehaviorModifiers::CODES;
        let routine =
            Routine::for_behavior(Behavior::of(handler.behavior.kind(), width)).ok_or(lacks)?;
        let Scratch { reply, forward } = scratch;
        let state: &[natural_t] = if !routine.has_state() {
            &[]
        } else if request.flavor() == Some(flavor) {
            request.old_state().copy_to(reply).ok_or(lacks)?
        } else {
            state_of(thread.ok_or(lacks)?, flavor, reply).map_err(ForwardError::State)?
        };
        // Each forward has its own reply port: a late reply is destroyed with it.
        let reply_port = ReceiveRight::new().map_err(ForwardError::Kernel)?;
        let raise = Raise {
            routine,
            remote: HeaderPort::new(port.name().raw(), Disposition::COPY_SEND),
            local: HeaderPort::new(reply_port.name().raw(), Disposition::MAKE_SEND_ONCE),
            voucher: HeaderPort::NONE,
            identity: identity(routine, question, thread).ok_or(lacks)?,
            disposition: Disposition::COPY_SEND,
            exception: request.exception(),
            codes: request.codes(),
            flavor,
            state,
        };
        let size = raise.encode(pod::word_bytes_mut(forward))?;
        let begin = Begin {
            arrival: self.arrival,
            request: Print::of_request(request),
            port: port.name(),
            message: Print::of_raise(&raise),
            can_serve: self.server.is_some_and(Meanwhile::can_serve),
        };
        let asking = Asking::begin(&begin, declined)?;
        self.exchange(&asking, forward, size, &reply_port)
            .map_err(ForwardError::of_exchange)?;
        let limit = routine.reply_size(THREAD_STATE_MAX) + MAX_TRAILER_SIZE as usize;
        let (bytes, _) = message::split(forward);
        let answer = match check_reply(routine, bytes, limit) {
            Ok(answer) => answer,
            // Handled, with the thread's state unchanged (A6.5).
            Err(ReplyError::Refused(KernError::RCV_PORT_DIED)) => return Ok(None),
            Err(refused) => {
                // Releases the rights in a malformed reply; a refusal carries none.
                message::destroy(forward);
                return Err(match refused {
                    ReplyError::Refused(code) => {
                        asking.note_declined(port.name(), declined);
                        ForwardError::Declined(code)
                    }
                    malformed => ForwardError::Malformed(malformed),
                });
            }
        };
        let Some(flavor) = answer.flavor else {
            return Ok(None);
        };
        let words = answer.new_state.copy_to(reply).ok_or(lacks)?;
        if question.routine().has_state() {
            forward[..words.len()].copy_from_slice(words);
            return Ok(Some((flavor, words.len())));
        }
        // The reply to the kernel has no room for the handler's state. A state that the kernel refuses means "not handled" (A4.4).
        set_state_of(thread.ok_or(lacks)?, flavor, words).map_err(ForwardError::State)?;
        Ok(None)
    }

    /// Sends the request and receives the reply into the same buffer, each within the limit. If the handler's server waits for this
    /// one meanwhile, this one serves its requests.
    fn exchange(
        &self,
        asking: &Asking,
        buffer: &mut [u32],
        size: usize,
        reply: &ReceiveRight,
    ) -> Result<(), KernError> {
        self.send(asking, buffer, size, reply)?;
        let end = self.limit.deadline(clock::now());
        let mut looks = Looks::new();
        loop {
            let left = Timeout::until(end).milliseconds();
            match self.serve(asking, reply, Some(&mut *buffer), left) {
                Ok(()) => return Ok(()),
                Err(NotServed::Lost(code)) => return Err(code),
                Err(NotServed::TimedOut | NotServed::Unable) => {}
            }
            let (limit, is_last) = looks.next_within(Timeout::until(end).milliseconds());
            let received = message::receive(buffer, reply.name(), Some(limit));
            if received != Err(KernError::RCV_TIMED_OUT) || is_last {
                return received;
            }
        }
    }

    /// Sends the request. While the handler's queue is full its server may wait for this one.
    fn send(
        &self,
        asking: &Asking,
        buffer: &mut [u32],
        size: usize,
        reply: &ReceiveRight,
    ) -> Result<(), KernError> {
        let end = self.limit.deadline(clock::now());
        let mut looks = Looks::new();
        // Most find room at once.
        let (mut limit, mut is_last) = (0, self.limit == Timeout::Now);
        loop {
            let sent = message::try_send(buffer, size, limit);
            if sent != Err(KernError::SEND_TIMED_OUT) {
                return sent;
            }
            if is_last {
                message::give_up(buffer);
                return sent;
            }
            (limit, is_last) = looks.next_within(Timeout::until(end).milliseconds());
            // No reply can come before the request has left.
            if self
                .serve(asking, reply, None, Some(limit))
                .is_err_and(|error| error == NotServed::TimedOut)
            {
                limit = 0;
            }
        }
    }

    /// Serves, if the handler's server waits for this one.
    fn serve(
        &self,
        asking: &Asking,
        reply: &ReceiveRight,
        to: Option<&mut [u32]>,
        milliseconds: Option<u32>,
    ) -> Result<(), NotServed> {
        let server = self.server.filter(|_| asking.is_called());
        let server = server.ok_or(NotServed::Unable)?;
        server.serve_until(reply, to, milliseconds)
    }
}

impl From<Refused> for ForwardError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Circle => Self::Circle,
            Refused::Declined => Self::AlreadyDeclined,
        }
    }
}

/// Returns the identity to send to the handler; `None` if a right is missing. The task is this one if the request names none: `thread` then
/// comes from a thread's route.
fn identity(
    routine: Routine,
    question: &Question,
    thread: Option<&ThreadRight>,
) -> Option<Identity> {
    let rights = question.rights();
    Some(match routine.identity() {
        IdentityKind::None => Identity::None,
        IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
            thread: thread?.name().raw(),
            task: match &rights.task {
                Some(task) => task.name().raw(),
                None => system::task_self(),
            },
        },
        IdentityKind::Token => Identity::Token {
            token: rights.token.as_ref()?.name().raw(),
            thread_id: rights.thread_id?,
        },
        _ => return None,
    })
}

/// Reads a state of the thread, which is stopped in its exception, into `to`.
fn state_of<'a>(
    thread: &ThreadRight,
    flavor: thread_state_flavor_t,
    to: &'a mut [natural_t],
) -> Result<&'a [natural_t], KernError> {
    let count = system::read_thread_state(thread.name().raw(), flavor, to)?;
    Ok(&to[..count])
}

/// Sets a state of the thread: the one in the displaced handler's reply, which the kernel would have set.
fn set_state_of(
    thread: &ThreadRight,
    flavor: thread_state_flavor_t,
    words: &[natural_t],
) -> Result<(), KernError> {
    // SAFETY: `words` has as many words as the count says. The registers are the displaced handler's reply, which the kernel would have
    // applied in the same way.
    KernReturn::check(unsafe {
        kernel::thread_set_state(
            thread.name().raw(),
            flavor,
            words.as_ptr(),
            words.len() as mach_msg_type_number_t,
        )
    })
}
