//! Sends a request and receives its reply.
#![allow(unsafe_code)]

use super::error::RaiseError;
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::message::{
    Disposition, MACH_MSGH_BITS_LOCAL, MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_SEND_INTERRUPT,
    MACH_SEND_MSG, MACH_SEND_TIMEOUT, MAX_TRAILER_SIZE, mach_msg_header_t,
};
use crate::mig::{HeaderPort, REPLY_SIZE_MAX, REQUEST_SIZE_MAX, Raise, Routine, check_reply};
use crate::pod;
use crate::rights::{Name, ReceiveRight, Right, SendOnceRight};
use crate::types::{MACH_PORT_NULL, mach_msg_timeout_t, natural_t, thread_state_flavor_t};
use core::time::Duration;

/// Words of the largest request or reply, with the largest trailer.
const WORDS: usize = {
    let message = if REQUEST_SIZE_MAX > REPLY_SIZE_MAX {
        REQUEST_SIZE_MAX
    } else {
        REPLY_SIZE_MAX
    };
    (message + MAX_TRAILER_SIZE as usize).div_ceil(4)
};

/// Memory for a request, and then for its reply.
struct Buffer([u32; WORDS]);

impl Buffer {
    const fn new() -> Self {
        Self([0; WORDS])
    }

    fn header(&self) -> mach_msg_header_t {
        pod::read(pod::word_bytes(&self.0)).unwrap_or_default()
    }

    /// Releases the rights of a message that was received or given back, but for the local port's.
    fn destroy(&mut self) {
        // SAFETY: the buffer contains a message that was received, or given back, and whose rights no other value owns.
        unsafe { kernel::mach_msg_destroy(self.0.as_mut_ptr().cast()) };
    }

    /// Releases the rights of a request that the kernel gave back as its sender wrote it: the reply right is the local one (C10.7).
    fn give_up(&mut self) {
        let header = self.header();
        let local = Disposition::new(MACH_MSGH_BITS_LOCAL(header.msgh_bits));
        let reply =
            Name::new(header.msgh_local_port).filter(|_| local == Disposition::MOVE_SEND_ONCE);
        if let Some(name) = reply {
            // SAFETY: the kernel gave this right back with the message, under a name that no other code knows.
            drop(unsafe { SendOnceRight::from_name(name) });
        }
        self.destroy();
    }

    /// Calls `mach_msg` to send `size` bytes and to receive the reply.
    fn call(
        &mut self,
        size: usize,
        port: &ReceiveRight,
        limit: Option<mach_msg_timeout_t>,
    ) -> Result<(), KernError> {
        let timeouts = match limit {
            Some(_) => MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT,
            None => 0,
        };
        // SAFETY: the buffer is valid for reads of `size` bytes, and for writes of its size.
        KernReturn::check(unsafe {
            kernel::mach_msg(
                self.0.as_mut_ptr().cast(),
                MACH_SEND_MSG | MACH_RCV_MSG | MACH_SEND_INTERRUPT | timeouts,
                size as u32,
                size_of_val(&self.0) as u32,
                port.name().raw(),
                limit.unwrap_or(0),
                MACH_PORT_NULL,
            )
        })
    }
}

/// Sends the request, whose local port is filled in here, and checks the reply. Copies the words of its state to `new`; returns the
/// flavor, 0 for a routine without state, and the number of words.
pub(super) fn exchange(
    raise: Raise<'_>,
    new: &mut [natural_t],
    limit: Option<Duration>,
) -> Result<(thread_state_flavor_t, usize), RaiseError> {
    let limit = limit.map(milliseconds);
    let mut buffer = Buffer::new();
    loop {
        // A port of its own for each try: a late reply is destroyed with it, and so is the notification of a reply right that came back
        // with its request.
        let port = ReceiveRight::new().map_err(RaiseError::ReplyPort)?;
        let raise = Raise {
            local: HeaderPort::new(port.name().raw(), Disposition::MAKE_SEND_ONCE),
            ..raise
        };
        let size = raise.encode(pod::word_bytes_mut(&mut buffer.0))?;
        match buffer.call(size, &port, limit) {
            Ok(()) => break,
            Err(KernError::SEND_INTERRUPTED) => buffer.give_up(),
            Err(error @ (KernError::SEND_TIMED_OUT | KernError::SEND_NO_BUFFER)) => {
                buffer.give_up();
                return Err(RaiseError::Send(error));
            }
            Err(error) => return Err(lost(&mut buffer, error)),
        }
    }
    let outcome = handled(raise.routine, &buffer, new);
    if outcome.is_err() {
        // Releases the rights of a malformed reply. A good one carries none.
        buffer.destroy();
    }
    outcome
}

/// Checks the reply in the buffer as the kernel does, and copies its state.
fn handled(
    routine: Routine,
    buffer: &Buffer,
    new: &mut [natural_t],
) -> Result<(thread_state_flavor_t, usize), RaiseError> {
    let bytes = pod::word_bytes(&buffer.0);
    let bytes = bytes
        .get(..buffer.header().msgh_size as usize)
        .unwrap_or(bytes);
    let reply = check_reply(routine, bytes, routine.reply_buffer_size())?;
    let (found, room) = (reply.new_state.len(), new.len());
    reply
        .new_state
        .copy_to(new)
        .ok_or(RaiseError::NewState { found, room })?;
    Ok((reply.flavor.unwrap_or(0), found))
}

/// Returns the error of a call that neither received a reply nor gave the request back. A reply that was received in part is released.
fn lost(buffer: &mut Buffer, error: KernError) -> RaiseError {
    match error.without_space_bits() {
        KernError::RCV_HEADER_ERROR | KernError::RCV_BODY_ERROR => {
            buffer.destroy();
            RaiseError::Receive(error)
        }
        // The `MACH_RCV_*` errors have bit 14 set, the `MACH_SEND_*` errors do not.
        _ if error.raw() & 0x4000 != 0 => RaiseError::Receive(error),
        _ => RaiseError::Send(error),
    }
}

/// Returns a time limit in milliseconds, rounded up.
fn milliseconds(limit: Duration) -> mach_msg_timeout_t {
    let whole = limit.as_nanos().div_ceil(1_000_000);
    mach_msg_timeout_t::try_from(whole).unwrap_or(mach_msg_timeout_t::MAX)
}
