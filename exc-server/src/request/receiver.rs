//! Pulling exceptions from a port or set, one at a time.

use crate::buffer::{MessageBuffer, Scratch};
use crate::error::ReceiveError;
use crate::exception::Exception;
use crate::message::{self, Unsent};
use crate::question::Question;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::time::Duration;
use mach_sys::kern_return::KernReturn;
use mach_sys::message::mach_msg_header_t;
use mach_sys::mig::{self, Accept, DecodeError, ReplyTo};
use mach_sys::pod;
use mach_sys::rights::{Name, PortSet, ReceiveRight, Right};
use mach_sys::types::MACH_PORT_NULL;

/// When a wait is given up.
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
    pub(crate) fn milliseconds(self) -> Option<u32> {
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
    owner: PhantomData<&'p ()>,
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
            owner: PhantomData,
        }
    }

    /// Waits for one exception. A message that is none is answered with the MIG error that Apple's servers answer, its rights are
    /// released, and it is reported.
    ///
    /// # Errors
    /// Nothing came in time, the port is gone, or what came is no exception request.
    pub fn receive<'b>(
        &self,
        buffer: &'b mut MessageBuffer,
        timeout: Timeout,
    ) -> Result<Exception<'b>, ReceiveError> {
        let received = receive(self.source, buffer, timeout.milliseconds())?;
        let context = received.context;
        Ok(Exception::new(received, context, None))
    }
}

/// A decoded request, and the context of the port that it arrived on.
pub(crate) struct Received<'b> {
    pub(crate) request: mig::Request<'b>,
    pub(crate) context: u64,
    pub(crate) scratch: &'b mut Scratch,
    pub(crate) question: &'b mut Question,
}

/// Receives one message and decodes it.
pub(crate) fn receive(
    source: Name,
    buffer: &mut MessageBuffer,
    milliseconds: Option<u32>,
) -> Result<Received<'_>, ReceiveError> {
    // One that was forgotten there is declined now, not when the next has come.
    buffer.question = None;
    if let Err(code) = message::receive(&mut buffer.request, source, milliseconds) {
        if code.without_space_bits() == KernReturn::RCV_BODY_ERROR {
            // It came all the same, with those of its rights that there was room for.
            message::destroy(&mut buffer.request);
        }
        return Err(receive_error(code));
    }
    let (bytes, _) = message::split(&buffer.request);
    if let Err(reason) = mig::decode(bytes, Accept::Both) {
        let id = message::header(&buffer.request).msgh_id;
        refuse(buffer, reason);
        return Err(ReceiveError::Malformed { id, reason });
    }
    let MessageBuffer {
        request,
        scratch,
        question,
    } = buffer;
    let (bytes, context) = message::split(request);
    match mig::decode(bytes, Accept::Both) {
        Ok(request) => Ok(Received {
            request,
            context,
            scratch,
            question: question.insert(Question::of(&request)),
        }),
        // Decoded above: the same bytes decode again.
        Err(reason) => Err(ReceiveError::Malformed { id: 0, reason }),
    }
}

fn receive_error(code: KernReturn) -> ReceiveError {
    match code.without_space_bits() {
        KernReturn::RCV_TIMED_OUT => ReceiveError::TimedOut,
        KernReturn::RCV_PORT_CHANGED | KernReturn::RCV_PORT_DIED | KernReturn::RCV_INVALID_NAME => {
            ReceiveError::PortGone
        }
        KernReturn::RCV_TOO_LARGE => ReceiveError::TooLarge,
        KernReturn::RCV_HEADER_ERROR | KernReturn::RCV_BODY_ERROR => ReceiveError::NoRoom(code),
        _ => ReceiveError::Kernel(code),
    }
}

/// Answers a message that is no request as Apple's servers do, and releases what it brought.
fn refuse(buffer: &mut MessageBuffer, reason: DecodeError) {
    let header = message::header(&buffer.request);
    let to = ReplyTo::header(&header);
    let reply = pod::word_bytes_mut(&mut buffer.scratch.reply);
    if header.msgh_remote_port != MACH_PORT_NULL {
        let sent = to
            .encode_status(reply, reason.kern_return())
            .map(|size| message::send(&mut buffer.scratch.reply, size));
        let used_up = matches!(
            sent,
            Ok(Ok(())
                | Err(Unsent {
                    rights_gone: true,
                    ..
                }))
        );
        if used_up {
            // What is left of the message goes without it (as `mach_msg_server` does it).
            const REMOTE: usize = offset_of!(mach_msg_header_t, msgh_remote_port) / 4;
            buffer.request[REMOTE] = MACH_PORT_NULL;
        }
    }
    message::destroy(&mut buffer.request);
}
