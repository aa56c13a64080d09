//! The calls on names of `mach/mach_port.h` that make, count and release rights (C2–C5).

use super::copyout;
use super::entry::{Denoted, Entry, Rights, SATURATED};
use super::guard;
use super::id::PortId;
use super::kmsg::Right;
use super::kobject::Kobject;
use super::lookup;
use super::member;
use super::name::{Name, SpaceId};
use super::notify;
use super::port::{MessagePort, PortKind, Protection, Receiver};
use super::requested;
use super::reverse;
use super::right;
use super::space::Choice;
use super::state::Ipc;
use super::uref;
use mach_wire::exception::{
    MPG_FLAGS_MOD_REFS_PINNED_DEALLOC, MPG_FLAGS_MOD_REFS_PINNED_DESTROY, PortGuardFlavor,
};
use mach_wire::kern_return::KernReturn;
use mach_wire::port::{PortRight, PortType};

/// Implements `mach_port_allocate` (C2.1).
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

/// Implements `mach_port_allocate_name` (C2.2, C2.3).
pub(crate) fn allocate_name(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    right: PortRight,
    name: Name,
) -> Result<(), KernReturn> {
    match right {
        PortRight::RECEIVE | PortRight::PORT_SET => {}
        // The name that the caller wants is ignored.
        PortRight::DEAD_NAME => return allocate(ipc, space, right).map(|_| ()),
        _ => return Err(KernReturn::INVALID_VALUE),
    }
    match ipc.space(space).admits(name) {
        Choice::Free => {}
        Choice::BadValue => return Err(KernReturn::INVALID_VALUE),
        Choice::NoSpace => return Err(KernReturn::NO_SPACE),
        Choice::OtherGeneration => return Err(KernReturn::FAILURE),
        Choice::InUse => return Err(KernReturn::NAME_EXISTS),
    }
    if right == PortRight::RECEIVE {
        let port = ipc.create_port(PortKind::Queue(MessagePort::new()));
        let port = port.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
        copyout::copyout_name(ipc, space, name, Right::Receive(port));
    } else {
        let set = ipc.create_set().ok_or(KernReturn::RESOURCE_SHORTAGE)?;
        let names = ipc.space_mut(space);
        names.claim_name(name, Denoted::Set(set), Rights::PORT_SET);
    }
    Ok(())
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

/// Implements `mach_port_deallocate` (C3.2).
pub(crate) fn deallocate(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<(), KernReturn> {
    if !name.is_valid() {
        return Ok(());
    }
    lookup::convert_dead(ipc, space, name);
    let entry = entry_of(ipc, space, name)?;
    if entry.rights.has(Rights::DEAD_NAME) {
        uref::drop_dead(ipc, space, name, 1);
    } else if entry.rights.has(Rights::SEND_ONCE) {
        destroy_send_once(ipc, space, name, &entry);
    } else if entry.rights.has(Rights::PORT_SET) {
        destroy_set(ipc, space, name, &entry);
    } else if entry.rights.has(Rights::SEND) {
        if entry.pinned && entry.references == 1 {
            return Err(pinned(ipc, name, MPG_FLAGS_MOD_REFS_PINNED_DEALLOC));
        }
        uref::drop_send(ipc, space, name, 1);
    } else {
        return Err(guard::with_guard(ipc, name, KernReturn::INVALID_RIGHT));
    }
    Ok(())
}

/// Returns the entry of a name. A name that is absent raises a guard.
pub(super) fn entry_of(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<Entry, KernReturn> {
    match ipc.space(space).get(name) {
        Some(entry) => Ok(*entry),
        None => Err(guard::with_guard(ipc, name, KernReturn::INVALID_NAME)),
    }
}

/// Refuses to take the last reference of a pinned name (D5.3).
fn pinned(ipc: &mut Ipc<'_, '_>, name: Name, payload: u64) -> KernReturn {
    guard::raise(ipc, PortGuardFlavor::MOD_REFS_NON_FATAL, name, payload);
    KernReturn::INVALID_CAPABILITY
}

/// Implements `mach_port_destroy` (C3.1).
pub(crate) fn destroy(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<(), KernReturn> {
    if !name.is_valid() {
        return Ok(());
    }
    let entry = entry_of(ipc, space, name)?;
    if entry.rights.has(Rights::DEAD_NAME) {
        ipc.space_mut(space).release(name);
        return Ok(());
    }
    if entry.rights.has(Rights::PORT_SET) {
        destroy_set(ipc, space, name, &entry);
        return Ok(());
    }
    let Some(port) = entry.port() else {
        return Ok(());
    };
    if entry.rights.has(Rights::RECEIVE) {
        let (protection, value) = protection_of(ipc, port);
        if protection.guarded && value != 0 {
            if ipc.rules.refused_destroy_loses_the_name() {
                lose_name(ipc, space, name, &entry, port);
            }
            guard::raise(ipc, PortGuardFlavor::DESTROY, name, value);
            return Err(KernReturn::INVALID_RIGHT);
        }
    } else if entry.pinned && ipc.rules.pinned_names_are_not_destroyed() {
        return Err(pinned(ipc, name, MPG_FLAGS_MOD_REFS_PINNED_DESTROY));
    }
    if !entry.rights.has(Rights::SEND_ONCE) {
        reverse::unlist(ipc, space, name, port);
    }
    let request = uref::free(ipc, space, name);
    let no_senders = (entry.rights.has(Rights::SEND)).then(|| right::drop_send(ipc, port));
    if entry.rights.has(Rights::RECEIVE) {
        right::release(ipc, Right::Receive(port));
    } else if entry.rights.has(Rights::SEND_ONCE) {
        right::release(ipc, Right::SendOnce(port));
    }
    if let Some(no_senders) = no_senders {
        no_senders.tell(ipc);
    }
    notify::port_deleted(ipc, request, name);
    Ok(())
}

/// Frees a name whose rights stay with the port, which lives on without a receiver: what a refused destruction did up to macOS 13 (C3.1).
fn lose_name(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, entry: &Entry, port: PortId) {
    reverse::unlist(ipc, space, name, port);
    requested::leave_to_the_port(ipc, space, name);
    ipc.space_mut(space).release(name);
    if let Some(queue) = ipc.port_mut(port).queue_mut() {
        queue.receiver = Receiver::Transit(None);
    }
    if entry.rights.has(Rights::SEND) {
        right::drop_send_silently(ipc, port);
    }
}

/// Returns how a receive right is protected, and the value of its guard.
fn protection_of(ipc: &Ipc<'_, '_>, port: PortId) -> (Protection, u64) {
    let queue = ipc.port(port).queue();
    queue.map_or_else(Default::default, |queue| (queue.protection, queue.context))
}

/// Implements `mach_port_get_refs` (C4.1).
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

/// Implements `mach_port_mod_refs` (C4.2).
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
    let before = entry_of(ipc, space, name)?.rights;
    if matches!(
        right,
        PortRight::SEND | PortRight::SEND_ONCE | PortRight::DEAD_NAME
    ) {
        lookup::convert_dead(ipc, space, name);
    }
    let entry = entry_of(ipc, space, name)?;
    let wanted = match right {
        PortRight::PORT_SET => Rights::PORT_SET,
        PortRight::RECEIVE => Rights::RECEIVE,
        PortRight::SEND_ONCE => Rights::SEND_ONCE,
        PortRight::SEND => Rights::SEND,
        PortRight::DEAD_NAME => Rights::DEAD_NAME,
        _ => return Err(KernReturn::INVALID_RIGHT),
    };
    if !entry.rights.has(wanted) {
        let is_misuse = match right {
            PortRight::RECEIVE => !entry.was_receive,
            // The port has died since the name was looked at.
            PortRight::SEND_ONCE => before.has(Rights::SEND_ONCE),
            PortRight::SEND => {
                let makes_one = entry.rights.has(Rights::RECEIVE) && delta == 1;
                !(entry.rights.has(Rights::DEAD_NAME) || makes_one)
            }
            _ => true,
        };
        let error = KernReturn::INVALID_RIGHT;
        return Err(if is_misuse {
            guard::with_guard(ipc, name, error)
        } else {
            error
        });
    }
    if matches!(right, PortRight::SEND | PortRight::DEAD_NAME) {
        return change_references(ipc, space, name, delta);
    }
    // A right that there is one of: the only change is to destroy it.
    match delta {
        0 => return Ok(()),
        -1 => {}
        _ => return Err(guard::with_guard(ipc, name, KernReturn::INVALID_VALUE)),
    }
    match right {
        PortRight::PORT_SET => destroy_set(ipc, space, name, &entry),
        PortRight::SEND_ONCE => destroy_send_once(ipc, space, name, &entry),
        _ => {
            let (protection, value) = entry
                .port()
                .map_or_else(Default::default, |port| protection_of(ipc, port));
            if protection.guarded {
                let flavor = ipc.rules.guard_against_mod_refs();
                guard::raise(ipc, flavor, name, value);
                return Err(KernReturn::INVALID_RIGHT);
            }
            destroy_receive_right(ipc, space, name, &entry);
        }
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
    let all = u32::from(SATURATED);
    let sum = match entry.references {
        _ if delta.unsigned_abs() > all => -1,
        // A saturated count only goes with all of it (A7.3).
        SATURATED if delta.unsigned_abs() == all && delta < 0 => 0,
        SATURATED => return Ok(()),
        references => i32::from(references) + delta,
    };
    if sum < 0 {
        return Err(guard::with_guard(ipc, name, KernReturn::INVALID_VALUE));
    }
    if sum > 0 {
        entry.references = sum.min(i32::from(SATURATED)) as u16;
        return Ok(());
    }
    if entry.pinned {
        return Err(pinned(ipc, name, MPG_FLAGS_MOD_REFS_PINNED_DEALLOC));
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
    let request = uref::free(ipc, space, name);
    if let Some(port) = entry.port() {
        right::release(ipc, Right::SendOnce(port));
    }
    notify::port_deleted(ipc, request, name);
}

fn destroy_set(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, entry: &Entry) {
    ipc.space_mut(space).release(name);
    if let Some(set) = entry.set() {
        member::destroy_set(ipc, set);
    }
}

/// Destroys the receive right: the port dies, and send references under the same name become a dead name (C1.3). With a port-destroyed
/// request the receive right goes there, and the name keeps its send right (C8.5).
pub(super) fn destroy_receive_right(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    entry: &Entry,
) {
    let Some(port) = entry.port() else {
        return;
    };
    if !entry.rights.has(Rights::SEND) {
        reverse::unlist(ipc, space, name, port);
        let request = uref::free(ipc, space, name);
        right::release(ipc, Right::Receive(port));
        notify::port_deleted(ipc, request, name);
        return;
    }
    if right::lives_on(ipc, port) {
        if let Some(entry) = ipc.space_mut(space).get_mut(name) {
            entry.rights = Rights::SEND;
            entry.was_receive = true;
        }
    } else {
        reverse::unlist(ipc, space, name, port);
        let requested = requested::leave_to_the_port(ipc, space, name);
        if let Some(entry) = ipc.space_mut(space).get_mut(name) {
            entry.become_dead_name();
            entry.was_receive = true;
            if requested {
                entry.add_reference();
            }
        }
        right::drop_send_silently(ipc, port);
    }
    right::release(ipc, Right::Receive(port));
}

/// Implements `mach_port_type` (C5.1).
pub(crate) fn port_type(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<PortType, KernReturn> {
    if name == Name::DEAD {
        return Ok(PortType::DEAD_NAME);
    }
    lookup::convert_dead(ipc, space, name);
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    let request = requested::type_bits(ipc, entry) & PortType::DNREQUEST;
    Ok(entry.rights.port_type() | request)
}

/// Implements `mach_port_kobject`: the kernel object behind a send or receive right; `None` for a port that stands for none
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
