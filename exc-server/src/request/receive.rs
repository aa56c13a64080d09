//! Receives and decodes one message.

use crate::clock;
use crate::error::ReceiveError;
use crate::request::buffer::MessageBuffer;
use crate::request::deferrals::Deferrals;
use crate::request::question::Question;
use crate::wire::message::{self, Unsent};
use crate::wire::scratch::Scratch;
use core::mem::offset_of;
use mach_sys::kern_return::KernError;
use mach_sys::kernel::system::Origin;
use mach_sys::message::mach_msg_header_t;
use mach_sys::mig::{self, Accept, DecodeError, ReplyTo};
use mach_sys::pod;
use mach_sys::rights::{Name, PortSet};
use mach_sys::types::MACH_PORT_NULL;

/// A decoded request, and the context of the port that it arrived on.
pub(crate) struct Received<'b> {
    pub(crate) request: mig::Request<'b>,
    pub(crate) context: u64,
    pub(crate) scratch: &'b mut Scratch,
    pub(crate) question: &'b mut Question,
}

/// The port or port set to receive messages from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// The name of the port or port set.
    pub(crate) name: Name,
    /// The port set; `None` for a port, and for a server, which knows its ports.
    pub(crate) set: Option<&'a PortSet>,
    /// The process that the name belongs to.
    pub(crate) origin: Origin,
    /// The table of deferred exceptions, whose deadlines are kept while waiting.
    pub(crate) deferrals: Option<&'a Deferrals>,
    /// `true` if other threads may defer into the table during a wait here, which they cannot interrupt.
    pub(crate) shared: bool,
}

/// The time in milliseconds after which a wait checks a table that other threads may defer into.
const LOOK: u32 = 100;

/// Receives one message and decodes it. While waiting, declines deferred exceptions whose deadline passes.
pub(crate) fn receive<'b>(
    source: Source<'_>,
    buffer: &'b mut MessageBuffer,
    milliseconds: Option<u32>,
) -> Result<Received<'b>, ReceiveError> {
    await_message(source, buffer, milliseconds)?;
    decode(source, buffer)
}

/// Receives one message into the buffer.
fn await_message(
    source: Source<'_>,
    buffer: &mut MessageBuffer,
    milliseconds: Option<u32>,
) -> Result<(), ReceiveError> {
    // Declines a request that was forgotten in the buffer, before the wait.
    buffer.question = None;
    if let Err(code) = wait(source, buffer, milliseconds) {
        if code.without_space_bits() == KernError::RCV_BODY_ERROR {
            // The message arrived, with as many of its rights as there was room for.
            message::destroy(&mut buffer.request);
        }
        return Err(receive_error(code));
    }
    Ok(())
}

/// Decodes the message that was received into the buffer.
pub(crate) fn decode<'b>(
    source: Source<'_>,
    buffer: &'b mut MessageBuffer,
) -> Result<Received<'b>, ReceiveError> {
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
            question: question.insert(Question::of(&request, source.origin)),
        }),
        // Unreachable: the same bytes were decoded above.
        Err(reason) => Err(ReceiveError::Malformed { id: 0, reason }),
    }
}

/// Receives like [`receive`], from a set that also contains the port of an awaited reply. Returns `None` if the reply arrived, which is then
/// in the buffer, and `Kernel(RCV_TOO_LARGE)` if it arrived and is lost.
#[cfg(feature = "std")]
pub(crate) fn receive_beside<'b>(
    source: Source<'_>,
    buffer: &'b mut MessageBuffer,
    milliseconds: Option<u32>,
    reply: Name,
) -> Result<Option<Received<'b>>, ReceiveError> {
    let received = await_message(source, buffer, milliseconds);
    let is_reply = message::header(&buffer.request).msgh_local_port == reply.raw();
    match received {
        Ok(()) if is_reply => Ok(None),
        Ok(()) => decode(source, buffer).map(Some),
        // The header comes all the same.
        Err(ReceiveError::TooLarge | ReceiveError::NoRoom(_)) if is_reply => {
            Err(ReceiveError::Kernel(KernError::RCV_TOO_LARGE))
        }
        Err(error) => Err(error),
    }
}

/// Releases the rights of a message that was received into the buffer and is no request.
#[cfg(feature = "std")]
pub(crate) fn discard_message(buffer: &mut MessageBuffer) {
    message::destroy(&mut buffer.request);
}

/// Receives a message, waking up for each deadline of a deferred exception.
fn wait(
    source: Source<'_>,
    buffer: &mut MessageBuffer,
    milliseconds: Option<u32>,
) -> Result<(), KernError> {
    let expire = || {
        source
            .deferrals
            .and_then(|deferrals| deferrals.slots().expire())
    };
    let look = source.deferrals.filter(|_| source.shared).map(|_| LOOK);
    let Some(mut next) = expire().or(look) else {
        return message::receive(&mut buffer.request, source.name, milliseconds);
    };
    let end = milliseconds
        .map(|limit| clock::now().saturating_add(u64::from(limit).saturating_mul(1_000_000)));
    loop {
        let left = end.map_or(u32::MAX, |end| {
            let left = end.saturating_sub(clock::now()).div_ceil(1_000_000);
            u32::try_from(left).unwrap_or(u32::MAX)
        });
        let limit = next.min(left).min(look.unwrap_or(u32::MAX));
        let received = message::receive(&mut buffer.request, source.name, Some(limit));
        let timed_out = received == Err(KernError::RCV_TIMED_OUT);
        if !timed_out || end.is_some_and(|end| clock::now() >= end) {
            return received;
        }
        next = expire().unwrap_or(u32::MAX);
    }
}

fn receive_error(code: KernError) -> ReceiveError {
    match code.without_space_bits() {
        KernError::RCV_TIMED_OUT => ReceiveError::TimedOut,
        KernError::RCV_PORT_CHANGED | KernError::RCV_PORT_DIED | KernError::RCV_INVALID_NAME => {
            ReceiveError::PortGone
        }
        KernError::RCV_TOO_LARGE => ReceiveError::TooLarge,
        KernError::RCV_HEADER_ERROR | KernError::RCV_BODY_ERROR => ReceiveError::NoRoom(code),
        _ => ReceiveError::Kernel(code),
    }
}

/// Replies to a message that is not a request as Apple's servers do, and releases its rights.
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
            // The rest of the message is destroyed without the reply right, as `mach_msg_server` does.
            const REMOTE: usize = offset_of!(mach_msg_header_t, msgh_remote_port) / 4;
            buffer.request[REMOTE] = MACH_PORT_NULL;
        }
    }
    message::destroy(&mut buffer.request);
}
