//! Rights on their way into the kernel (C7): what a disposition needs under the sender's name, and what it leaves there.

use super::entry::Rights;
use super::guard;
use super::id::PortId;
use super::kmsg::Right;
use super::lookup;
use super::member;
use super::name::{Name, SpaceId};
use super::notify;
use super::reverse;
use super::right;
use super::state::Ipc;
use super::uref;
use super::waitq::WaitOn;
use mach_wire::exception::PortGuardFlavor;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;

/// Treatment of a dead name in place of the right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    Refused,
    Accepted,
}

/// Returns the right that a name must have for a disposition; `None` if no message carries a right with it.
fn needed(disposition: Disposition) -> Option<Rights> {
    match disposition {
        Disposition::MAKE_SEND | Disposition::MAKE_SEND_ONCE | Disposition::MOVE_RECEIVE => {
            Some(Rights::RECEIVE)
        }
        Disposition::MOVE_SEND | Disposition::COPY_SEND => Some(Rights::SEND),
        Disposition::MOVE_SEND_ONCE => Some(Rights::SEND_ONCE),
        _ => None,
    }
}

/// Checks whether [`copyin`] would succeed. Converts dead names, changes nothing else.
pub(super) fn check(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    disposition: Disposition,
    dead: Dead,
) -> Result<(), KernReturn> {
    let needed = needed(disposition).ok_or(KernReturn::INVALID_RIGHT)?;
    if needed != Rights::RECEIVE {
        lookup::convert_dead(ipc, space, name);
    }
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    let accepts_dead = needed != Rights::RECEIVE && dead == Dead::Accepted;
    let stands_for_it = accepts_dead && entry.rights.has(Rights::DEAD_NAME);
    if !(entry.rights.has(needed) || stands_for_it) {
        return Err(KernReturn::INVALID_RIGHT);
    }
    let port = entry.port();
    if disposition == Disposition::MOVE_SEND {
        keep_pinned(ipc, space, name, 1)?;
    }
    if disposition == Disposition::MOVE_RECEIVE {
        let queue = port.and_then(|port| ipc.port(port).queue());
        if queue.is_some_and(|queue| queue.protection.immovable) {
            guard::raise(ipc, PortGuardFlavor::IMMOVABLE, name, 0);
            return Err(KernReturn::INVALID_CAPABILITY);
        }
    }
    Ok(())
}

/// Refuses to move so many send rights if they are all that a pinned name has: its last reference is the kernel's to release (D5.3).
pub(super) fn keep_pinned(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    moved: u16,
) -> Result<(), KernReturn> {
    let entry = ipc.space(space).get(name);
    if entry.is_some_and(|entry| entry.pinned && entry.references == moved) {
        let payload = ipc.rules.payload_of_pinned_copyin();
        guard::raise(ipc, PortGuardFlavor::MOD_REFS_NON_FATAL, name, payload);
        return Err(KernReturn::INVALID_CAPABILITY);
    }
    Ok(())
}

/// Takes a right from a name, as the disposition says.
pub(crate) fn copyin(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    disposition: Disposition,
    dead: Dead,
) -> Result<Right, KernReturn> {
    check(ipc, space, name, disposition, dead)?;
    take(ipc, space, name, disposition)
}

/// Takes a right from a name, of which it was [checked](check) just before.
pub(super) fn take(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    disposition: Disposition,
) -> Result<Right, KernReturn> {
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    let Some(port) = entry.port() else {
        if disposition != Disposition::COPY_SEND {
            uref::drop_dead(ipc, space, name, 1);
        }
        return Ok(Right::Dead);
    };
    Ok(match disposition {
        Disposition::MAKE_SEND => right::make_send(ipc, port),
        Disposition::MAKE_SEND_ONCE => right::make_send_once(ipc, port),
        Disposition::MOVE_RECEIVE => detach_receive_right(ipc, space, name, port),
        Disposition::MOVE_SEND_ONCE => {
            // The name's right becomes the kernel's.
            let request = uref::free(ipc, space, name);
            notify::port_deleted(ipc, request, name);
            Right::SendOnce(port)
        }
        Disposition::MOVE_SEND => {
            let moved = right::copy_send(ipc, port);
            uref::drop_send(ipc, space, name, 1);
            moved
        }
        _ => right::copy_send(ipc, port),
    })
}

/// Takes a right of a message's body: `NULL` and `DEAD` pass through, dead names arrive as `DEAD` (C10.4).
pub(super) fn copyin_body(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    disposition: Disposition,
) -> Result<Right, KernReturn> {
    match name {
        _ if needed(disposition).is_none() => Err(KernReturn::INVALID_RIGHT),
        Name::NULL => Ok(Right::Null),
        Name::DEAD => Ok(Right::Dead),
        name => copyin(ipc, space, name, disposition, Dead::Accepted),
    }
}

/// Takes the receive right from the name: the port is in transit, in no set, and reset (C7.1a).
fn detach_receive_right(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, port: PortId) -> Right {
    member::leave_others(ipc, port, None);
    ipc.wake(WaitOn::Port(port));
    right::reset_receive_right(ipc, port);
    match ipc.space_mut(space).get_mut(name) {
        Some(entry) if entry.rights.has(Rights::SEND) => {
            entry.rights = Rights::SEND;
            entry.was_receive = true;
        }
        _ => {
            reverse::unlist(ipc, space, name, port);
            let request = uref::free(ipc, space, name);
            notify::port_deleted(ipc, request, name);
        }
    }
    Right::Receive(port)
}
