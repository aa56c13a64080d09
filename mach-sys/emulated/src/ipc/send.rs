//! Sending (C10).
//!
//! The message is copied in before the lock is taken; under the lock its rights are taken from the sender's names, the header's
//! first and all or nothing, and it is queued.

use super::copyout;
use super::deliver;
use super::header::{self, View};
use super::kmsg::{CAPACITY, Right};
use super::monitor::{Held, Monitor};
use super::mqueue::{self, QueueFull};
use super::name::{Name, SpaceId};
use super::pool::Buffer;
use super::requested;
use super::right;
use super::transit;
use super::wait_word::Waited;
use super::waitq::WaitOn;
use crate::host::CallWait;
use core::time::Duration;
use mach_wire::exception::GuardCode;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::{MessageOptions, mach_msg_header_t};
use std::time::Instant;

/// Arguments of a send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendRequest {
    pub(crate) address: u64,
    /// Size of the message in bytes.
    pub(crate) size: u32,
    pub(crate) options: MessageOptions,
    /// Milliseconds, if the options have `SEND_TIMEOUT`.
    pub(crate) timeout: u32,
}

/// Sends a message whose names are those of `space`.
///
/// A guard that the call raises is written to `guard` (A13).
pub(crate) fn send<T>(
    kernel: &Monitor<T>,
    space: SpaceId,
    request: SendRequest,
    guard: &mut Option<GuardCode>,
) -> Result<(), KernReturn> {
    if (request.size as usize) < size_of::<mach_msg_header_t>() || request.size % 4 != 0 {
        return Err(KernReturn::SEND_MSG_TOO_SMALL);
    }
    if request.size as usize > CAPACITY {
        return Err(KernReturn::SEND_TOO_LARGE);
    }
    let common = kernel.pool().take();
    let needs_reserve = common.is_none();
    let buffer = common.or_else(|| kernel.pool().take_reserved());
    let mut message = buffer.ok_or(KernReturn::SEND_NO_BUFFER)?;
    let bytes = &mut message.bytes_mut()[..request.size as usize];
    let inside = kernel.enter();
    kernel
        .copy_from_user(inside.blocked(), request.address, bytes)
        .map_err(|_| KernReturn::SEND_INVALID_DATA)?;
    message.size = request.size;
    let header = mach_msg_header_t {
        msgh_size: request.size,
        ..message.header()
    };
    message.set_header(&header);
    let checked = message.check_descriptors();
    if checked.is_err() && !kernel.rules().descriptors_are_checked_last() {
        return checked;
    }
    let mut held = kernel.lock_inside(inside);
    let ipc = &mut held.ipc();
    if needs_reserve && !header::is_reply_to_the_kernel(ipc, space, &message) {
        return Err(KernReturn::SEND_NO_BUFFER);
    }
    let destination = Name::new(message.header().msgh_remote_port);
    let header = header::copyin_header(ipc, space, &mut message);
    *guard = ipc.take_guard();
    header?;
    if request.options.contains(MessageOptions::SEND_NOTIFY) {
        if let Right::Send(port) = message.destination {
            if mqueue::is_full(ipc, port) {
                requested::found_full(ipc, space, destination);
            }
        }
    }
    let taken = match checked {
        Ok(()) => header::copyin_body(ipc, space, &mut message),
        Err(_) => {
            message.forget_descriptors();
            checked
        }
    };
    *guard = ipc.take_guard();
    if taken.is_err() || transit::closes_a_circle(ipc, &message) {
        right::destroy_message(ipc, message);
        return taken;
    }
    post(kernel, held, space, message, request)
}

/// Queues a message whose rights are in the kernel's hands, waiting for room where the limit asks for it (C10.5).
fn post<'k, T>(
    kernel: &'k Monitor<T>,
    mut held: Held<'k, T>,
    space: SpaceId,
    message: Buffer<'k>,
    request: SendRequest,
) -> Result<(), KernReturn> {
    let timeout = Duration::from_millis(u64::from(request.timeout));
    let deadline =
        (request.options.contains(MessageOptions::SEND_TIMEOUT)).then(|| Instant::now() + timeout);
    // A send-once right is never held up.
    while let Right::Send(port) = message.destination {
        let ipc = held.ipc();
        if !mqueue::is_full(&ipc, port) {
            break;
        }
        let object = WaitOn::Port(port);
        let sequence = ipc.wait_word(object).sequence();
        let wait = CallWait::begin(object.to_word());
        drop(held);
        let waited = kernel.wait(object, sequence, deadline, false);
        held = kernel.lock();
        let waited = waited.with(wait.end());
        let interrupts = request.options.contains(MessageOptions::SEND_INTERRUPT);
        let refusal = match waited {
            Waited::TimedOut if mqueue::is_full(&held.ipc(), port) => KernReturn::SEND_TIMED_OUT,
            Waited::Interrupted if interrupts => KernReturn::SEND_INTERRUPTED,
            _ => continue,
        };
        return give_back(kernel, held, space, message, request, refusal);
    }
    let delivered = deliver::deliver(&mut held.ipc(), message);
    match delivered {
        Ok(()) => Ok(()),
        Err(QueueFull(message)) => {
            let refusal = KernReturn::SEND_NO_BUFFER;
            give_back(kernel, held, space, message, request, refusal)
        }
    }
}

/// Gives the caller its message back, as if received but not swapped (C10.7).
fn give_back<'k, T>(
    kernel: &'k Monitor<T>,
    mut held: Held<'k, T>,
    space: SpaceId,
    mut message: Buffer<'k>,
    request: SendRequest,
    refusal: KernReturn,
) -> Result<(), KernReturn> {
    let ipc = &mut held.ipc();
    let (to, answer) = (message.destination, message.reply);
    let destination = copyout::copyout(ipc, space, to);
    let reply = copyout::copyout(ipc, space, answer);
    header::write_ports(&mut message, View::Sender, destination, reply);
    header::copyout_body(ipc, space, &mut message);
    let blocked = held.blocked();
    drop(held);
    let size = message.size as usize;
    // A caller whose buffer went away meanwhile keeps the rights under names that it was not told.
    let _ = kernel.copy_to_user(blocked, request.address, &message.bytes()[..size]);
    Err(refusal)
}
