//! Pulling exceptions from a port or set, one at a time.

use crate::buffer::MessageBuffer;
use crate::error::ReceiveError;
use crate::exception::{Exception, Forward};
use crate::message;
use crate::question::Question;
use core::time::Duration;
use mach_sys::kern_return::KernReturn;
use mach_sys::mig::{self, Accept, DecodeError, ReplyTo};
use mach_sys::pod;
use mach_sys::rights::{Name, PortSet, ReceiveRight, Right};

/// When a receive gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Never.
    Never,
    /// At once, if nothing is there.
    Now,
    /// After some time, rounded up to milliseconds.
    After(Duration),
}

impl Timeout {
    fn milliseconds(self) -> Option<u32> {
        match self {
            Self::Never => None,
            Self::Now => Some(0),
            Self::After(time) => {
                let milliseconds = time.as_nanos().div_ceil(1_000_000);
                Some(milliseconds.try_into().unwrap_or(u32::MAX))
            }
        }
    }
}

/// Receives exceptions from a port or a set, on the calling thread.
#[derive(Debug)]
pub struct Receiver<'p> {
    source: Name,
    /// Where a displaced handler's answer comes to, if forwarding is wanted.
    forward: Forward<'p>,
}

impl<'p> Receiver<'p> {
    /// From one port.
    #[must_use]
    pub fn from_port(port: &'p ReceiveRight) -> Self {
        Self::from_name(port.name())
    }

    /// From all members of a set.
    #[must_use]
    pub fn from_set(set: &'p PortSet) -> Self {
        Self::from_name(set.name())
    }

    fn from_name(source: Name) -> Self {
        Self {
            source,
            forward: Forward::default(),
        }
    }

    /// Lets [`Exception::forward`] wait for the displaced handler's answer on this port, which nobody else may receive from.
    #[must_use]
    pub fn forwarding_through(mut self, reply_port: &'p ReceiveRight) -> Self {
        self.forward.reply_port = Some(reply_port);
        self
    }

    /// Waits for one exception. A message that is none is answered with the MIG error that Apple's servers answer, its rights are
    /// released, and it is reported.
    ///
    /// # Errors
    /// Nothing came in time, the port is gone, or what came is no exception request.
    pub fn receive<'b>(
        &'b self,
        buffer: &'b mut MessageBuffer,
        timeout: Timeout,
    ) -> Result<Exception<'b>, ReceiveError> {
        let received = receive(self.source, buffer, timeout.milliseconds())?;
        let Received {
            request,
            context,
            scratch,
        } = received;
        let question = Question::of(&request, None);
        Ok(Exception::new(
            request,
            question,
            context,
            context,
            scratch,
            None,
            self.forward,
        ))
    }
}

/// A decoded request, and the context of the port that it arrived on.
pub(crate) struct Received<'b> {
    pub(crate) request: mig::Request<'b>,
    pub(crate) context: u64,
    pub(crate) scratch: &'b mut crate::buffer::Scratch,
}

/// Receives one message and decodes it.
pub(crate) fn receive(
    source: Name,
    buffer: &mut MessageBuffer,
    milliseconds: Option<u32>,
) -> Result<Received<'_>, ReceiveError> {
    message::receive(&mut buffer.request, source, milliseconds).map_err(receive_error)?;
    let (bytes, _) = message::split(&buffer.request);
    if let Err(reason) = mig::decode(bytes, Accept::Both) {
        let id = message::header(&buffer.request).msgh_id;
        refuse(buffer, reason);
        return Err(ReceiveError::Malformed { id, reason });
    }
    let MessageBuffer { request, scratch } = buffer;
    let (bytes, context) = message::split(request);
    match mig::decode(bytes, Accept::Both) {
        Ok(request) => Ok(Received {
            request,
            context,
            scratch,
        }),
        // Decoded above: the same bytes decode again.
        Err(reason) => Err(ReceiveError::Malformed { id: 0, reason }),
    }
}

fn receive_error(code: KernReturn) -> ReceiveError {
    match code {
        KernReturn::RCV_TIMED_OUT => ReceiveError::TimedOut,
        KernReturn::RCV_PORT_CHANGED | KernReturn::RCV_PORT_DIED | KernReturn::RCV_INVALID_NAME => {
            ReceiveError::PortGone
        }
        KernReturn::RCV_TOO_LARGE => ReceiveError::TooLarge,
        code => ReceiveError::Kernel(code),
    }
}

/// Answers a message that is no request as Apple's servers do, and releases what it brought.
fn refuse(buffer: &mut MessageBuffer, reason: DecodeError) {
    let header = message::header(&buffer.request);
    let to = ReplyTo::header(&header);
    let reply = pod::word_bytes_mut(&mut buffer.scratch.reply);
    let answered = header.msgh_remote_port != 0
        && match to.encode_status(reply, reason.kern_return()) {
            Ok(size) => message::send(&mut buffer.scratch.reply, size).is_ok(),
            Err(_) => false,
        };
    if answered {
        // The reply used its right up; what is left of the message goes (as `mach_msg_server` does it).
        const REMOTE: usize = 2;
        buffer.request[REMOTE] = 0;
    }
    message::destroy(&mut buffer.request);
}
