//! Contexts and guards of receive rights (C5.5, C5.6).

use super::entry::Rights;
use super::guard;
use super::id::PortId;
use super::lookup;
use super::mach_port;
use super::name::{Name, SpaceId};
use super::port::{MessagePort, Protection};
use super::state::Ipc;
use mach_wire::exception::PortGuardFlavor;
use mach_wire::kern_return::KernReturn;
use mach_wire::port::GuardFlags;

/// Implements `mach_port_get_context` (C5.5).
pub(crate) fn get_context(
    ipc: &Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<u64, KernReturn> {
    let port = lookup::receive_right(ipc, space, name)?;
    let queue = ipc
        .port(port)
        .queue()
        .filter(|queue| !queue.protection.strict);
    Ok(queue.map_or(0, |queue| queue.context))
}

/// Implements `mach_port_set_context` (C5.5). It replaces a guard that is not strict.
pub(crate) fn set_context(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    context: u64,
) -> Result<(), KernReturn> {
    let port = lookup::receive_right(ipc, space, name)?;
    let Some(queue) = ipc.port_mut(port).queue_mut() else {
        return Ok(());
    };
    if queue.protection.strict {
        let value = queue.context;
        guard::raise(ipc, PortGuardFlavor::SET_CONTEXT, name, value);
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    queue.context = context;
    Ok(())
}

/// Returns the port behind the receive right under a name. Errors raise guards (C5.6).
fn receive_right(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<PortId, KernReturn> {
    if !name.is_valid() {
        return Err(KernReturn::INVALID_NAME);
    }
    let entry = mach_port::entry_of(ipc, space, name)?;
    let is_dead = lookup::pretended_rights(ipc, &entry).has(Rights::DEAD_NAME);
    let receives = entry.rights.has(Rights::RECEIVE);
    match entry.port().filter(|_| receives) {
        Some(port) => Ok(port),
        None => {
            let error = match is_dead {
                true => ipc.rules.dead_name_for_receive_right(),
                false => KernReturn::INVALID_RIGHT,
            };
            Err(guard::with_guard(ipc, name, error))
        }
    }
}

/// Looks at the port behind a name, and changes it. An error raises the guard with it.
fn change(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    operate: impl FnOnce(&mut MessagePort) -> Result<(), PortGuardFlavor>,
) -> Result<(), KernReturn> {
    let port = receive_right(ipc, space, name)?;
    let queue = ipc.port_mut(port).queue_mut();
    let queue = queue.ok_or(KernReturn::INVALID_RIGHT)?;
    let value = queue.context;
    operate(queue).map_err(|flavor| {
        let payload = if flavor == PortGuardFlavor::UNGUARDED {
            0
        } else {
            value
        };
        guard::raise(ipc, flavor, name, payload);
        KernReturn::INVALID_ARGUMENT
    })
}

/// Implements `mach_port_guard`, `mach_port_guard_with_flags` (C5.6). A port whose context is not 0 cannot be guarded.
pub(crate) fn guard(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    value: u64,
    flags: GuardFlags,
) -> Result<(), KernReturn> {
    change(ipc, space, name, |queue| {
        if queue.context != 0 {
            return Err(PortGuardFlavor::INVALID_ARGUMENT);
        }
        queue.context = value;
        queue.protection = Protection {
            guarded: true,
            strict: flags.contains(GuardFlags::STRICT),
            immovable: queue.protection.immovable || flags.contains(GuardFlags::IMMOVABLE_RECEIVE),
        };
        Ok(())
    })
}

/// Implements `mach_port_unguard` (C5.6).
pub(crate) fn unguard(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    value: u64,
) -> Result<(), KernReturn> {
    change(ipc, space, name, |queue| {
        if !queue.protection.guarded {
            return Err(PortGuardFlavor::UNGUARDED);
        }
        if queue.context != value {
            return Err(PortGuardFlavor::INCORRECT_GUARD);
        }
        queue.context = 0;
        queue.protection = Protection::default();
        Ok(())
    })
}

/// Implements `mach_port_swap_guard` (C5.6).
pub(crate) fn swap_guard(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    old: u64,
    new: u64,
) -> Result<(), KernReturn> {
    change(ipc, space, name, |queue| {
        if !queue.protection.guarded {
            return Err(PortGuardFlavor::UNGUARDED);
        }
        if queue.protection.strict {
            return Err(PortGuardFlavor::SET_CONTEXT);
        }
        if queue.context != old {
            return Err(PortGuardFlavor::INCORRECT_GUARD);
        }
        queue.context = new;
        Ok(())
    })
}
