//! Sends messages (C10).
//!
//! The message is copied in before the lock is taken; under the lock its rights are taken from the sender's names, the header's
//! first and all or nothing, and it is queued.
#![allow(unsafe_code)]

use super::abandoned::Holding;
use super::block::Block;
use super::body::{self, Descriptors};
use super::copyout;
use super::deliver;
use super::header::{self, BodyCopyin, BodyCopyout, Guarded, View};
use super::kmsg::{Kmsg, Right};
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
use crate::host::copy::CopyFault;
use crate::host::{Blocked, pages};
use core::time::Duration;
use mach_wire::exception::GuardCode;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::{MessageOptions, mach_msg_header_t};
use std::time::Instant;

/// The largest message that XNU takes, in bytes: 48 MiB less 68 (C10.1).
const LARGEST: u32 = 50_331_580;

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
    if request.size > LARGEST {
        return Err(KernReturn::SEND_TOO_LARGE);
    }
    let common = kernel.pool().take();
    let needs_reserve = common.is_none();
    let buffer = common.or_else(|| kernel.pool().take_reserved());
    let mut message = buffer.ok_or(KernReturn::SEND_NO_BUFFER)?;
    if !message.reserve(request.size as usize) {
        return Err(KernReturn::SEND_NO_BUFFER);
    }
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
    let checked = body::check(&message);
    if checked.is_err() && !kernel.rules().descriptors_are_checked_last() {
        return checked;
    }
    let memory = match checked {
        Ok(()) => copyin_memory(kernel, inside.blocked(), &mut message)?,
        Err(_) => CopiedIn::default(),
    };
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
        Ok(()) => {
            let mut copyin = BodyCopyin::of(&message, memory.bad);
            loop {
                let ipc = &mut held.ipc();
                let more = copyin.step(ipc, space, &mut message);
                *guard = guard.or(ipc.take_guard());
                if !more {
                    break;
                }
                drop(held);
                held = kernel.lock();
            }
            if memory.any {
                drop(held);
                let always = kernel.rules().arrays_of_ports_are_virtual_copies();
                settle_memory(&mut message, &copyin, always);
                held = kernel.lock();
            }
            copyin.outcome()
        }
        Err(_) => {
            message.forget_descriptors();
            checked
        }
    };
    let ipc = &mut held.ipc();
    if taken.is_err() || transit::closes_a_circle(ipc, &message) {
        right::destroy_message(ipc, message);
        return taken;
    }
    post(kernel, held, space, message, request)
}

/// The out-of-line memory of a message that is sent.
#[derive(Clone, Copy, Debug, Default)]
struct CopiedIn {
    /// True if the message has descriptors of it.
    any: bool,
    /// Offset of the descriptor whose memory cannot be read, if there is one; it and those behind it have no memory then.
    bad: Option<usize>,
}

/// Copies the out-of-line memory of a message into pages of the message's own, with no lock held.
fn copyin_memory<T>(
    kernel: &Monitor<T>,
    blocked: Blocked,
    message: &mut Kmsg,
) -> Result<CopiedIn, KernReturn> {
    let size = body::memory_size(message);
    if size > 0 {
        message.memory = Block::map(size).ok_or(KernReturn::SEND_NO_BUFFER)?;
    }
    let mut copied_in = CopiedIn::default();
    let mut descriptors = Descriptors::of(message);
    while let Some(memory) = descriptors.next_memory(message) {
        copied_in.any = true;
        if copied_in.bad.is_none() && memory.bytes > 0 {
            let range = memory.offset..memory.offset + memory.bytes;
            let copied = match message.memory.bytes_mut().get_mut(range) {
                Some(into) => kernel.copy_from_user(blocked, memory.address, into),
                None => Err(CopyFault::InvalidAddress),
            };
            if copied.is_err() {
                copied_in.bad = Some(memory.at);
            }
        }
        if copied_in.bad.is_some() {
            body::forget(message, memory);
        }
    }
    Ok(copied_in)
}

/// Releases the memory that its sender gives away with the message, and writes where the receiver finds it. With no lock held.
fn settle_memory(message: &mut Kmsg, copyin: &BodyCopyin, always: bool) {
    let mut descriptors = Descriptors::of(message);
    while let Some(memory) = descriptors.next_memory(message) {
        if memory.deallocate && copyin.has_taken(memory) {
            // SAFETY: the seam's contract: memory that is sent with the flag `deallocate` is the sender's to give away.
            let _ = unsafe { pages::release_around(memory.address as usize, memory.bytes) };
        }
        body::place(message, memory, always);
    }
}

/// Queues a message whose rights are in the kernel's hands, waiting for room where the limit asks for it (C10.5).
fn post<'k, T>(
    kernel: &'k Monitor<T>,
    mut held: Held<'k, T>,
    space: SpaceId,
    message: Buffer<'k>,
    request: SendRequest,
) -> Result<(), KernReturn> {
    let timeout = (request.options.contains(MessageOptions::SEND_TIMEOUT))
        .then(|| Duration::from_millis(u64::from(request.timeout)));
    let mut deadline = None;
    // A send-once right is never held up, and most sends are not: the clock is read by those that are.
    while let Right::Send(port) = message.destination {
        let ipc = held.ipc();
        if !mqueue::is_full(&ipc, port) {
            break;
        }
        let object = WaitOn::Port(port);
        let sequence = ipc.wait_word(object).sequence();
        let wait = CallWait::begin(Holding::Message(message.id()).in_wait_for(object));
        drop(held);
        deadline = deadline.or_else(|| timeout.map(|timeout| Instant::now() + timeout));
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
    let mut body = BodyCopyout::of(&message, Guarded::GivenBack(request.address));
    while body.step(&mut held.ipc(), space, &mut message) {
        drop(held);
        held = kernel.lock();
    }
    let blocked = held.blocked();
    drop(held);
    let size = message.size as usize;
    // A caller whose buffer went away meanwhile keeps the rights under names that it was not told.
    let _ = kernel.copy_to_user(blocked, request.address, &message.bytes()[..size]);
    Err(refusal)
}
