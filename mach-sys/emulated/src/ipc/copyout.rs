//! Rights on their way out of the kernel: under which name a task finds them (A7.2, C7.3).

use super::entry::{Denoted, Rights};
use super::id::PortId;
use super::kmsg::Right;
use super::name::{Name, SpaceId};
use super::port::Receiver;
use super::reverse;
use super::right;
use super::state::Ipc;

/// Gives a right to a task and uses it up. A right whose port died becomes `DEAD`. A right that finds no room in the space is
/// destroyed, and the result is `NULL` (C7.3).
pub(crate) fn copyout(ipc: &mut Ipc<'_, '_>, space: SpaceId, right: Right) -> Name {
    let port = match right {
        Right::Null => return Name::NULL,
        Right::Dead => return Name::DEAD,
        Right::Send(port) | Right::SendOnce(port) | Right::Receive(port) => port,
    };
    if !ipc.port(port).alive {
        right::release(ipc, right);
        return Name::DEAD;
    }
    // Send-once rights never coalesce (C0.1).
    let existing = match right {
        Right::SendOnce(_) => None,
        _ => reverse::name_of(ipc, space, port),
    };
    if let Some(name) = existing {
        join_name(ipc, space, name, right);
        return name;
    }
    let rights = match right {
        Right::SendOnce(_) => Rights::SEND_ONCE,
        Right::Receive(_) => Rights::RECEIVE,
        _ => Rights::SEND,
    };
    match ipc.space_mut(space).claim(Denoted::Port(port), rights) {
        Some(name) => {
            settle(ipc, space, name, right);
            name
        }
        None => {
            right::release(ipc, right);
            Name::NULL
        }
    }
}

/// Does the same as [`copyout`], under a free name that the caller chose.
pub(super) fn copyout_name(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, right: Right) {
    let (port, rights) = match right {
        Right::Null | Right::Dead => return,
        Right::Send(port) => (port, Rights::SEND),
        Right::SendOnce(port) => (port, Rights::SEND_ONCE),
        Right::Receive(port) => (port, Rights::RECEIVE),
    };
    let space_names = ipc.space_mut(space);
    space_names.claim_name(name, Denoted::Port(port), rights);
    settle(ipc, space, name, right);
}

/// Gives a new name its first right.
fn settle(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, right: Right) {
    match right {
        Right::Null | Right::Dead | Right::SendOnce(_) => {}
        Right::Send(port) => {
            if let Some(entry) = ipc.space_mut(space).get_mut(name) {
                entry.references = 1;
            }
            reverse::list(ipc, space, name, port);
        }
        Right::Receive(port) => {
            reverse::list(ipc, space, name, port);
            arrive(ipc, space, name, port);
        }
    }
}

/// Adds a right to the name that its port has in the space.
fn join_name(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, right: Right) {
    let Some(entry) = ipc.space_mut(space).get_mut(name) else {
        return;
    };
    match right {
        Right::Send(_) if entry.rights.has(Rights::SEND) => {
            // The name has one already: a user reference stands for this one.
            entry.add_reference();
            right::release(ipc, right);
        }
        Right::Send(_) => {
            entry.rights = entry.rights.with(Rights::SEND);
            entry.references = 1;
        }
        Right::Receive(port) => {
            entry.rights = entry.rights.with(Rights::RECEIVE);
            arrive(ipc, space, name, port);
        }
        Right::SendOnce(_) | Right::Null | Right::Dead => {}
    }
}

/// Notes that the receive right is under this name now.
fn arrive(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, port: PortId) {
    if let Some(queue) = ipc.port_mut(port).queue_mut() {
        queue.receiver = Receiver::Name(space, name);
    }
}

/// Makes a send right and gives it to a task: a reference more under the name that it has, or a new one. `None` when the space is
/// full.
pub(crate) fn name_send(ipc: &mut Ipc<'_, '_>, space: SpaceId, port: PortId) -> Option<Name> {
    let right = right::make_send(ipc, port);
    let name = copyout(ipc, space, right);
    name.is_valid().then_some(name)
}

/// Makes the last reference of a send right the kernel's to release (D5.1).
pub(crate) fn pin(ipc: &mut Ipc<'_, '_>, space: SpaceId, port: PortId) {
    if let Some(name) = reverse::name_of(ipc, space, port) {
        if let Some(entry) = ipc.space_mut(space).get_mut(name) {
            entry.pinned = true;
        }
    }
}
