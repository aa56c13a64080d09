//! The calls on port sets of `mach/mach_port.h` (C9).

use super::entry::{Entry, Rights};
use super::id::{PortId, SetId};
use super::lookup;
use super::member;
use super::name::{Name, SpaceId};
use super::state::Ipc;
use mach_wire::kern_return::KernReturn;

/// Which of its two names a call looks at first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Port,
    Set,
}

/// Finds the port and the set behind two names (C9.1).
fn port_and_set(
    ipc: &Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    set: Name,
    first: First,
) -> Result<(PortId, SetId), KernReturn> {
    if !name.is_valid() || !set.is_valid() {
        return Err(KernReturn::INVALID_RIGHT);
    }
    let entry = |name| ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME);
    let receive_right = |entry: &Entry| {
        let receives = entry.rights.has(Rights::RECEIVE);
        let port = entry.port().filter(|_| receives);
        port.ok_or(KernReturn::INVALID_RIGHT)
    };
    let port_set = |entry: &Entry| entry.set().ok_or(KernReturn::INVALID_RIGHT);
    match first {
        First::Port => {
            let (port, set) = (entry(name)?, entry(set)?);
            Ok((receive_right(port)?, port_set(set)?))
        }
        First::Set => {
            let set = port_set(entry(set)?)?;
            Ok((receive_right(entry(name)?)?, set))
        }
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

/// `mach_port_insert_member` (C9.1).
pub(crate) fn insert_member(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    set: Name,
) -> Result<(), KernReturn> {
    let (port, set) = port_and_set(ipc, space, name, set, order(ipc))?;
    member::join(ipc, port, set)
}

/// `mach_port_extract_member` (C9.2).
pub(crate) fn extract_member(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    set: Name,
) -> Result<(), KernReturn> {
    let (port, set) = port_and_set(ipc, space, name, set, First::Port)?;
    member::leave(ipc, port, set)
}

/// `mach_port_move_member` (C9.2).
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
