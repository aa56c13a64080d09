//! The calls on port sets of `mach/mach_port.h` (C9).

use super::entry::{Entry, Rights};
use super::guard;
use super::id::{PortId, SetId};
use super::lookup;
use super::mach_port;
use super::member;
use super::name::{Name, SpaceId};
use super::state::Ipc;
use mach_wire::kern_return::KernReturn;

/// The name that a call checks first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Port,
    Set,
}

/// Finds the port and the set behind two names (C9.1). Each error raises a guard, but where the set is looked at first, and where a
/// name was a receive right before.
fn port_and_set(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    set: Name,
    first: First,
) -> Result<(PortId, SetId), KernReturn> {
    if !name.is_valid() || !set.is_valid() {
        return Err(KernReturn::INVALID_RIGHT);
    }
    if first == First::Set {
        let entry = ipc.space(space).get(set).ok_or(KernReturn::INVALID_NAME)?;
        let set = entry.set().ok_or(KernReturn::INVALID_RIGHT)?;
        let port = mach_port::entry_of(ipc, space, name)?;
        return Ok((port_behind(ipc, name, &port)?, set));
    }
    let (port, pset) = (
        mach_port::entry_of(ipc, space, name)?,
        mach_port::entry_of(ipc, space, set)?,
    );
    let port = port_behind(ipc, name, &port)?;
    match pset.set() {
        Some(set) => Ok((port, set)),
        None if pset.was_receive && ipc.rules.former_receive_rights_are_no_misuse_as_sets() => {
            Err(KernReturn::INVALID_RIGHT)
        }
        None => Err(guard::with_guard(ipc, set, KernReturn::INVALID_RIGHT)),
    }
}

/// Returns the port whose receive right an entry has.
fn port_behind(ipc: &mut Ipc<'_, '_>, name: Name, entry: &Entry) -> Result<PortId, KernReturn> {
    let error = KernReturn::INVALID_RIGHT;
    let receives = entry.rights.has(Rights::RECEIVE);
    match entry.port().filter(|_| receives) {
        Some(port) => Ok(port),
        None if entry.was_receive => Err(error),
        None => Err(guard::with_guard(ipc, name, error)),
    }
}

/// Returns the order in which `insert_member` and `move_member` look at their names (C9.1).
fn order(ipc: &Ipc<'_, '_>) -> First {
    if ipc.rules.set_name_is_looked_at_first() {
        First::Set
    } else {
        First::Port
    }
}

/// Implements `mach_port_insert_member` (C9.1).
pub(crate) fn insert_member(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    set: Name,
) -> Result<(), KernReturn> {
    let (port, set) = port_and_set(ipc, space, name, set, order(ipc))?;
    member::join(ipc, port, set)
}

/// Implements `mach_port_extract_member` (C9.2).
pub(crate) fn extract_member(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    set: Name,
) -> Result<(), KernReturn> {
    let (port, set) = port_and_set(ipc, space, name, set, First::Port)?;
    member::leave(ipc, port, set)
}

/// Implements `mach_port_move_member` (C9.2).
pub(crate) fn move_member(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    after: Name,
) -> Result<(), KernReturn> {
    if after == Name::NULL {
        let port = lookup::receive_right(ipc, space, name)?;
        return if member::leave_others(ipc, port, None) {
            Ok(())
        } else {
            ipc.rules.leaving_no_set()
        };
    }
    let (port, set) = port_and_set(ipc, space, name, after, order(ipc))?;
    match member::join(ipc, port, set) {
        Ok(()) | Err(KernReturn::ALREADY_IN_SET) => {
            member::leave_others(ipc, port, Some(set));
            Ok(())
        }
        Err(error) => Err(error),
    }
}
