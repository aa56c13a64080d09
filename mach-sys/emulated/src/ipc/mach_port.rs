//! The calls on names of `mach/mach_port.h` that make, count and release rights (C2–C5).

use super::copyout;
use super::entry::{Denoted, Entry, PEGGED, Rights};
use super::id::PortId;
use super::kmsg::Right;
use super::kobject::Kobject;
use super::lookup;
use super::member;
use super::name::{Name, SpaceId};
use super::port::{MessagePort, PortKind};
use super::reverse;
use super::right;
use super::state::Ipc;
use super::uref;
use mach_wire::kern_return::KernReturn;
use mach_wire::port::{PortRight, PortType};

/// `mach_port_allocate` (C2.1).
pub(crate) fn allocate(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    right: PortRight,
) -> Result<Name, KernReturn> {
    match right {
        PortRight::RECEIVE => {
            let port = ipc.create_port(PortKind::Queue(MessagePort::new()));
            let port = port.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
            match copyout::copyout(ipc, space, Right::Receive(port)) {
                Name::NULL => Err(KernReturn::NO_SPACE),
                name => Ok(name),
            }
        }
        PortRight::PORT_SET => {
            let set = ipc.create_set().ok_or(KernReturn::RESOURCE_SHORTAGE)?;
            let names = ipc.space_mut(space);
            let name = names.claim(Denoted::Set(set), Rights::PORT_SET);
            if name.is_none() {
                member::destroy_set(ipc, set);
            }
            name.ok_or(KernReturn::NO_SPACE)
        }
        PortRight::DEAD_NAME => {
            let names = ipc.space_mut(space);
            let name = names.claim(Denoted::Nothing, Rights::DEAD_NAME);
            let name = name.ok_or(KernReturn::NO_SPACE)?;
            if let Some(entry) = names.get_mut(name) {
                entry.references = 1;
            }
            Ok(name)
        }
        _ => Err(KernReturn::INVALID_VALUE),
    }
}

/// Makes a port whose receive right a library of the task keeps for the kernel to take back (G6.1): its name, and the port, with a
/// reference that [`take_back`] releases. `None` when the kernel or the space is full.
pub(crate) fn lend(ipc: &mut Ipc<'_, '_>, space: SpaceId) -> Option<(Name, PortId)> {
    let name = allocate(ipc, space, PortRight::RECEIVE).ok()?;
    let port = ipc.space(space).get(name)?.port()?;
    ipc.retain_port(port);
    Some((name, port))
}

/// Takes back what [`lend`] made: destroys the receive right if the space still has it.
pub(crate) fn take_back(ipc: &mut Ipc<'_, '_>, space: SpaceId, port: PortId) {
    if let Some(name) = reverse::name_of(ipc, space, port) {
        if let Some(&entry) = ipc.space(space).get(name) {
            if entry.rights.has(Rights::RECEIVE) {
                destroy_receive_right(ipc, space, name, &entry);
            }
        }
    }
    ipc.release_port(port);
}

/// `mach_port_deallocate` (C3.2).
pub(crate) fn deallocate(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<(), KernReturn> {
    if !name.is_valid() {
        return Ok(());
    }
    lookup::convert_dead(ipc, space, name);
    let entry = *ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    if entry.rights.has(Rights::DEAD_NAME) {
        uref::drop_dead(ipc, space, name, 1);
    } else if entry.rights.has(Rights::SEND_ONCE) {
        destroy_send_once(ipc, space, name, &entry);
    } else if entry.rights.has(Rights::PORT_SET) {
        destroy_set(ipc, space, name, &entry);
    } else if entry.rights.has(Rights::SEND) {
        if entry.pinned && entry.references == 1 {
            return Err(KernReturn::INVALID_CAPABILITY);
        }
        uref::drop_send(ipc, space, name, 1);
    } else {
        return Err(KernReturn::INVALID_RIGHT);
    }
    Ok(())
}

/// `mach_port_get_refs` (C4.1).
pub(crate) fn get_refs(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    right: PortRight,
) -> Result<u32, KernReturn> {
    if right >= PortRight::NUMBER {
        return Err(KernReturn::INVALID_VALUE);
    }
    if !name.is_valid() {
        return match right {
            PortRight::SEND | PortRight::SEND_ONCE => Ok(1),
            _ => Err(KernReturn::INVALID_NAME),
        };
    }
    lookup::convert_dead(ipc, space, name);
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    let (wanted, counted) = match right {
        PortRight::SEND => (Rights::SEND, true),
        PortRight::RECEIVE => (Rights::RECEIVE, false),
        PortRight::SEND_ONCE => (Rights::SEND_ONCE, false),
        PortRight::PORT_SET => (Rights::PORT_SET, false),
        PortRight::DEAD_NAME => (Rights::DEAD_NAME, true),
        _ => return Ok(0),
    };
    Ok(match (entry.rights.has(wanted), counted) {
        (false, _) => 0,
        (true, true) => u32::from(entry.references),
        (true, false) => 1,
    })
}

/// `mach_port_mod_refs` (C4.2).
pub(crate) fn mod_refs(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    right: PortRight,
    delta: i32,
) -> Result<(), KernReturn> {
    if right >= PortRight::NUMBER {
        return Err(KernReturn::INVALID_VALUE);
    }
    if !name.is_valid() {
        return match right {
            PortRight::SEND | PortRight::SEND_ONCE => Ok(()),
            _ => Err(KernReturn::INVALID_NAME),
        };
    }
    if matches!(
        right,
        PortRight::SEND | PortRight::SEND_ONCE | PortRight::DEAD_NAME
    ) {
        lookup::convert_dead(ipc, space, name);
    }
    let entry = *ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    // Rights that there is one of: the only change is to destroy it.
    let single = |wanted: Rights| match (entry.rights.has(wanted), delta) {
        (false, _) => Err(KernReturn::INVALID_RIGHT),
        (true, 0) => Ok(false),
        (true, -1) => Ok(true),
        (true, _) => Err(KernReturn::INVALID_VALUE),
    };
    match right {
        PortRight::PORT_SET => {
            if single(Rights::PORT_SET)? {
                destroy_set(ipc, space, name, &entry);
            }
        }
        PortRight::RECEIVE => {
            if single(Rights::RECEIVE)? {
                destroy_receive_right(ipc, space, name, &entry);
            }
        }
        PortRight::SEND_ONCE => {
            if single(Rights::SEND_ONCE)? {
                destroy_send_once(ipc, space, name, &entry);
            }
        }
        PortRight::SEND if entry.rights.has(Rights::SEND) => {
            change_references(ipc, space, name, delta)?;
        }
        PortRight::DEAD_NAME if entry.rights.has(Rights::DEAD_NAME) => {
            change_references(ipc, space, name, delta)?;
        }
        _ => return Err(KernReturn::INVALID_RIGHT),
    }
    Ok(())
}

/// Changes the user references of a send right or dead name (A7.3, C4.2).
fn change_references(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    delta: i32,
) -> Result<(), KernReturn> {
    let entry = ipc.space_mut(space).get_mut(name);
    let entry = entry.ok_or(KernReturn::INVALID_NAME)?;
    let all = u32::from(PEGGED);
    if delta.unsigned_abs() > all {
        return Err(KernReturn::INVALID_VALUE);
    }
    let sum = match entry.references {
        // A pegged count only goes with all of it (A7.3).
        PEGGED if delta.unsigned_abs() == all && delta < 0 => 0,
        PEGGED => return Ok(()),
        references => i32::from(references) + delta,
    };
    if sum < 0 {
        return Err(KernReturn::INVALID_VALUE);
    }
    if sum > 0 {
        entry.references = sum.min(i32::from(PEGGED)) as u16;
        return Ok(());
    }
    if entry.pinned {
        return Err(KernReturn::INVALID_CAPABILITY);
    }
    let references = entry.references;
    if entry.rights.has(Rights::DEAD_NAME) {
        uref::drop_dead(ipc, space, name, references);
    } else {
        uref::drop_send(ipc, space, name, references);
    }
    Ok(())
}

/// Removes the pin of a port's name and then one reference, as the kernel does when a thread ends (D5.5, D2.2).
pub(crate) fn unpin_and_deallocate(ipc: &mut Ipc<'_, '_>, space: SpaceId, port: PortId) {
    if let Some(name) = reverse::name_of(ipc, space, port) {
        if let Some(entry) = ipc.space_mut(space).get_mut(name) {
            entry.pinned = false;
        }
        uref::drop_send(ipc, space, name, 1);
    }
}

fn destroy_send_once(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, entry: &Entry) {
    ipc.space_mut(space).release(name);
    if let Some(port) = entry.port() {
        right::release(ipc, Right::SendOnce(port));
    }
}

fn destroy_set(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, entry: &Entry) {
    ipc.space_mut(space).release(name);
    if let Some(set) = entry.set() {
        member::destroy_set(ipc, set);
    }
}

/// Destroys the receive right: the port dies, and send references under the same name become a dead name (C1.3).
fn destroy_receive_right(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, entry: &Entry) {
    let Some(port) = entry.port() else {
        return;
    };
    reverse::unlist(ipc, space, name, port);
    if entry.rights.has(Rights::SEND) {
        if let Some(entry) = ipc.space_mut(space).get_mut(name) {
            entry.become_dead_name();
        }
        right::release(ipc, Right::Send(port));
    } else {
        ipc.space_mut(space).release(name);
    }
    right::release(ipc, Right::Receive(port));
}

/// `mach_port_type` (C5.1).
pub(crate) fn port_type(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<PortType, KernReturn> {
    if name == Name::DEAD {
        return Ok(PortType::DEAD_NAME);
    }
    lookup::convert_dead(ipc, space, name);
    let entry = ipc.space(space).get(name);
    entry
        .map(|entry| entry.rights.port_type())
        .ok_or(KernReturn::INVALID_NAME)
}

/// `mach_port_kobject`: the kernel object behind a send or receive right; `None` for a port that stands for none
/// (osfmk/ipc/mach_debug.c). Converts no dead name.
pub(crate) fn kobject(
    ipc: &Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<Option<Kobject>, KernReturn> {
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    let rights = lookup::pretended_rights(ipc, entry);
    if !rights.has(Rights::SEND) && !rights.has(Rights::RECEIVE) {
        return Err(KernReturn::INVALID_RIGHT);
    }
    Ok(entry.port().and_then(|port| ipc.port(port).kobject()))
}

/// `mach_port_set_context` (C5.5).
pub(crate) fn set_context(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    context: u64,
) -> Result<(), KernReturn> {
    let port = lookup::receive_right(ipc, space, name)?;
    if let Some(queue) = ipc.port_mut(port).queue_mut() {
        queue.context = context;
    }
    Ok(())
}

/// `mach_port_get_context` (C5.5).
pub(crate) fn get_context(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<u64, KernReturn> {
    let port = lookup::receive_right(ipc, space, name)?;
    Ok(ipc.port(port).queue().map_or(0, |queue| queue.context))
}
