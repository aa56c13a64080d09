//! The state of one kernel's ports, sets and name spaces, and the view of it that operations work on.

use super::alarm::Alarms;
use super::arena::Arena;
use super::guard::PendingGuard;
use super::id::{LinkId, PortId, RequestId, SetId, WaiterId};
use super::name::SpaceId;
use super::pool::{HandOff, Pool, Queue};
use super::port::{Port, PortKind};
use super::pset::{Link, Pset};
use super::requested::Requested;
use super::semaphore::Waiter;
use super::space::Space;
use super::wait_word::WaitWord;
use super::waitq::{WaitOn, Wakes};
use crate::error::ReserveError;
use crate::rules::{Limits, Rules};

/// Number of name spaces that one kernel can hold. The process's own kernel has one; more are made by tests.
pub(crate) const SPACES: usize = 16;

/// Waits for semaphores that there is room for, for each thread: signal handlers that interrupt one may wait, too.
const WAITS: u32 = 4;

/// Ports, sets and name spaces of one kernel. What most operations write stands first, in the cache line of the lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct State {
    /// Messages to destroy once the one that is being destroyed is gone (C1.7).
    pub(super) doomed: Queue,
    /// True while doomed messages are destroyed.
    pub(super) reaping: bool,
    /// [`SPACES`] places, apart from the rest: the thread that starts the kernel may have little stack.
    spaces: Box<[Option<Space>]>,
    /// The guard exception that the current operation raised (A13).
    pub(super) guard: PendingGuard,
    pub(super) ports: Arena<PortId, Port>,
    pub(super) sets: Arena<SetId, Pset>,
    pub(super) links: Arena<LinkId, Link>,
    pub(super) requests: Arena<RequestId, Requested>,
    pub(super) waiters: Arena<WaiterId, Waiter>,
    pub(super) alarms: Alarms,
}

impl State {
    pub(super) fn new(limits: &Limits) -> Result<Self, ReserveError> {
        Ok(Self {
            ports: Arena::new("the table of ports", limits.ports)?,
            sets: Arena::new("the table of port sets", limits.sets)?,
            links: Arena::new("the table of memberships", limits.members)?,
            requests: Arena::new("the table of notification requests", limits.names)?,
            waiters: Arena::new("the table of waits for semaphores", WAITS * limits.threads)?,
            alarms: Alarms::new(limits.ports)?,
            spaces: (0..SPACES).map(|_| None).collect(),
            doomed: Queue::default(),
            reaping: false,
            guard: PendingGuard::default(),
        })
    }
}

/// The ports, sets and spaces of a kernel whose lock is held, with what operations on them need: the list of threads to wake
/// afterwards, message buffers, and the rules.
#[derive(Debug)]
pub(crate) struct Ipc<'a, 'k> {
    pub(super) state: &'a mut State,
    pub(super) wakes: &'a mut Wakes<'k>,
    pub(crate) pool: &'k Pool,
    pub(crate) rules: &'k Rules,
}

impl<'k> Ipc<'_, 'k> {
    /// Creates a port with one reference: its receive right's. `None` when the kernel is full.
    pub(crate) fn create_port(&mut self, kind: PortKind) -> Option<PortId> {
        self.state.ports.insert(Port::new(kind))
    }

    /// Creates a set with one reference: its name's. `None` when the kernel is full.
    pub(super) fn create_set(&mut self) -> Option<SetId> {
        self.state.sets.insert(Pset::new())
    }

    /// Enters a name space. `None` when the kernel holds as many as it can.
    pub(crate) fn add_space(&mut self, space: Space) -> Option<SpaceId> {
        let index = self.state.spaces.iter().position(Option::is_none)?;
        self.state.spaces[index] = Some(space);
        Some(SpaceId(index as u8))
    }

    #[inline]
    pub(crate) fn port(&self, id: PortId) -> &Port {
        &self.state.ports[id]
    }

    #[inline]
    pub(crate) fn port_mut(&mut self, id: PortId) -> &mut Port {
        &mut self.state.ports[id]
    }

    pub(super) fn set(&self, id: SetId) -> &Pset {
        &self.state.sets[id]
    }

    pub(super) fn set_mut(&mut self, id: SetId) -> &mut Pset {
        &mut self.state.sets[id]
    }

    pub(super) fn link(&self, id: LinkId) -> &Link {
        &self.state.links[id]
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> &mut Link {
        &mut self.state.links[id]
    }

    /// Returns a name space of this kernel.
    ///
    /// # Panics
    /// If it is another kernel's.
    #[inline]
    pub(crate) fn space(&self, id: SpaceId) -> &Space {
        let space = self.state.spaces[id.0 as usize].as_ref();
        space.expect("a space of this kernel")
    }

    /// Returns a name space of this kernel, as [`space`](Self::space) does.
    #[inline]
    pub(crate) fn space_mut(&mut self, id: SpaceId) -> &mut Space {
        let space = self.state.spaces[id.0 as usize].as_mut();
        space.expect("a space of this kernel")
    }

    /// Adds a reference to a port.
    #[inline]
    pub(super) fn retain_port(&mut self, id: PortId) {
        self.port_mut(id).references += 1;
    }

    /// Removes a reference. The slot of a port that nothing refers to is used again.
    #[inline]
    pub(super) fn release_port(&mut self, id: PortId) {
        let port = self.port_mut(id);
        port.references -= 1;
        if port.references == 0 {
            debug_assert!(!port.alive && port.srights == 0 && port.sorights == 0);
            self.state.ports.remove(id);
        }
    }

    /// Adds a reference to what a thread is about to wait on, so that its slot does not become another object meanwhile.
    pub(super) fn retain(&mut self, object: WaitOn) {
        match object {
            WaitOn::Port(port) => self.retain_port(port),
            WaitOn::Set(set) => self.set_mut(set).references += 1,
        }
    }

    /// Removes a reference, as [`release_port`](Self::release_port) does.
    pub(super) fn release(&mut self, object: WaitOn) {
        match object {
            WaitOn::Port(port) => self.release_port(port),
            WaitOn::Set(id) => {
                let set = self.set_mut(id);
                set.references -= 1;
                if set.references == 0 {
                    debug_assert!(!set.alive);
                    self.state.sets.remove(id);
                }
            }
        }
    }

    /// Makes all threads look that wait for an object, which is a [`WaitOn`] as a word; none for 0.
    pub(crate) fn wake_waiters(&mut self, object: u32) {
        if let Some(object) = WaitOn::from_word(object) {
            self.wakes.add(object);
        }
    }

    /// Returns the time of the first alarm, in nanoseconds of the system clock; `None` if none is set.
    pub(crate) fn next_alarm(&self) -> Option<u64> {
        self.state.alarms.next()
    }

    /// Notes that the threads that wait on this object have to look again once the lock is free.
    pub(super) fn wake(&mut self, object: WaitOn) {
        self.wakes.add(object);
    }

    /// Returns what threads wait on until something happens to this object.
    #[inline]
    pub(super) fn wait_word(&self, object: WaitOn) -> &'k WaitWord {
        &self.wakes.words().of(object).word
    }

    /// Returns the place in which the thread that waits on a reply port finds the reply.
    #[inline]
    pub(super) fn hand_off(&self, reply_port: PortId) -> &'k HandOff {
        &self.wakes.words().of(WaitOn::Port(reply_port)).hand_off
    }
}

#[cfg(test)]
impl State {
    /// Returns all name spaces.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.spaces.iter().flatten()
    }
}

#[cfg(test)]
impl Ipc<'_, '_> {
    /// Returns whether messages are queued on a port.
    pub(crate) fn has_messages(&self, port: PortId) -> bool {
        let queue = self.port(port).queue();
        queue.is_some_and(|queue| !queue.messages.is_empty())
    }

    /// Returns how many ports there are.
    pub(crate) fn live_ports(&self) -> u32 {
        self.state.ports.live()
    }
}
