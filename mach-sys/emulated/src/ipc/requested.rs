//! Notification requests on names, for the death of a name's port or for room in its queue (C8.3, C8.4, C8.6).
//!
//! A name has at most one. It belongs to the name's entry and to the list of its port; when the name becomes a dead one before its port
//! is dead, it stays in the list until the port's death has sent its notification.

use super::entry::Entry;
use super::id::{PortId, RequestId};
use super::kmsg::Right;
use super::name::{Name, SpaceId};
use super::notify;
use super::state::Ipc;
use mach_wire::kern_return::KernReturn;
use mach_wire::port::PortType;

/// The event that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The death of the port (`MACH_NOTIFY_DEAD_NAME`).
    Death,
    /// A message received from the port (`MACH_NOTIFY_SEND_POSSIBLE`), or its death.
    Room,
    /// The same event as `Room`, armed once a send has found the port full.
    RoomAfterASend,
}

/// One request.
#[derive(Debug)]
pub(super) struct Requested {
    awaited: Awaited,
    progress: Progress,
    port: PortId,
    name: Name,
    /// True if the entry of the name refers to it.
    is_on_a_name: bool,
    /// Neighbours in the list of the port.
    previous: Option<RequestId>,
    next: Option<RequestId>,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// The send-once right that the notification goes through.
    Armed(Right),
    /// A send-possible notification was sent: an empty slot (C8.4).
    Fired,
    /// The port died and the notification was sent: the name's conversion adds a reference (C1.1).
    PortDied,
}

/// Arms a request on an entry that has none.
pub(super) fn arm(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    port: PortId,
    awaited: Awaited,
    notify: Right,
) -> Result<(), KernReturn> {
    let first = ipc.port(port).requests;
    let request = ipc.state.requests.insert(Requested {
        awaited,
        progress: Progress::Armed(notify),
        port,
        name,
        is_on_a_name: true,
        previous: None,
        next: first,
    });
    let request = request.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
    if let Some(first) = first {
        ipc.state.requests[first].previous = Some(request);
    }
    ipc.port_mut(port).requests = Some(request);
    if let Some(entry) = ipc.space_mut(space).get_mut(name) {
        entry.set_request(Some(request));
    }
    Ok(())
}

fn remove(ipc: &mut Ipc<'_, '_>, id: RequestId) {
    let requests = &mut ipc.state.requests;
    let Requested {
        port,
        previous,
        next,
        ..
    } = requests[id];
    if let Some(next) = next {
        requests[next].previous = previous;
    }
    match previous {
        Some(previous) => requests[previous].next = next,
        None => ipc.state.ports[port].requests = next,
    }
    ipc.state.requests.remove(id);
}

/// Takes the request off a name. Returns the right of one that is armed, or a null one.
#[must_use]
pub(super) fn cancel(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Right {
    let entry = ipc.space_mut(space).get_mut(name);
    let Some((entry, request)) = entry.and_then(|entry| entry.request().map(|id| (entry, id)))
    else {
        return Right::Null;
    };
    entry.set_request(None);
    let right = match ipc.state.requests[request].progress {
        Progress::Armed(right) => right,
        Progress::Fired | Progress::PortDied => Right::Null,
    };
    remove(ipc, request);
    right
}

/// Takes the request off a name that becomes a dead one before its port dies. Returns whether there was one: the name has a reference
/// more then (C1.3). One that is armed hears of the death.
pub(super) fn leave_to_the_port(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> bool {
    let entry = ipc.space_mut(space).get_mut(name);
    let Some((entry, request)) = entry.and_then(|entry| entry.request().map(|id| (entry, id)))
    else {
        return false;
    };
    entry.set_request(None);
    match ipc.state.requests[request].progress {
        Progress::Armed(_) => ipc.state.requests[request].is_on_a_name = false,
        Progress::Fired | Progress::PortDied => remove(ipc, request),
    }
    true
}

/// Ends the request on a name whose port has died. Returns whether its notification came with a reference of the name (C1.1).
pub(super) fn end_with_the_port(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> bool {
    let entry = ipc.space_mut(space).get_mut(name);
    let Some((entry, request)) = entry.and_then(|entry| entry.request().map(|id| (entry, id)))
    else {
        return false;
    };
    entry.set_request(None);
    let told = matches!(ipc.state.requests[request].progress, Progress::PortDied);
    remove(ipc, request);
    told
}

/// Returns whether a name has a request that has not fired, or whose port has died since.
pub(super) fn is_armed(ipc: &Ipc<'_, '_>, entry: &Entry) -> bool {
    let progress = entry.request().map(|id| ipc.state.requests[id].progress);
    matches!(progress, Some(Progress::Armed(_) | Progress::PortDied))
}

/// Returns the bits that a request adds to its name's type in a listing (C5.2).
pub(super) fn type_bits(ipc: &Ipc<'_, '_>, entry: &Entry) -> PortType {
    let Some(request) = entry.request().map(|id| &ipc.state.requests[id]) else {
        return PortType::empty();
    };
    match (request.progress, request.awaited) {
        (Progress::Fired | Progress::PortDied, _) => PortType::empty(),
        (_, Awaited::Death) => PortType::DNREQUEST,
        (_, Awaited::Room) => PortType::DNREQUEST | PortType::SPREQUEST,
        (_, Awaited::RoomAfterASend) => {
            PortType::DNREQUEST | PortType::SPREQUEST | PortType::SPREQUEST_DELAYED
        }
    }
}

/// Notes that a send through a name found its port full (C8.4).
pub(super) fn found_full(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) {
    let request = ipc.space(space).get(name).and_then(Entry::request);
    if let Some(request) = request.map(|id| &mut ipc.state.requests[id]) {
        if request.awaited == Awaited::RoomAfterASend {
            request.awaited = Awaited::Room;
        }
    }
}

/// Tells those that wait for room that a message was received from a port (C8.4).
pub(super) fn message_received(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let mut at = ipc.port(port).requests;
    while let Some(id) = at {
        let request = &mut ipc.state.requests[id];
        at = request.next;
        if let (Progress::Armed(right), Awaited::Room) = (request.progress, request.awaited) {
            request.progress = Progress::Fired;
            let name = request.name;
            notify::send_possible(ipc, right, name);
        }
    }
}

/// Tells all that wait that a port is dead (C1.6).
pub(super) fn port_died(ipc: &mut Ipc<'_, '_>, port: PortId) {
    let mut at = ipc.port(port).requests;
    while let Some(id) = at {
        let request = &mut ipc.state.requests[id];
        at = request.next;
        let (name, stays) = (request.name, request.is_on_a_name);
        if let Progress::Armed(right) = request.progress {
            request.progress = Progress::PortDied;
            notify::dead_name(ipc, right, name);
        }
        if !stays {
            remove(ipc, id);
        }
    }
}

#[cfg(test)]
impl Requested {
    /// Returns the right that the request owns.
    pub(super) fn right(&self) -> Right {
        match self.progress {
            Progress::Armed(right) => right,
            Progress::Fired | Progress::PortDied => Right::Null,
        }
    }

    pub(super) fn port(&self) -> PortId {
        self.port
    }

    pub(super) fn is_on_a_name(&self) -> bool {
        self.is_on_a_name
    }

    pub(super) fn next(&self) -> Option<RequestId> {
        self.next
    }
}
