//! Receiving (C11).

use super::buffer::{Buffer, CAPACITY};
use super::lock::Waited;
use super::mach::{Locked, Mach, TaskId};
use super::object::Carried;
use super::space::Rights;
use crate::exception::peer;
use core::time::Duration;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::*;
use mach_wire::types::mach_port_name_t;
use std::time::Instant;

/// Where a user wants to receive, and into what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveRequest {
    pub(crate) address: u64,
    pub(crate) size: u32,
    pub(crate) options: i32,
    pub(crate) timeout: u32,
    pub(crate) name: mach_port_name_t,
}

impl ReceiveRequest {
    fn deadline(&self) -> Option<Instant> {
        (self.options & MACH_RCV_TIMEOUT != 0)
            .then(|| Instant::now() + Duration::from_millis(u64::from(self.timeout)))
    }

    /// Size of the trailer that the options ask for (C11.9).
    const fn trailer_size(&self) -> u32 {
        match self.options >> 24 & 0xf {
            0 => 8,
            1 => 12,
            2 => 20,
            3 => 52,
            4 => 60,
            _ => 68,
        }
    }
}

/// What a look at the port found.
enum Found<'m> {
    Message(Buffer<'m>),
    /// The first message is larger than the caller's buffer. It stays queued (`MACH_RCV_LARGE`): its size and the port's name.
    Large(u32, mach_port_name_t),
    /// It was destroyed; what the caller gets is a bare header (C11.5).
    Destroyed(Buffer<'m>),
    Nothing(u32),
}

/// Receives a message for a task.
pub(crate) fn receive(
    mach: &Mach,
    task: TaskId,
    request: ReceiveRequest,
) -> Result<(), KernReturn> {
    let mut kernel = mach.lock();
    let object = kernel
        .receivable(task, request.name)
        .ok_or(KernReturn::RCV_INVALID_NAME)?;
    // While this thread waits the object may die; its slot must not become another object.
    kernel.retain(object);
    let mut deadline = request.deadline();
    let mut spin = peer::take_answered_elsewhere();
    let found = loop {
        if kernel.receivable(task, request.name) != Some(object) {
            kernel.release_object(object);
            return Err(KernReturn::RCV_PORT_CHANGED);
        }
        let sequence = match kernel.take_message(object, request) {
            Found::Nothing(sequence) => sequence,
            found => break found,
        };
        drop(kernel);
        let waited = mach.wait(object, sequence, deadline, spin);
        spin = false;
        kernel = mach.lock();
        let error = match waited {
            Waited::Event => continue,
            Waited::TimedOut => KernReturn::RCV_TIMED_OUT,
            Waited::Interrupted if request.options & MACH_RCV_INTERRUPT != 0 => {
                KernReturn::RCV_INTERRUPTED
            }
            Waited::Interrupted => {
                // C11.4: retried with the full timeout again.
                deadline = request.deadline();
                continue;
            }
        };
        kernel.release_object(object);
        return Err(error);
    };
    kernel.release_object(object);
    let (message, outcome) = match found {
        Found::Message(mut message) => {
            kernel.copyout_message(task, &mut message);
            (message, Ok(()))
        }
        Found::Destroyed(message) => (message, Err(KernReturn::RCV_TOO_LARGE)),
        Found::Large(size, name) => {
            drop(kernel);
            return report_large(mach, request, size, name);
        }
        Found::Nothing(_) => return Err(KernReturn::RCV_TIMED_OUT),
    };
    drop(kernel);
    let room = request.size as usize;
    let mut length = message.size as usize + request.trailer_size() as usize;
    if outcome.is_err() {
        if room < 24 {
            return Err(KernReturn::RCV_INVALID_DATA);
        }
        length = length.min(room);
    }
    mach.copy_to_user(request.address, &message.bytes()[..length])
        .map_err(|_| KernReturn::RCV_INVALID_DATA)?;
    outcome
}

/// C11.5 with `MACH_RCV_LARGE`: only the size, and with `MACH_RCV_LARGE_IDENTITY` the port's name, are written.
fn report_large(
    mach: &Mach,
    request: ReceiveRequest,
    size: u32,
    name: mach_port_name_t,
) -> Result<(), KernReturn> {
    if request.size >= 8 {
        let _ = mach.copy_to_user(request.address.wrapping_add(4), &size.to_le_bytes());
    }
    if request.options & MACH_RCV_LARGE_IDENTITY != 0 && request.size >= 16 {
        let _ = mach.copy_to_user(request.address.wrapping_add(12), &name.to_le_bytes());
    }
    Err(KernReturn::RCV_TOO_LARGE)
}

impl<'m> Locked<'m> {
    /// The live port or set that a name allows to receive from (C11.1).
    fn receivable(&self, task: TaskId, name: mach_port_name_t) -> Option<u32> {
        let entry = self.space(task).get(name)?;
        (entry.rights.has(Rights::RECEIVE) || entry.rights.has(Rights::PORT_SET))
            .then_some(entry.object)
    }

    fn take_message(&mut self, object: u32, request: ReceiveRequest) -> Found<'m> {
        let Some(port) = self.next_port(object) else {
            return Found::Nothing(self.wait_word(object).sequence());
        };
        let pool = self.pool;
        let name = self.object(port).name;
        let size = self.object(port).queue.first(pool).map_or(0, |m| m.size);
        let fits = size + request.trailer_size() <= request.size;
        if !fits && request.options & MACH_RCV_LARGE != 0 {
            return Found::Large(size, name);
        }
        let Some(message) = self.dequeue(port) else {
            return Found::Nothing(self.wait_word(object).sequence());
        };
        if object != port {
            self.served(object, port);
        }
        let mut message = self.stamp(message, port, request);
        if fits {
            return Found::Message(message);
        }
        // The rights go; the caller sees a header without them.
        let (bits, id) = (message.word(0), message.word(20) as i32);
        let bits = self.received_bits(&message) | bits & MACH_MSGH_BITS_COMPLEX;
        let dead = message.reply == Carried::Dead.to_word();
        let trailer_at = message.size as usize;
        let trailer_size = request.trailer_size() as usize;
        let Some(mut bare) = pool.take() else {
            self.destroy_message(message);
            return Found::Nothing(self.wait_word(object).sequence());
        };
        bare.write_header(bits, id, 24);
        if dead {
            bare.set_word(8, u32::MAX);
        }
        bare.set_word(12, name);
        bare.bytes_mut()[24..24 + trailer_size]
            .copy_from_slice(&message.bytes()[trailer_at..trailer_at + trailer_size]);
        message.size = trailer_at.min(CAPACITY) as u32;
        self.destroy_message(message);
        Found::Destroyed(bare)
    }

    fn dequeue(&mut self, port: u32) -> Option<Buffer<'m>> {
        let pool = self.pool;
        let queue = &mut self.object_mut(port).queue;
        let message = queue.pop(pool)?;
        let (left, limit) = (queue.count(), self.object(port).limit);
        if left == 0 {
            self.became_empty(port);
        }
        if left + 1 == limit {
            // Senders that found it full may go on.
            self.event(port);
        }
        Some(message)
    }

    /// Writes the trailer behind the message (C11.9).
    fn stamp(&mut self, mut message: Buffer<'m>, port: u32, request: ReceiveRequest) -> Buffer<'m> {
        let object = self.object_mut(port);
        let sequence = object.sequence;
        object.sequence = sequence.wrapping_add(1);
        let context = object.context;
        let at = message.size as usize;
        let size = request.trailer_size() as usize;
        message.bytes_mut()[at..at + size].fill(0);
        message.set_word(at + 4, size as u32);
        if size >= 12 {
            message.set_word(at + 8, sequence);
        }
        if size >= 20 {
            // The kernel's token is {0, 1}; a user's its user and group, which are the process's own here.
            let token = if message.from_kernel {
                (0, 1)
            } else {
                crate::host::user_and_group()
            };
            message.set_word(at + 12, token.0);
            message.set_word(at + 16, token.1);
        }
        if size >= 60 {
            message.set_word(at + 52, context as u32);
            message.set_word(at + 56, (context >> 32) as u32);
        }
        message
    }

    fn received_bits(&self, message: &Buffer<'m>) -> u32 {
        let local = if message.through_send_once {
            MACH_MSG_TYPE_PORT_SEND_ONCE
        } else {
            MACH_MSG_TYPE_PORT_SEND
        };
        u32::from(message.reply_disposition) | local << 8
    }

    /// Names for the rights of a message, in the receiver's space: reply, destination, descriptors (C11.6).
    fn copyout_message(&mut self, task: TaskId, message: &mut Buffer<'m>) {
        let bits = self.received_bits(message) | message.word(0) & MACH_MSGH_BITS_COMPLEX;
        message.set_word(0, bits);
        let reply = Carried::from_word(core::mem::take(&mut message.reply));
        let name = self.copyout(task, reply, u32::from(message.reply_disposition));
        message.set_word(8, name);
        let port = core::mem::take(&mut message.destination);
        let name = self.object(port).name;
        message.set_word(12, name);
        self.release_object(port);
        self.copyout_descriptors(task, message);
    }

    /// Names for the rights of a message's body.
    pub(super) fn copyout_descriptors(&mut self, task: TaskId, message: &mut Buffer<'m>) {
        for index in 0..message.descriptors() {
            let (right, disposition) = message.descriptor(index);
            let name = self.copyout(task, right, disposition);
            message.set_descriptor(index, name, disposition);
        }
    }
}
