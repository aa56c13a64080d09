//! Membership of ports in sets, and which members have messages (C9).

use super::id::{LinkId, PortId, SetId};
use super::monitor::Monitor;
use super::pset::{Link, Neighbours};
use super::state::Ipc;
use super::waitq::WaitOn;
use mach_wire::kern_return::KernReturn;

/// Returns the first of the links that tie a port to its sets; a kernel's own port has none.
fn first_of_port(ipc: &Ipc<'_, '_>, port: PortId) -> Option<LinkId> {
    ipc.port(port).queue().and_then(|queue| queue.links)
}

fn set_first_of_port(ipc: &mut Ipc<'_, '_>, port: PortId, link: Option<LinkId>) {
    if let Some(queue) = ipc.port_mut(port).queue_mut() {
        queue.links = link;
    }
}

/// Returns the link between a port and a set. Looks through the sets of the port.
fn link_between(ipc: &Ipc<'_, '_>, port: PortId, set: SetId) -> Option<LinkId> {
    let mut at = first_of_port(ipc, port);
    while let Some(id) = at {
        let link = ipc.link(id);
        if link.set == set {
            break;
        }
        at = link.of_port.next;
    }
    at
}

/// Returns whether a port is a member of a set.
pub(super) fn is_in(ipc: &Ipc<'_, '_>, port: PortId, set: SetId) -> bool {
    link_between(ipc, port, set).is_some()
}

/// Makes a port a member of a set (C9.1).
pub(super) fn join(ipc: &mut Ipc<'_, '_>, port: PortId, set: SetId) -> Result<(), KernReturn> {
    if link_between(ipc, port, set).is_some() {
        return Err(KernReturn::ALREADY_IN_SET);
    }
    let after = |next| Neighbours {
        previous: None,
        next,
    };
    let (of_port, of_set) = (first_of_port(ipc, port), ipc.set(set).links);
    let link = Link {
        port,
        set,
        of_port: after(of_port),
        of_set: after(of_set),
        ready: false,
        of_ready: Neighbours::default(),
    };
    let link = ipc.state.links.insert(link);
    let link = link.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    if let Some(next) = of_port {
        ipc.link_mut(next).of_port.previous = Some(link);
    }
    if let Some(next) = of_set {
        ipc.link_mut(next).of_set.previous = Some(link);
    }
    set_first_of_port(ipc, port, Some(link));
    ipc.set_mut(set).links = Some(link);
    let has_messages = |queue: &super::port::MessagePort| !queue.messages.is_empty();
    if ipc.port(port).queue().is_some_and(has_messages) {
        make_ready(ipc, link);
    }
    Ok(())
}

/// Takes a port out of a set (C9.2).
pub(super) fn leave(ipc: &mut Ipc<'_, '_>, port: PortId, set: SetId) -> Result<(), KernReturn> {
    let link = link_between(ipc, port, set).ok_or(KernReturn::NOT_IN_SET)?;
    unlink(ipc, link);
    Ok(())
}

/// Removes a port from every set but `kept`, and returns whether it was in another.
pub(super) fn leave_others(ipc: &mut Ipc<'_, '_>, port: PortId, kept: Option<SetId>) -> bool {
    let mut left = false;
    let mut at = first_of_port(ipc, port);
    while let Some(id) = at {
        at = ipc.link(id).of_port.next;
        if Some(ipc.link(id).set) != kept {
            unlink(ipc, id);
            left = true;
        }
    }
    left
}

/// Ends a set: its members leave and stay as they are (C9.3), and threads that wait on it look again. Its name's reference goes.
pub(super) fn destroy_set(ipc: &mut Ipc<'_, '_>, set: SetId) {
    ipc.set_mut(set).alive = false;
    while let Some(link) = ipc.set(set).links {
        unlink(ipc, link);
    }
    ipc.wake(WaitOn::Set(set));
    ipc.release(WaitOn::Set(set));
}

fn unlink(ipc: &mut Ipc<'_, '_>, id: LinkId) {
    make_unready(ipc, id);
    let link = ipc.link(id);
    let (port, of_port) = (link.port, link.of_port);
    let (set, of_set) = (link.set, link.of_set);
    match of_port.previous {
        Some(previous) => ipc.link_mut(previous).of_port.next = of_port.next,
        None => set_first_of_port(ipc, port, of_port.next),
    }
    if let Some(next) = of_port.next {
        ipc.link_mut(next).of_port.previous = of_port.previous;
    }
    match of_set.previous {
        Some(previous) => ipc.link_mut(previous).of_set.next = of_set.next,
        None => ipc.set_mut(set).links = of_set.next,
    }
    if let Some(next) = of_set.next {
        ipc.link_mut(next).of_set.previous = of_set.previous;
    }
    ipc.state.links.remove(id);
}

fn make_ready(ipc: &mut Ipc<'_, '_>, id: LinkId) {
    let set = ipc.link(id).set;
    let last = ipc.set(set).last_ready;
    let link = ipc.link_mut(id);
    link.ready = true;
    link.of_ready = Neighbours {
        previous: last,
        next: None,
    };
    match last {
        Some(last) => ipc.link_mut(last).of_ready.next = Some(id),
        None => ipc.set_mut(set).first_ready = Some(id),
    }
    ipc.set_mut(set).last_ready = Some(id);
    ipc.wake(WaitOn::Set(set));
}

fn make_unready(ipc: &mut Ipc<'_, '_>, id: LinkId) {
    let link = ipc.link_mut(id);
    if !core::mem::take(&mut link.ready) {
        return;
    }
    let (set, Neighbours { previous, next }) = (link.set, link.of_ready);
    match previous {
        Some(previous) => ipc.link_mut(previous).of_ready.next = next,
        None => ipc.set_mut(set).first_ready = next,
    }
    match next {
        Some(next) => ipc.link_mut(next).of_ready.previous = previous,
        None => ipc.set_mut(set).last_ready = previous,
    }
}

/// Notes in a port's sets that a message was queued on it.
pub(super) fn became_ready(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let mut at = first_of_port(ipc, port);
    while let Some(id) = at {
        let link = ipc.link(id);
        at = link.of_port.next;
        if link.ready {
            // In the list already; but another receiver may be waiting for this message.
            ipc.wake(WaitOn::Set(link.set));
        } else {
            make_ready(ipc, id);
        }
    }
}

/// Notes in a port's sets that its queue became empty.
pub(super) fn became_empty(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let mut at = first_of_port(ipc, port);
    while let Some(id) = at {
        at = ipc.link(id).of_port.next;
        make_unready(ipc, id);
    }
}

/// Returns the member that a set serves next (C9.4); `None` when no member has a message.
pub(super) fn next_member(ipc: &Ipc<'_, '_>, set: SetId) -> Option<PortId> {
    ipc.set(set).first_ready.map(|link| ipc.link(link).port)
}

/// Moves the member that a set serves next to the end of the list.
pub(super) fn rotate(ipc: &mut Ipc<'_, '_>, set: SetId) {
    if let Some(link) = ipc.set(set).first_ready {
        if ipc.set(set).last_ready != Some(link) {
            make_unready(ipc, link);
            make_ready(ipc, link);
        }
    }
}

/// Number of a port's sets in which its receivers are looked for: rarely has a port more.
const SETS: usize = 4;

/// A port and the sets that it joined last: where its receivers are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receivers {
    port: PortId,
    pub(super) sets: [Option<SetId>; SETS],
}

impl Receivers {
    /// Returns the places of a port's receivers.
    pub(crate) fn of(ipc: &Ipc<'_, '_>, port: PortId) -> Self {
        let mut at = first_of_port(ipc, port);
        let sets = [(); SETS].map(|()| {
            let link = ipc.link(at?);
            at = link.of_port.next;
            Some(link.set)
        });
        Self { port, sets }
    }

    /// Returns whether the last thread that waited at one of them last ran on another CPU than the caller. Called after the lock was given
    /// back, because the words are in cache lines that the receivers write.
    pub(crate) fn are_elsewhere<T>(self, kernel: &Monitor<T>) -> bool {
        let is_elsewhere = |object| kernel.waiting(object).word.waiter_is_elsewhere();
        let mut sets = self.sets.into_iter().flatten();
        is_elsewhere(WaitOn::Port(self.port)) || sets.any(|set| is_elsewhere(WaitOn::Set(set)))
    }
}
