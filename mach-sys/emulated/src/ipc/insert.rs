//! Calls that give a task a right: `mach_port_insert_right`, `mach_port_extract_right` (C6).

use super::copyin::{self, Dead};
use super::copyout;
use super::entry::Rights;
use super::kmsg::Right;
use super::lookup;
use super::name::{Name, SpaceId};
use super::reverse;
use super::right;
use super::space::Choice;
use super::state::Ipc;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;

/// Implements `mach_port_insert_right` on the own task (C6.1, C6.2).
pub(crate) fn insert_right(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    poly: Name,
    disposition: Disposition,
) -> Result<(), KernReturn> {
    if name == poly && matches!(disposition, Disposition::MAKE_SEND | Disposition::COPY_SEND) {
        return insert_same_name(ipc, space, name, disposition);
    }
    if !poly.is_valid() {
        return Err(KernReturn::INVALID_NAME);
    }
    let right = copyin::copyin(ipc, space, poly, disposition, Dead::Accepted)?;
    match admit(ipc, space, name, right) {
        Ok(Admitted::New) => copyout::copyout_name(ipc, space, name, right),
        Ok(Admitted::Existing) => {
            copyout::copyout(ipc, space, right);
        }
        Err(error) => {
            // C6.3: what was copied in is destroyed.
            right::release(ipc, right);
            return Err(error);
        }
    }
    Ok(())
}

/// Gives the right to the port's own name, the fast path (C6.1).
fn insert_same_name(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    disposition: Disposition,
) -> Result<(), KernReturn> {
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    if lookup::pretended_rights(ipc, entry).has(Rights::DEAD_NAME) {
        return Err(KernReturn::INVALID_CAPABILITY);
    }
    let makes = disposition == Disposition::MAKE_SEND;
    let needed = if makes { Rights::RECEIVE } else { Rights::SEND };
    let has = entry.rights.has(needed);
    let port = entry.port().filter(|_| has);
    let port = port.ok_or(KernReturn::INVALID_RIGHT)?;
    let right = if makes {
        right::make_send(ipc, port)
    } else {
        right::copy_send(ipc, port)
    };
    copyout::copyout(ipc, space, right);
    Ok(())
}

/// Result of the check whether a right fits under a name that its task chose.
enum Admitted {
    /// The name is free.
    New,
    /// It is the port's name already.
    Existing,
}

fn admit(
    ipc: &Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    right: Right,
) -> Result<Admitted, KernReturn> {
    if !name.is_valid() {
        return Err(KernReturn::INVALID_VALUE);
    }
    let port = right.port().ok_or(KernReturn::INVALID_CAPABILITY)?;
    if !ipc.port(port).alive {
        return Err(KernReturn::INVALID_CAPABILITY);
    }
    let existing = match right {
        Right::SendOnce(_) => None,
        _ => reverse::name_of(ipc, space, port),
    };
    match ipc.space(space).admits(name) {
        Choice::BadValue => Err(KernReturn::INVALID_VALUE),
        Choice::NoSpace => Err(KernReturn::NO_SPACE),
        Choice::OtherGeneration => Err(KernReturn::FAILURE),
        Choice::InUse if existing == Some(name) => Ok(Admitted::Existing),
        _ if existing.is_some() => Err(KernReturn::RIGHT_EXISTS),
        Choice::InUse => Err(KernReturn::NAME_EXISTS),
        Choice::Free => Ok(Admitted::New),
    }
}

/// Implements `mach_port_extract_right` from the own task (C6.5).
pub(crate) fn extract_right(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
    disposition: Disposition,
) -> Result<(Name, Disposition), KernReturn> {
    let received = disposition.as_received().ok_or(KernReturn::INVALID_VALUE)?;
    if !name.is_valid() {
        return Err(KernReturn::INVALID_RIGHT);
    }
    let right = copyin::copyin(ipc, space, name, disposition, Dead::Accepted)?;
    Ok((copyout::copyout(ipc, space, right), received))
}
