//! Lookup of names, for calls that take one.

use super::entry::{Entry, Rights};
use super::id::{PortId, SetId};
use super::kmsg::Right;
use super::name::{Name, SpaceId};
use super::requested;
use super::reverse;
use super::right;
use super::state::Ipc;
use mach_wire::kern_return::KernReturn;

/// Returns whether an entry holds send or send-once rights of a dead port, and no receive right.
#[inline]
fn is_stale(ipc: &Ipc<'_, '_>, entry: &Entry) -> bool {
    let sends = entry.rights.has(Rights::SEND) || entry.rights.has(Rights::SEND_ONCE);
    let dead = |port| !ipc.port(port).alive;
    sends && !entry.rights.has(Rights::RECEIVE) && entry.port().is_some_and(dead)
}

/// Converts a name whose port died into a dead name with the same references (C1.1).
#[inline]
pub(crate) fn convert_dead(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) {
    let stale = |entry: &&Entry| is_stale(ipc, entry);
    let entry = ipc.space(space).get(name).filter(stale);
    if let Some((port, rights)) = entry.and_then(|entry| Some((entry.port()?, entry.rights))) {
        convert(ipc, space, name, port, rights);
    }
}

#[cold]
fn convert(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, port: PortId, rights: Rights) {
    let once = rights.has(Rights::SEND_ONCE);
    if !once {
        reverse::unlist(ipc, space, name, port);
    }
    let told = requested::end_with_the_port(ipc, space, name);
    if let Some(entry) = ipc.space_mut(space).get_mut(name) {
        entry.become_dead_name();
        if told {
            entry.add_reference();
        }
    }
    let owned = if once {
        Right::SendOnce(port)
    } else {
        Right::Send(port)
    };
    right::release(ipc, owned);
}

/// Returns the rights that the entry would have after [`convert_dead`], without converting it (C1.2).
pub(super) fn pretended_rights(ipc: &Ipc<'_, '_>, entry: &Entry) -> Rights {
    if is_stale(ipc, entry) {
        Rights::DEAD_NAME
    } else {
        entry.rights
    }
}

/// Returns the port behind the receive right under a name (C7.5).
pub(super) fn receive_right(
    ipc: &Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<PortId, KernReturn> {
    if !name.is_valid() {
        return Err(KernReturn::INVALID_RIGHT);
    }
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    let rights = pretended_rights(ipc, entry);
    if rights.has(Rights::DEAD_NAME) {
        return Err(ipc.rules.dead_name_for_receive_right());
    }
    let receives = rights.has(Rights::RECEIVE);
    let port = entry.port().filter(|_| receives);
    port.ok_or(KernReturn::INVALID_RIGHT)
}

/// Returns the port behind the send right under a name, for a trap that takes one: `KERN_INVALID_NAME` for a name that is null, dead or
/// absent, or whose port died, and `KERN_INVALID_RIGHT` for another right.
pub(crate) fn send_right(
    ipc: &Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<PortId, KernReturn> {
    let entry = name.is_valid().then(|| ipc.space(space).get(name));
    let entry = entry.flatten().ok_or(KernReturn::INVALID_NAME)?;
    let rights = pretended_rights(ipc, entry);
    if rights.has(Rights::DEAD_NAME) {
        return Err(KernReturn::INVALID_NAME);
    }
    let port = entry.port().filter(|_| rights.has(Rights::SEND));
    port.ok_or(KernReturn::INVALID_RIGHT)
}

/// Returns the set under a name (C7.5).
pub(super) fn port_set(ipc: &Ipc<'_, '_>, space: SpaceId, name: Name) -> Result<SetId, KernReturn> {
    if !name.is_valid() {
        return Err(KernReturn::INVALID_RIGHT);
    }
    let entry = ipc.space(space).get(name).ok_or(KernReturn::INVALID_NAME)?;
    if pretended_rights(ipc, entry).has(Rights::DEAD_NAME) {
        return Err(ipc.rules.dead_name_for_receive_right());
    }
    entry.set().ok_or(KernReturn::INVALID_RIGHT)
}

/// Returns the port behind a send right that is the target of a kernel call (C0.5, B1.2).
pub(crate) fn call_target(
    ipc: &mut Ipc<'_, '_>,
    space: SpaceId,
    name: Name,
) -> Result<PortId, KernReturn> {
    convert_dead(ipc, space, name);
    let entry = ipc.space(space).get(name);
    let sends = entry.filter(|entry| entry.rights.has(Rights::SEND));
    sends
        .and_then(Entry::port)
        .ok_or(KernReturn::SEND_INVALID_DEST)
}
