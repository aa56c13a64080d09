//! The port engine on name spaces of its own: no process-wide state, no signals.

mod death;
mod messages;
mod names;
mod sets;

use super::mach::{Limits, Mach, TaskId};
use super::receive::{ReceiveRequest, receive};
use super::send::{SendRequest, send};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::*;
use mach_wire::types::mach_port_name_t;

const LIMITS: Limits = Limits {
    objects: 1 << 12,
    messages: 1 << 10,
    threads: 16,
    names: 1 << 12,
};

/// A kernel with one task that has nothing but its own name.
struct World {
    mach: Mach,
    task: TaskId,
}

impl World {
    fn new() -> Self {
        let mach = Mach::new(LIMITS).expect("address space for a small kernel");
        let task = mach.create_task().expect("memory").expect("room");
        Self { mach, task }
    }

    fn another_task(&self) -> TaskId {
        self.mach.create_task().expect("memory").expect("room")
    }

    fn port(&self) -> mach_port_name_t {
        self.allocate(mach_wire::port::MACH_PORT_RIGHT_RECEIVE)
    }

    fn set(&self) -> mach_port_name_t {
        self.allocate(mach_wire::port::MACH_PORT_RIGHT_PORT_SET)
    }

    fn allocate(&self, right: u32) -> mach_port_name_t {
        self.mach.lock().allocate(self.task, right).expect("room")
    }

    fn make_send(&self, name: mach_port_name_t) {
        self.mach
            .lock()
            .insert_right(self.task, name, name, MACH_MSG_TYPE_MAKE_SEND)
            .expect("a receive right");
    }

    fn make_send_once(&self, name: mach_port_name_t) -> mach_port_name_t {
        let made = self
            .mach
            .lock()
            .extract_right(self.task, name, MACH_MSG_TYPE_MAKE_SEND_ONCE);
        made.expect("a receive right").0
    }

    fn refs(&self, name: mach_port_name_t, right: u32) -> Result<u32, KernReturn> {
        self.mach.lock().get_refs(self.task, name, right)
    }

    fn kind(&self, name: mach_port_name_t) -> Result<u32, KernReturn> {
        self.mach.lock().port_type(self.task, name)
    }

    fn mod_refs(&self, name: mach_port_name_t, right: u32, delta: i32) -> Result<(), KernReturn> {
        self.mach.lock().mod_refs(self.task, name, right, delta)
    }

    fn deallocate(&self, name: mach_port_name_t) -> Result<(), KernReturn> {
        self.mach.lock().deallocate(self.task, name)
    }

    fn names(&self) -> usize {
        self.mach.lock().name_count(self.task)
    }

    /// Sends a header-only message.
    fn send(&self, message: &Message) -> Result<(), KernReturn> {
        self.send_with(message, MACH_SEND_TIMEOUT)
    }

    fn send_with(&self, message: &Message, options: i32) -> Result<(), KernReturn> {
        let request = SendRequest {
            address: message.words.as_ptr() as u64,
            size: message.size,
            options,
            timeout: 0,
        };
        send(&self.mach, self.task, request)
    }

    /// Receives without waiting.
    fn receive(&self, name: mach_port_name_t) -> Result<Message, KernReturn> {
        self.receive_with(name, 0, 512)
    }

    fn receive_with(
        &self,
        name: mach_port_name_t,
        options: i32,
        room: u32,
    ) -> Result<Message, KernReturn> {
        let mut message = Message::empty();
        let outcome = self.receive_into(&mut message, name, options, room);
        outcome.map(|()| message)
    }

    fn receive_into(
        &self,
        message: &mut Message,
        name: mach_port_name_t,
        options: i32,
        room: u32,
    ) -> Result<(), KernReturn> {
        let request = ReceiveRequest {
            address: message.words.as_mut_ptr() as u64,
            size: room,
            options: options | MACH_RCV_TIMEOUT,
            timeout: 0,
            name,
        };
        receive(&self.mach, self.task, request)
    }
}

/// A message in user memory.
#[derive(Debug)]
struct Message {
    words: [u32; 256],
    size: u32,
}

impl Message {
    fn empty() -> Self {
        Self {
            words: [0; 256],
            size: 24,
        }
    }

    fn to(destination: mach_port_name_t, disposition: u32, id: u32) -> Self {
        let mut message = Self::empty();
        message.words[0] = disposition;
        message.words[2] = destination;
        message.words[5] = id;
        message
    }

    fn with_reply(mut self, reply: mach_port_name_t, disposition: u32) -> Self {
        self.words[0] |= disposition << 8;
        self.words[3] = reply;
        self
    }

    fn with_right(mut self, name: mach_port_name_t, disposition: u32) -> Self {
        if self.words[0] & MACH_MSGH_BITS_COMPLEX == 0 {
            self.words[0] |= MACH_MSGH_BITS_COMPLEX;
            self.size = 28;
        }
        let at = self.size as usize / 4;
        self.words[6] += 1;
        self.words[at] = name;
        self.words[at + 1] = 0;
        self.words[at + 2] = disposition << 16;
        self.size += 12;
        self
    }

    fn bits(&self) -> u32 {
        self.words[0]
    }

    fn remote(&self) -> u32 {
        self.words[2]
    }

    fn local(&self) -> u32 {
        self.words[3]
    }

    fn id(&self) -> u32 {
        self.words[5]
    }

    fn descriptor(&self, index: usize) -> (u32, u32) {
        let at = 7 + 3 * index;
        (self.words[at], self.words[at + 2] >> 16 & 0xff)
    }
}
