//! Sending (C10).
//!
//! The message is copied in before the lock is taken; under the lock its rights are taken from the sender's names, the header's
//! first and all or nothing, and it is queued.

use super::buffer::{Buffer, CAPACITY};
use super::copyin::{Dead, received_disposition};
use super::lock::Waited;
use super::mach::{Locked, Mach, TaskId};
use super::object::{Carried, Kind, QueueFull};
use super::space::Rights;
use core::time::Duration;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::*;
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL};
use std::time::Instant;

const HEADER: u32 = 24;
const BODY: u32 = 28;
const DESCRIPTOR: u32 = 12;

/// A message that a user wants sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendRequest {
    pub(crate) address: u64,
    pub(crate) size: u32,
    pub(crate) options: i32,
    pub(crate) timeout: u32,
}

/// Sends a message of a task's.
pub(crate) fn send(mach: &Mach, task: TaskId, request: SendRequest) -> Result<(), KernReturn> {
    if request.size < HEADER || request.size % 4 != 0 {
        return Err(KernReturn::SEND_MSG_TOO_SMALL);
    }
    if request.size as usize > CAPACITY {
        return Err(KernReturn::SEND_TOO_LARGE);
    }
    let mut message = mach.pool().take().ok_or(KernReturn::SEND_NO_BUFFER)?;
    mach.copy_from_user(
        request.address,
        &mut message.bytes_mut()[..request.size as usize],
    )
    .map_err(|_| KernReturn::SEND_INVALID_DATA)?;
    message.size = request.size;
    message.set_word(4, request.size);
    check_descriptors(&message)?;
    let mut kernel = mach.lock();
    kernel.copyin_header(task, &mut message)?;
    if let Err(error) = kernel.copyin_descriptors(task, &mut message) {
        kernel.destroy_message(message);
        return Err(error);
    }
    post(mach, kernel, task, message, request)
}

/// C10.1: what can be wrong with the descriptors, before any right is touched.
fn check_descriptors(message: &Buffer<'_>) -> Result<(), KernReturn> {
    if !message.is_complex() {
        return Ok(());
    }
    if message.size < BODY {
        return Err(KernReturn::SEND_MSG_TOO_SMALL);
    }
    let room = (message.size - BODY) / DESCRIPTOR;
    let count = message.descriptors();
    if count > room as usize {
        return Err(KernReturn::SEND_MSG_TOO_SMALL);
    }
    for index in 0..count {
        let kind = message.word(super::buffer::Content::descriptor_offset(index) + 8) >> 24;
        // Out-of-line memory and guarded ports: not carried by the emulation, which says so as for an unknown type.
        if kind != MACH_MSG_PORT_DESCRIPTOR {
            return Err(KernReturn::SEND_INVALID_TYPE);
        }
    }
    Ok(())
}

/// Queues a message whose rights are in the kernel's hands, waiting for room where the limit asks for it (C10.5).
fn post<'m>(
    mach: &'m Mach,
    mut kernel: Locked<'m>,
    task: TaskId,
    message: Buffer<'m>,
    request: SendRequest,
) -> Result<(), KernReturn> {
    let port = message.destination;
    let deadline = (request.options & MACH_SEND_TIMEOUT != 0)
        .then(|| Instant::now() + Duration::from_millis(u64::from(request.timeout)));
    while !message.through_send_once && kernel.is_full(port) {
        let sequence = kernel.wait_word(port).sequence();
        drop(kernel);
        let waited = mach.wait(port, sequence, deadline, false);
        kernel = mach.lock();
        let refusal = match waited {
            Waited::TimedOut if kernel.is_full(port) => KernReturn::SEND_TIMED_OUT,
            Waited::Interrupted if request.options & MACH_SEND_INTERRUPT != 0 => {
                KernReturn::SEND_INTERRUPTED
            }
            _ => continue,
        };
        return give_back(mach, kernel, task, message, request, refusal);
    }
    match kernel.deliver(message) {
        Ok(()) => Ok(()),
        Err(QueueFull(message)) => give_back(
            mach,
            kernel,
            task,
            message,
            request,
            KernReturn::SEND_NO_BUFFER,
        ),
    }
}

/// The caller gets its message back, as if received but not swapped (C10.7).
fn give_back<'m>(
    mach: &'m Mach,
    mut kernel: Locked<'m>,
    task: TaskId,
    mut message: Buffer<'m>,
    request: SendRequest,
    refusal: KernReturn,
) -> Result<(), KernReturn> {
    let destination = core::mem::take(&mut message.destination);
    let disposition = if message.through_send_once {
        MACH_MSG_TYPE_PORT_SEND_ONCE
    } else {
        MACH_MSG_TYPE_PORT_SEND
    };
    let name = kernel.copyout(task, Carried::Object(destination), disposition);
    message.set_word(8, name);
    let reply = Carried::from_word(core::mem::take(&mut message.reply));
    let reply_disposition = u32::from(message.reply_disposition);
    let name = kernel.copyout(task, reply, reply_disposition);
    message.set_word(12, name);
    let flags = message.word(0) & MACH_MSGH_BITS_COMPLEX;
    message.set_word(0, flags | disposition | reply_disposition << 8);
    kernel.copyout_descriptors(task, &mut message);
    drop(kernel);
    let size = message.size as usize;
    // A caller whose buffer went away meanwhile keeps the rights under names that it was not told.
    let _ = mach.copy_to_user(request.address, &message.bytes()[..size]);
    Err(refusal)
}

impl<'m> Locked<'m> {
    /// Takes the destination and reply rights from the sender's names: both or none (C10.2, C10.3).
    fn copyin_header(&mut self, task: TaskId, message: &mut Buffer<'m>) -> Result<(), KernReturn> {
        let bits = message.word(0);
        let (destination, reply) = (message.word(8), message.word(12));
        let (to, answer) = (bits & 0x1f, bits >> 8 & 0x1f);
        let is_send = |disposition: u32| {
            (MACH_MSG_TYPE_MOVE_SEND..=MACH_MSG_TYPE_MAKE_SEND_ONCE).contains(&disposition)
        };
        if answer == 0 && reply != MACH_PORT_NULL || answer != 0 && !is_send(answer) {
            return Err(KernReturn::SEND_INVALID_HEADER);
        }
        if bits & MACH_MSGH_BITS_VOUCHER_MASK != 0 {
            return Err(KernReturn::SEND_INVALID_VOUCHER);
        }
        if !is_send(to) {
            return Err(KernReturn::SEND_INVALID_HEADER);
        }
        let once = MACH_MSG_TYPE_MOVE_SEND_ONCE;
        if destination == MACH_PORT_NULL
            || destination == MACH_PORT_DEAD
            || destination == reply && (to == once || answer == once)
        {
            return Err(KernReturn::SEND_INVALID_DEST);
        }
        let entry = self
            .space(task)
            .get(destination)
            .ok_or(KernReturn::SEND_INVALID_DEST)?;
        if entry.rights.has(Rights::DEAD_NAME) || entry.rights.has(Rights::PORT_SET) {
            return Err(KernReturn::SEND_INVALID_DEST);
        }
        // A send-once right whose port died, not looked at since: the message is accepted, and vanishes (C10.2).
        let vanishes =
            to == once && entry.rights.has(Rights::SEND_ONCE) && !self.object(entry.object).alive;
        let has_reply = reply != MACH_PORT_NULL && reply != MACH_PORT_DEAD;
        if has_reply {
            self.reply_check(task, reply, answer)?;
        }
        if !vanishes {
            self.copyin_check(task, destination, to, Dead::Refused)
                .map_err(|_| KernReturn::SEND_INVALID_DEST)?;
        }
        if destination == reply && to == MACH_MSG_TYPE_MOVE_SEND && answer == to {
            let references = self.space(task).get(reply).map_or(0, |e| e.references);
            if references < 2 {
                return Err(KernReturn::SEND_INVALID_DEST);
            }
        }
        let take_reply = |kernel: &mut Self| match reply {
            MACH_PORT_NULL => Ok(Carried::Null),
            MACH_PORT_DEAD => Ok(Carried::Dead),
            name => kernel
                .copyin(task, name, answer, Dead::Accepted)
                .map_err(|_| KernReturn::SEND_INVALID_REPLY),
        };
        // One reference moved and copied at once suffices when the copy is made first (C10.3).
        let copy_first = destination == reply && to == MACH_MSG_TYPE_MOVE_SEND;
        let early = if copy_first {
            Some(take_reply(self)?)
        } else {
            None
        };
        let taken = if vanishes {
            let object = self.space(task).get(destination).map_or(0, |e| e.object);
            self.retain(object);
            self.free_name(task, destination);
            Carried::Object(object)
        } else {
            self.copyin(task, destination, to, Dead::Refused)
                .map_err(|_| KernReturn::SEND_INVALID_DEST)?
        };
        message.destination = taken.to_word();
        message.through_send_once = received_disposition(to) == MACH_MSG_TYPE_PORT_SEND_ONCE;
        let right = match early {
            Some(right) => right,
            None => take_reply(self)?,
        };
        message.reply = right.to_word();
        message.reply_disposition = match answer {
            0 => 0,
            answer => received_disposition(answer) as u8,
        };
        Ok(())
    }

    /// C10.2: a reply right that is absent, a set, a dead name already, or of the wrong kind. One whose port died without its
    /// name having been looked at since goes through.
    fn reply_check(&mut self, task: TaskId, reply: u32, answer: u32) -> Result<(), KernReturn> {
        let entry = self
            .space(task)
            .get(reply)
            .ok_or(KernReturn::SEND_INVALID_REPLY)?;
        if entry.rights.has(Rights::DEAD_NAME) {
            return Err(KernReturn::SEND_INVALID_REPLY);
        }
        self.copyin_check(task, reply, answer, Dead::Accepted)
            .map_err(|_| KernReturn::SEND_INVALID_REPLY)
    }

    /// Takes the rights of a message's body, in order. On an error the message holds what was taken before it, for destruction
    /// (C10.4).
    fn copyin_descriptors(
        &mut self,
        task: TaskId,
        message: &mut Buffer<'m>,
    ) -> Result<(), KernReturn> {
        let mut outcome = Ok(());
        for index in 0..message.descriptors() {
            let at = super::buffer::Content::descriptor_offset(index);
            let (name, disposition) = (message.word(at), message.word(at + 8) >> 16 & 0xff);
            let right = match outcome {
                Ok(()) => self.copyin_body(task, name, disposition),
                Err(_) => Ok(Carried::Null),
            };
            let right = right.unwrap_or_else(|_| {
                outcome = Err(KernReturn::SEND_INVALID_RIGHT);
                Carried::Null
            });
            message.set_descriptor(index, right.to_word(), received_disposition(disposition));
        }
        outcome
    }

    fn is_full(&self, port: u32) -> bool {
        let object = self.object(port);
        object.kind == Kind::Port && object.alive && object.queue.count() >= object.limit
    }

    /// Hands a message to what it is sent to. A dead destination swallows it (C10.6).
    pub(crate) fn deliver(&mut self, mut message: Buffer<'m>) -> Result<(), QueueFull<'m>> {
        let object = self.object(message.destination);
        match object.kind {
            Kind::Port if object.alive && !self.is_circular(&message) => self.enqueue(message),
            Kind::Reply if object.alive => {
                let thread = object.owner;
                // The right is used up by this message: its end is no news to the waiting thread.
                message.through_send_once = false;
                self.reply_arrived(thread, message);
                Ok(())
            }
            Kind::Thread | Kind::Task | Kind::Token if object.alive => {
                self.refuse_kernel_call(message);
                Ok(())
            }
            _ => {
                self.destroy_message(message);
                Ok(())
            }
        }
    }

    /// Whether a receive right in the message is the destination itself (C7.6): such a message is destroyed at once.
    fn is_circular(&self, message: &Buffer<'m>) -> bool {
        (0..message.descriptors()).any(|index| {
            let (right, disposition) = message.descriptor(index);
            disposition == MACH_MSG_TYPE_PORT_RECEIVE
                && right == Carried::Object(message.destination)
        })
    }

    /// The emulated kernel's objects are called through the seam, not by message; a message to one gets the answer that a kernel
    /// gives to an identifier it does not know: `MIG_BAD_ID`.
    fn refuse_kernel_call(&mut self, mut message: Buffer<'m>) {
        let reply = Carried::from_word(core::mem::take(&mut message.reply));
        let (disposition, id) = (message.reply_disposition, message.word(20) as i32);
        self.destroy_message(message);
        let Carried::Object(object) = reply else {
            return;
        };
        let Some(mut answer) = self.pool.take() else {
            self.destroy_carried(reply, u32::from(disposition));
            return;
        };
        answer.write_header(0, id.wrapping_add(100), 36);
        answer.set_word(24, 0);
        answer.set_word(28, 1);
        answer.set_word(32, KernReturn::MIG_BAD_ID.raw() as u32);
        answer.from_kernel = true;
        answer.destination = object;
        answer.through_send_once = u32::from(disposition) == MACH_MSG_TYPE_PORT_SEND_ONCE;
        if let Err(QueueFull(answer)) = self.deliver(answer) {
            self.destroy_message(answer);
        }
    }
}
