//! Ports: what send, receive and send-once rights are for.

use super::id::{AlarmId, LinkId, PortId, RequestId, WaiterId};
use super::kmsg::Right;
use super::kobject::{Kobject, KobjectType};
use super::name::{Name, NameRef, SpaceId};
use super::pool::Queue;
use super::reply::ReplyWait;
use crate::rules::Rules;
use mach_wire::port::PortStatusFlags;

/// Messages that a new port queues before senders wait (C2.1).
const DEFAULT_LIMIT: u32 = 5;

/// A port.
#[derive(Debug)]
pub(crate) struct Port {
    /// False from its death on; the slot stays taken until nothing refers to it.
    pub(crate) alive: bool,
    /// One for each right, wherever it is, and for each thread that waits here.
    pub(super) references: u32,
    /// Send rights: one for each name that holds any, one for each in the kernel's hands (C0.3, `ip_srights`).
    pub(crate) srights: u32,
    /// Send-once rights (C0.3, `ip_sorights`).
    pub(crate) sorights: u32,
    /// Number of send rights that the receiver made (C7, `ip_mscount`).
    pub(crate) mscount: u32,
    /// First of the notification requests on names of this port.
    pub(super) requests: Option<RequestId>,
    /// First of the names that hold a send or receive right for it: at most one in each space.
    pub(super) names: NameRef,
    pub(crate) kind: PortKind,
}

/// Kind of a port, which decides the destination of its messages.
#[derive(Debug)]
pub(crate) enum PortKind {
    /// A queue, for the holder of the receive right.
    Queue(MessagePort),
    /// An object of the kernel, which replies itself.
    Kobject(Kobject),
    /// A semaphore, which replies itself, too.
    Semaphore(Semaphore),
    /// A reply port of the kernel, which waits for the reply to its request.
    Reply(ReplyWait),
}

impl Port {
    /// Makes a port with one reference: its receive right's.
    pub(super) fn new(kind: PortKind) -> Self {
        Self {
            alive: true,
            references: 1,
            srights: 0,
            sorights: 0,
            mscount: 0,
            requests: None,
            names: NameRef::default(),
            kind,
        }
    }

    /// Returns the queue, of a port that has one.
    pub(crate) fn queue(&self) -> Option<&MessagePort> {
        match &self.kind {
            PortKind::Queue(queue) => Some(queue),
            PortKind::Kobject(_) | PortKind::Semaphore(_) | PortKind::Reply(_) => None,
        }
    }

    pub(crate) fn queue_mut(&mut self) -> Option<&mut MessagePort> {
        match &mut self.kind {
            PortKind::Queue(queue) => Some(queue),
            PortKind::Kobject(_) | PortKind::Semaphore(_) | PortKind::Reply(_) => None,
        }
    }

    /// Returns the kernel object behind a live port, if there is one.
    pub(crate) fn kobject(&self) -> Option<Kobject> {
        match self.kind {
            PortKind::Kobject(kobject) if self.alive => Some(kobject),
            PortKind::Queue(MessagePort { timer: Some(_), .. }) if self.alive => Some(Kobject {
                kind: KobjectType::Timer,
                value: 0,
            }),
            PortKind::Semaphore(_) if self.alive => Some(Kobject {
                kind: KobjectType::Semaphore,
                value: 0,
            }),
            _ => None,
        }
    }

    /// Takes what is queued.
    pub(super) fn take_messages(&mut self) -> Queue {
        match &mut self.kind {
            PortKind::Queue(queue) => core::mem::take(&mut queue.messages),
            PortKind::Kobject(_) | PortKind::Semaphore(_) | PortKind::Reply(_) => Queue::default(),
        }
    }
}

/// State of a semaphore.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Semaphore {
    pub(super) destroyed: bool,
    /// True if the last thread that came is given a signal first.
    pub(super) reversed: bool,
    /// Signals that no thread waited for.
    pub(super) count: u32,
    /// The first and the last of the waiting threads, in the order in which they are given signals.
    pub(super) first: Option<WaiterId>,
    pub(super) last: Option<WaiterId>,
}

/// A timer, as its port knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timer {
    /// The alarm that is set.
    pub(super) armed: Option<AlarmId>,
    /// True while its message is queued: there is one at most.
    pub(super) queued: bool,
}

/// State of a port with a queue.
#[derive(Debug)]
pub(crate) struct MessagePort {
    pub(super) receiver: Receiver,
    pub(super) messages: Queue,
    /// Number of queued messages at which senders have to wait.
    pub(super) limit: u32,
    /// Messages delivered so far (C11.9).
    pub(super) sequence: u32,
    pub(crate) context: u64,
    /// The type that it was made as.
    pub(super) made_as: MadeAs,
    /// Protection of the receive right.
    pub(super) protection: Protection,
    /// Flags of the status that have no effect here (C5.4).
    pub(super) status: PortStatusFlags,
    /// The send-once right that learns that there are no senders (C8.2); null for none.
    pub(super) no_senders: Right,
    /// The send-once right that gets the receive right in place of its destruction (C8.5); null for none.
    pub(super) port_destroyed: Right,
    /// First of the links that tie the port to its sets.
    pub(super) links: Option<LinkId>,
    /// The timer that it is; none for another port.
    pub(super) timer: Option<Timer>,
}

/// Protection of a receive right against its own task. The guard's value is the port's context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Protection {
    /// True if only a call that knows the guard destroys the port (C5.6).
    pub(super) guarded: bool,
    /// True if the context can be neither read nor replaced (C5.5).
    pub(super) strict: bool,
    /// True if the receive right cannot be moved (C7.1).
    pub(super) immovable: bool,
}

/// The type of a port, by `mach_port_construct` (C2.7), as far as a rule asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MadeAs {
    #[default]
    Ordinary,
    /// By `MPO_EXCEPTION_PORT`.
    ExceptionPort,
    /// A reply port, of either type, or one for notifications. In an ordinary task it behaves as an ordinary one otherwise.
    Reply,
    /// A connection, whose send rights are immovable.
    Connection,
}

/// Location of a receive right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// In a space, under a name.
    Name(SpaceId, Name),
    /// In a message to a port (C7.6), or briefly in none.
    Transit(Option<PortId>),
}

impl MessagePort {
    pub(super) fn new() -> Self {
        Self {
            receiver: Receiver::Transit(None),
            messages: Queue::default(),
            limit: DEFAULT_LIMIT,
            sequence: 0,
            context: 0,
            made_as: MadeAs::default(),
            protection: Protection::default(),
            status: PortStatusFlags::empty(),
            no_senders: Right::Null,
            port_destroyed: Right::Null,
            links: None,
            timer: None,
        }
    }

    /// Returns the name of the receive right, for its holder.
    pub(crate) fn receive_name(&self) -> Name {
        match self.receiver {
            Receiver::Name(_, name) => name,
            Receiver::Transit(_) => Name::NULL,
        }
    }

    /// Returns whether it was made by `MPO_EXCEPTION_PORT` (B5.5).
    pub(crate) fn is_exception_port(&self) -> bool {
        self.made_as == MadeAs::ExceptionPort
    }

    /// Returns whether registration refuses the port for its type, or for an immovable receive right (B2.3).
    pub(crate) fn is_refused_as_handler(&self, rules: &Rules) -> bool {
        let immovable = self.protection.immovable && rules.immovable_ports_are_no_handlers();
        match self.made_as {
            MadeAs::Ordinary => immovable,
            MadeAs::ExceptionPort => immovable && !rules.has_exception_ports(),
            MadeAs::Reply => immovable || rules.reply_ports_are_no_handlers(),
            MadeAs::Connection => true,
        }
    }

    /// Returns whether the receive right is in a space.
    pub(crate) fn is_received_in(&self, space: SpaceId) -> bool {
        matches!(self.receiver, Receiver::Name(holder, _) if holder == space)
    }

    /// Sets the number of queued messages at which senders wait.
    pub(super) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub(super) fn is_full(&self) -> bool {
        self.messages.count() >= self.limit
    }
}
