//! `mach_msg` over buffers of words: the only place here that calls it.
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel;
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_RCV_TRAILER_CTX,
    MACH_RCV_TRAILER_ELEMENTS, MACH_SEND_MSG, MACH_SEND_TIMEOUT, mach_msg_header_t,
};
use mach_sys::pod;
use mach_sys::rights::{Name, Right, SendRight};
use mach_sys::types::{MACH_PORT_NULL, mach_msg_option_t};

/// Asks for the trailer that has the port's context.
const CONTEXT_TRAILER: mach_msg_option_t = MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_CTX);
/// Words of the trailer before the context.
const CONTEXT_AT: usize = 13;

/// Sends the message of `size` bytes at the start of the buffer. Without a limit: reply rights are send-once rights, which no full
/// queue holds up.
pub(crate) fn send(buffer: &mut [u32], size: usize) -> Result<(), KernReturn> {
    let size = size.min(size_of_val(buffer));
    // SAFETY: the buffer is valid for `size` bytes, for reads and, should the kernel give the message back, for writes.
    KernReturn::check(unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_SEND_MSG,
            size as u32,
            0,
            MACH_PORT_NULL,
            0,
            MACH_PORT_NULL,
        )
    })
}

/// Receives into the buffer; waits at most `milliseconds`, or without limit.
pub(crate) fn receive(
    buffer: &mut [u32],
    port: Name,
    milliseconds: Option<u32>,
) -> Result<(), KernReturn> {
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

/// Sends the message of `size` bytes and receives an answer on `port` into the same buffer.
pub(crate) fn exchange(buffer: &mut [u32], size: usize, port: Name) -> Result<(), KernReturn> {
    let size = size.min(size_of_val(buffer));
    // SAFETY: the buffer is valid for reads of `size` bytes and for writes of its whole size.
    KernReturn::check(unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_SEND_MSG | MACH_RCV_MSG,
            size as u32,
            size_of_val(buffer) as u32,
            port.raw(),
            0,
            MACH_PORT_NULL,
        )
    })
}

/// Sends an empty message, which only wakes who receives it. If the queue is full, he is awake.
pub(crate) fn send_wake(to: &SendRight) {
    let mut header = mach_msg_header_t {
        msgh_bits: MACH_MSG_TYPE_COPY_SEND,
        msgh_size: size_of::<mach_msg_header_t>() as u32,
        msgh_remote_port: to.name().raw(),
        ..mach_msg_header_t::default()
    };
    // SAFETY: the header is a whole message, valid for reads and writes of its size.
    let _ = KernReturn::check(unsafe {
        kernel::mach_msg(
            core::ptr::from_mut(&mut header).cast(),
            MACH_SEND_MSG | MACH_SEND_TIMEOUT,
            size_of::<mach_msg_header_t>() as u32,
            0,
            MACH_PORT_NULL,
            0,
            MACH_PORT_NULL,
        )
    });
}

/// Releases the rights of a received message that nobody takes, its reply right included.
pub(crate) fn destroy(buffer: &mut [u32]) {
    // SAFETY: the buffer holds a message that was received, whose rights nobody else owns.
    unsafe { kernel::mach_msg_destroy(buffer.as_mut_ptr().cast()) };
}

/// The header of a received message.
pub(crate) fn header(buffer: &[u32]) -> mach_msg_header_t {
    pod::read(pod::word_bytes(buffer)).unwrap_or_default()
}

/// The bytes of a received message, without its trailer, and the context of the port that it arrived on.
pub(crate) fn split(buffer: &[u32]) -> (&[u8], u64) {
    let size = (header(buffer).msgh_size as usize).min(size_of_val(buffer));
    let (message, trailer) = buffer.split_at(size.div_ceil(4));
    let context = match trailer.get(CONTEXT_AT..CONTEXT_AT + 2) {
        Some([low, high]) => u64::from(*high) << 32 | u64::from(*low),
        _ => 0,
    };
    let bytes = pod::word_bytes(message);
    (bytes.get(..size).unwrap_or(bytes), context)
}
