//! `mach_port_request_notification` (C8).

use super::copyin::{self, Dead};
use super::copyout;
use super::entry::{Entry, Rights};
use super::guard;
use super::id::PortId;
use super::kmsg::Right;
use super::lookup;
use super::mqueue;
use super::name::{Name, SpaceId};
use super::notify;
use super::requested::{self, Awaited};
use super::right;
use super::state::Ipc;
use mach_wire::exception::PortGuardFlavor;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;
use mach_wire::mig::{
    MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED,
    MACH_NOTIFY_SEND_POSSIBLE,
};

/// `kGUARD_EXC_INVALID_NOTIFICATION_REQ`, which came with macOS 26.
const INVALID_NOTIFICATION_REQUEST: PortGuardFlavor = PortGuardFlavor::new(65);

/// Arguments of `mach_port_request_notification`: the notification's identifier, its `sync` value, and the notify port with its disposition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) id: i32,
    pub(crate) sync: u32,
    pub(crate) notify: Name,
    pub(crate) disposition: Disposition,
}

/// Requests a notification about a name, or cancels one if the notify port is null. Returns the name of the send-once right that was
/// armed before (C8.9).
pub(crate) fn request(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    wish: Wish,
) -> Result<Name, KernReturn> {
    let notify = take_notify_right(ipc, space, wish)?;
    let previous = match arm(ipc, space, name, wish, notify) {
        Ok(previous) => previous,
        Err(error) => {
            right::release(ipc, notify);
            return Err(error);
        }
    };
    let is_dead = previous.port().is_some_and(|port| !ipc.port(port).alive);
    if is_dead && notify != Right::Null && ipc.rules.dead_previous_is_an_error() {
        right::release(ipc, previous);
        return Err(KernReturn::INVALID_CAPABILITY);
    }
    Ok(copyout::copyout(ipc, space, previous))
}

/// Takes the send-once right for the notification (C8.1).
fn take_notify_right(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    wish: Wish,
) -> Result<Right, KernReturn> {
    let makes = [Disposition::MAKE_SEND_ONCE, Disposition::MOVE_SEND_ONCE];
    match wish.notify {
        Name::NULL => return Ok(Right::Null),
        Name::DEAD => return Err(KernReturn::INVALID_CAPABILITY),
        _ if !makes.contains(&wish.disposition) => return Err(KernReturn::MIG_TYPE_ERROR),
        _ => {}
    }
    let right = copyin::copyin(ipc, space, wish.notify, wish.disposition, Dead::Accepted)?;
    let is_live = right.port().is_some_and(|port| ipc.port(port).alive);
    if is_live {
        Ok(right)
    } else {
        right::release(ipc, right);
        Err(KernReturn::INVALID_CAPABILITY)
    }
}

/// Arms the request. Returns the right of the one before. On an error the new right is the caller's to release.
fn arm(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    wish: Wish,
    notify: Right,
) -> Result<Right, KernReturn> {
    if !name.is_valid() && ipc.rules.notification_needs_a_valid_name() {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    match wish.id {
        MACH_NOTIFY_NO_SENDERS => no_senders(ipc, space, name, wish.sync, notify),
        MACH_NOTIFY_PORT_DESTROYED => port_destroyed(ipc, space, name, wish.sync, notify),
        MACH_NOTIFY_DEAD_NAME => about_a_name(ipc, space, name, wish, notify),
        MACH_NOTIFY_SEND_POSSIBLE => about_a_name(ipc, space, name, wish, notify),
        _ => Err(KernReturn::INVALID_VALUE),
    }
}

/// Requests a no-senders notification (C8.2).
fn no_senders(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    sync: u32,
    notify: Right,
) -> Result<Right, KernReturn> {
    let port = lookup::receive_right(ipc, space, name)?;
    let object = ipc.port_mut(port);
    let (made, is_due) = (
        object.mscount,
        object.srights == 0 && sync <= object.mscount,
    );
    let queue = object.queue_mut().ok_or(KernReturn::INVALID_RIGHT)?;
    let previous = queue.no_senders.take();
    if is_due && notify != Right::Null {
        notify::no_senders(ipc, notify, made);
    } else {
        queue.no_senders = notify;
    }
    Ok(previous)
}

/// Requests a port-destroyed notification (C8.5).
fn port_destroyed(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    sync: u32,
    notify: Right,
) -> Result<Right, KernReturn> {
    if sync != 0 {
        return Err(KernReturn::INVALID_VALUE);
    }
    let port = lookup::receive_right(ipc, space, name)?;
    let refuses_immovable = ipc.rules.immovable_ports_have_no_port_destroyed();
    let queue = ipc
        .port_mut(port)
        .queue_mut()
        .ok_or(KernReturn::INVALID_RIGHT)?;
    if refuses_immovable && queue.protection.immovable {
        guard::raise(ipc, INVALID_NOTIFICATION_REQUEST, name, 0);
        return Err(KernReturn::INVALID_RIGHT);
    }
    if queue.port_destroyed != Right::Null {
        let (name, payload) = match ipc.rules.second_port_destroyed() {
            Some(payload) => (Name::NULL, payload),
            None => (name, 0),
        };
        guard::raise(ipc, PortGuardFlavor::KERN_FAILURE, name, payload);
        return Err(KernReturn::FAILURE);
    }
    queue.port_destroyed = notify;
    Ok(Right::Null)
}

/// Requests a dead-name or send-possible notification (C8.3, C8.4).
fn about_a_name(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    wish: Wish,
    notify: Right,
) -> Result<Right, KernReturn> {
    if !name.is_valid() {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    let for_room = wish.id == MACH_NOTIFY_SEND_POSSIBLE;
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    if notify == Right::Null && entry.request().is_none() {
        return Ok(Right::Null);
    }
    lookup::convert_dead(ipc, space, name);
    let entry = *ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    if let Some(port) = entry.port() {
        return on_live_port(ipc, space, name, (entry, port), wish, notify);
    }
    if !entry.rights.has(Rights::DEAD_NAME) {
        return Err(KernReturn::INVALID_RIGHT);
    }
    let is_due = for_room || wish.sync != 0 && ipc.rules.dead_names_are_told_at_once();
    if !is_due || notify == Right::Null {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    if let Some(entry) = ipc.space_mut(space).get_mut(name) {
        entry.add_reference();
    }
    notify::dead_name(ipc, notify, name);
    Ok(Right::Null)
}

fn on_live_port(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    (entry, port): (Entry, PortId),
    wish: Wish,
    notify: Right,
) -> Result<Right, KernReturn> {
    let for_room = wish.id == MACH_NOTIFY_SEND_POSSIBLE;
    let previous = requested::cancel(ipc, space, name);
    if notify == Right::Null {
        return Ok(previous);
    }
    let is_open = entry.rights.has(Rights::SEND_ONCE)
        || ipc.port(port).queue().is_none()
        || !mqueue::is_full(ipc, port);
    if for_room && wish.sync != 0 && is_open {
        notify::send_possible(ipc, notify, name);
        return Ok(previous);
    }
    let awaited = match (for_room, wish.sync) {
        (false, _) => Awaited::Death,
        (true, 0) => Awaited::RoomAfterASend,
        (true, _) => Awaited::Room,
    };
    if let Err(error) = requested::arm(ipc, space, name, port, awaited, notify) {
        right::release(ipc, previous);
        return Err(error);
    }
    Ok(previous)
}
