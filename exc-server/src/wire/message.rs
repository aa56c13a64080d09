//! Calls `mach_msg` on buffers of words. Only this module calls it.
#![allow(unsafe_code)]

use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel;
use mach_sys::message::{
    Disposition, MACH_MSGH_BITS_LOCAL, MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_RCV_TRAILER_CTX,
    MACH_RCV_TRAILER_ELEMENTS, MACH_SEND_MSG, MACH_SEND_TIMEOUT, mach_msg_context_trailer_t,
    mach_msg_header_t, read_trailer,
};
use mach_sys::pod;
use mach_sys::rights::{Name, Queue, Right, SendOnceRight, SendRight};
use mach_sys::types::{MACH_PORT_NULL, mach_msg_option_t};

/// The option that requests the trailer with the port's context.
const CONTEXT_TRAILER: mach_msg_option_t = MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_CTX);

/// A message could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsent {
    pub(crate) code: KernError,
    /// `true` if its rights are released nevertheless: the kernel gave them back in the buffer (C10.7), and they were destroyed there.
    pub(crate) rights_gone: bool,
}

/// The errors after which the buffer contains the message again, with its rights under names that may differ from the earlier ones (C10.7).
const GIVEN_BACK: [KernError; 3] = [
    KernError::SEND_TIMED_OUT,
    KernError::SEND_INTERRUPTED,
    KernError::SEND_NO_BUFFER,
];

/// Sends the message of `size` bytes at the start of the buffer without waiting. A full queue does not block a send-once right (C10.5), and
/// a sender that gives a send right as its reply port must not make the server wait for room.
pub(crate) fn send(buffer: &mut [u32], size: usize) -> Result<(), Unsent> {
    let size = size.min(size_of_val(buffer));
    // SAFETY: the buffer is valid for reads of `size` bytes, and for writes if the kernel gives the message back.
    KernReturn::check(unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_SEND_MSG | MACH_SEND_TIMEOUT,
            size as u32,
            0,
            MACH_PORT_NULL,
            0,
            MACH_PORT_NULL,
        )
    })
    .map_err(|code| unsent(buffer, code))
}

/// Releases the rights of a message that the kernel gave back, and returns the error.
fn unsent(buffer: &mut [u32], code: KernError) -> Unsent {
    let rights_gone = GIVEN_BACK.contains(&code);
    if rights_gone {
        give_up(buffer);
    }
    Unsent { code, rights_gone }
}

/// Releases the right in the header's local field.
fn drop_local(header: &mach_msg_header_t) {
    let disposition = Disposition::new(MACH_MSGH_BITS_LOCAL(header.msgh_bits));
    let Some(name) = Name::new(header.msgh_local_port) else {
        return;
    };
    match disposition {
        Disposition::MOVE_SEND_ONCE => {
            // SAFETY: the kernel gave this right back with the message, under a name that no other code knows.
            drop(unsafe { SendOnceRight::from_name(name) });
        }
        Disposition::MOVE_SEND => {
            // SAFETY: as above; the message owned the reference.
            drop(unsafe { SendRight::<Queue>::from_name(name) });
        }
        _ => {}
    }
}

/// Receives a message into the buffer. Waits at most `milliseconds`; without limit for `None`.
pub(crate) fn receive(
    buffer: &mut [u32],
    port: Name,
    milliseconds: Option<u32>,
) -> Result<(), KernError> {
    let limit = milliseconds.map_or(0, |_| MACH_RCV_TIMEOUT);
    // SAFETY: the buffer is valid for writes of its size.
    KernReturn::check(unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_RCV_MSG | CONTEXT_TRAILER | limit,
            0,
            size_of_val(buffer) as u32,
            port.raw(),
            milliseconds.unwrap_or(0),
            MACH_PORT_NULL,
        )
    })
}

/// Sends the message of `size` bytes at the start of the buffer. Waits for room at most `milliseconds`. After `SEND_TIMED_OUT` the buffer
/// contains the message again, with its rights (C10.7): send it once more, or [give it up](give_up). After another error they are released.
pub(crate) fn try_send(
    buffer: &mut [u32],
    size: usize,
    milliseconds: u32,
) -> Result<(), KernError> {
    let size = size.min(size_of_val(buffer));
    // SAFETY: as in `send`.
    let sent = KernReturn::check(unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_SEND_MSG | MACH_SEND_TIMEOUT,
            size as u32,
            0,
            MACH_PORT_NULL,
            milliseconds,
            MACH_PORT_NULL,
        )
    });
    match sent {
        Err(code) if code != KernError::SEND_TIMED_OUT => Err(unsent(buffer, code).code),
        sent => sent,
    }
}

/// Releases the rights of a message that the kernel gave back.
pub(crate) fn give_up(buffer: &mut [u32]) {
    // The message is in its sent form: the reply right is in the local field, which `mach_msg_destroy` ignores.
    drop_local(&header(buffer));
    destroy(buffer);
}

/// Releases the rights of a received message, including its reply right.
pub(crate) fn destroy(buffer: &mut [u32]) {
    // SAFETY: the buffer contains a message that was received, or given back, and whose rights no other value owns.
    unsafe { kernel::mach_msg_destroy(buffer.as_mut_ptr().cast()) };
}

/// Returns the header of a received message.
pub(crate) fn header(buffer: &[u32]) -> mach_msg_header_t {
    pod::read(pod::word_bytes(buffer)).unwrap_or_default()
}

/// Returns the bytes of a received message without its trailer, and the context of the port that it arrived on; 0 if the trailer has none.
pub(crate) fn split(buffer: &[u32]) -> (&[u8], u64) {
    let bytes = pod::word_bytes(buffer);
    let context =
        read_trailer::<mach_msg_context_trailer_t>(bytes).map_or(0, |trailer| trailer.msgh_context);
    let size = header(buffer).msgh_size as usize;
    (bytes.get(..size).unwrap_or(bytes), context)
}
