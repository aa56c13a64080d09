//! Ports, port sets and kernel objects: what names denote.

use super::arena::Zeroed;
use super::buffer::{Buffer, Content, Queue};
use super::mach::{Locked, TaskId};
use super::space::NameRef;
use mach_wire::types::mach_port_name_t;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A port with a queue; its receive right is some task's.
    Port,
    /// A port set.
    Set,
    /// A thread's control port; the object's `owner` is the thread.
    Thread,
    /// A task's control port.
    Task,
    /// The port on which the kernel waits for the answer to a thread's exception; `owner` is the thread.
    Reply,
    /// A task identity token: a new one for each delivery (A7.10).
    Token,
}

/// One object. Which fields mean something depends on its kind.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    /// False from its death on; the slot stays taken until nothing refers to it.
    pub(crate) alive: bool,
    /// Names, messages and the kernel's own references.
    references: u32,
    /// The thread behind a thread's control port or reply port.
    pub(crate) owner: u32,
    /// The task that has the receive right, or owns the set; the task behind a task's control port.
    pub(crate) task: TaskId,
    /// The name of the receive right or set in that task.
    pub(crate) name: mach_port_name_t,
    pub(super) queue: Queue,
    /// Number of queued messages at which senders have to wait.
    pub(super) limit: u32,
    /// Messages delivered so far (C11.9).
    pub(super) sequence: u32,
    pub(crate) context: u64,
    /// First of the links that tie a port to its sets, or a set to its ports.
    pub(super) links: u32,
    /// A set's members that have messages, in the order in which they are served.
    pub(super) ready: (u32, u32),
    /// First of the names that hold a send or receive right for it, in all spaces.
    pub(super) names: NameRef,
}

// SAFETY: integers, bools, an enum whose first value is 0, and structs of them.
#[allow(unsafe_code)]
unsafe impl Zeroed for Object {}

impl Object {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            alive: true,
            references: 0,
            owner: 0,
            task: TaskId::default(),
            name: 0,
            queue: Queue::default(),
            limit: 5,
            sequence: 0,
            context: 0,
            links: 0,
            ready: (0, 0),
            names: NameRef::default(),
        }
    }

    pub(super) fn of_task(kind: Kind, task: TaskId) -> Self {
        Self {
            task,
            ..Self::new(kind)
        }
    }

    pub(super) fn task(task: TaskId) -> Self {
        Self::of_task(Kind::Task, task)
    }

    pub(crate) fn token(task: TaskId) -> Self {
        Self::of_task(Kind::Token, task)
    }

    pub(crate) fn of_thread(kind: Kind, thread: u32) -> Self {
        Self {
            owner: thread,
            ..Self::new(kind)
        }
    }
}

/// A right in the kernel's hands: an object (one reference), or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// `MACH_PORT_NULL`.
    Null,
    /// `MACH_PORT_DEAD`: a right whose port died.
    Dead,
    /// A right for this object.
    Object(u32),
}

impl Carried {
    /// As it stands in a message inside the kernel. Object identifiers are small, so that they meet neither end.
    pub(crate) const fn to_word(self) -> u32 {
        match self {
            Self::Null => 0,
            Self::Dead => u32::MAX,
            Self::Object(id) => id,
        }
    }

    pub(crate) const fn from_word(word: u32) -> Self {
        match word {
            0 => Self::Null,
            u32::MAX => Self::Dead,
            id => Self::Object(id),
        }
    }
}

/// A send-once right was destroyed (H5).
const MACH_NOTIFY_SEND_ONCE: i32 = 71;

/// Messages that a queue takes at all (C10.5).
const LARGEST_QUEUE: u32 = 65_534;

/// The kernel refused to queue a message; the message is the caller's again.
#[derive(Debug)]
pub(crate) struct QueueFull<'m>(pub(crate) Buffer<'m>);

impl<'m> Locked<'m> {
    /// A new object, with one reference: its creator's.
    pub(crate) fn create_object(&mut self, object: Object) -> Option<u32> {
        self.state.objects.insert(Object {
            references: 1,
            ..object
        })
    }

    pub(crate) fn object(&self, id: u32) -> &Object {
        &self.state.objects[id]
    }

    pub(crate) fn object_mut(&mut self, id: u32) -> &mut Object {
        &mut self.state.objects[id]
    }

    /// One more reference.
    pub(crate) fn retain(&mut self, id: u32) {
        self.state.objects[id].references += 1;
    }

    /// One reference less. The slot of a dead object that nothing refers to is used again.
    pub(crate) fn release_object(&mut self, id: u32) {
        let object = &mut self.state.objects[id];
        object.references -= 1;
        if object.references == 0 {
            self.state.objects.remove(id);
        }
    }

    /// A port, set or kernel object dies (C1.6), and what dies with it is destroyed.
    pub(crate) fn kill(&mut self, id: u32) {
        self.die(id);
        self.destroy_doomed();
    }

    /// A port leaves its sets (a set loses its members), whoever waits on it is woken, its queue is doomed. Names of it are found
    /// dead when they are looked at (C1.1). The creator's reference goes.
    fn die(&mut self, id: u32) {
        self.object_mut(id).alive = false;
        self.unlink_all(id);
        self.event(id);
        let mut queue = core::mem::take(&mut self.object_mut(id).queue);
        let pool = self.pool;
        self.state.doomed.append(&mut queue, pool);
        self.release_object(id);
    }

    /// Takes a message out of the world: its rights are released, in the order of C1.7.
    pub(crate) fn destroy_message(&mut self, message: Buffer<'m>) {
        self.state.doomed.push(message);
        self.destroy_doomed();
    }

    /// Destroys what is queued for destruction, and what that brings with it, breadth first (C1.7).
    fn destroy_doomed(&mut self) {
        while let Some(mut message) = self.state.doomed.pop(self.pool) {
            let destination = core::mem::take(&mut message.destination);
            if destination != 0 {
                if message.through_send_once {
                    self.destroy_send_once(destination);
                }
                self.release_object(destination);
            }
            self.destroy_carried(
                Carried::from_word(message.reply),
                u32::from(message.reply_disposition),
            );
            for index in 0..message.descriptors() {
                let (right, disposition) = message.descriptor(index);
                self.destroy_carried(right, disposition);
            }
        }
    }

    /// Releases a right that the kernel holds, as its disposition (a received one) says.
    pub(crate) fn destroy_carried(&mut self, right: Carried, disposition: u32) {
        let Carried::Object(object) = right else {
            return;
        };
        match disposition {
            mach_wire::message::MACH_MSG_TYPE_PORT_SEND_ONCE => self.destroy_send_once(object),
            mach_wire::message::MACH_MSG_TYPE_PORT_RECEIVE if self.object(object).alive => {
                self.die(object);
            }
            _ => {}
        }
        self.release_object(object);
    }

    /// A send-once right is destroyed unused: the port learns it (C8.8), an exception's reply port as "not handled" (A6.8). The
    /// reference is the caller's to release.
    pub(super) fn destroy_send_once(&mut self, object: u32) {
        let dying = self.object(object);
        if !dying.alive {
            return;
        }
        match dying.kind {
            Kind::Reply => {
                let thread = dying.owner;
                self.reply_died(thread);
            }
            Kind::Port => {
                // Without a buffer, or with 65534 messages queued, the notification is lost (C8.8).
                let Some(mut message) = self.pool.take() else {
                    return;
                };
                message.write_header(0, MACH_NOTIFY_SEND_ONCE, 24);
                message.from_kernel = true;
                message.through_send_once = true;
                message.destination = object;
                self.retain(object);
                if let Err(QueueFull(mut message)) = self.enqueue(message) {
                    message.through_send_once = false;
                    self.destroy_message(message);
                }
            }
            Kind::Set | Kind::Thread | Kind::Task | Kind::Token => {}
        }
    }

    /// Puts a message behind the others on its destination, a live port with a queue; limits are the caller's to look at.
    pub(crate) fn enqueue(&mut self, message: Buffer<'m>) -> Result<(), QueueFull<'m>> {
        let port = message.destination;
        let object = self.object_mut(port);
        if object.queue.count() >= LARGEST_QUEUE {
            return Err(QueueFull(message));
        }
        object.queue.push(message);
        self.event(port);
        self.became_ready(port);
        Ok(())
    }
}

/// Offsets in a message (H2).
const DESCRIPTOR_COUNT: usize = 24;
const FIRST_DESCRIPTOR: usize = 28;
const DESCRIPTOR_SIZE: usize = 12;
const COMPLEX: u32 = 1 << 31;

impl Content {
    /// The 32-bit word at an offset of the message.
    pub(crate) fn word(&self, offset: usize) -> u32 {
        self.words[offset / 4]
    }

    pub(crate) fn set_word(&mut self, offset: usize, word: u32) {
        self.words[offset / 4] = word;
    }

    /// A header whose names are filled in when the message is received.
    pub(crate) fn write_header(&mut self, bits: u32, id: i32, size: u32) {
        for (offset, word) in [
            (0, bits),
            (4, size),
            (8, 0),
            (12, 0),
            (16, 0),
            (20, id as u32),
        ] {
            self.set_word(offset, word);
        }
        self.size = size;
    }

    pub(crate) fn is_complex(&self) -> bool {
        self.word(0) & COMPLEX != 0
    }

    /// How many descriptors the message has; all are port descriptors by the time it is inside.
    pub(crate) fn descriptors(&self) -> usize {
        if self.is_complex() && self.size as usize >= FIRST_DESCRIPTOR {
            self.word(DESCRIPTOR_COUNT) as usize
        } else {
            0
        }
    }

    pub(crate) fn descriptor_offset(index: usize) -> usize {
        FIRST_DESCRIPTOR + DESCRIPTOR_SIZE * index
    }

    /// A port descriptor: the right, and its disposition as received.
    pub(crate) fn descriptor(&self, index: usize) -> (Carried, u32) {
        let at = Self::descriptor_offset(index);
        (
            Carried::from_word(self.word(at)),
            self.word(at + 8) >> 16 & 0xff,
        )
    }

    pub(crate) fn set_descriptor(&mut self, index: usize, right: u32, disposition: u32) {
        let at = Self::descriptor_offset(index);
        self.set_word(at, right);
        self.set_word(at + 4, 0);
        self.set_word(at + 8, disposition << 16);
    }
}
