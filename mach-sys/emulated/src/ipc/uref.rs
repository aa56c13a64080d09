//! Removing user references, and the rights that end with the last one.

use super::entry::Rights;
use super::kmsg::Right;
use super::name::{Name, SpaceId};
use super::notify;
use super::requested;
use super::reverse;
use super::right;
use super::state::Ipc;

/// Removes user references of a send right; with the last one the right goes. Saturated counts stay (A7.3).
pub(super) fn drop_send(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, count: u16) {
    let Some(entry) = ipc.space_mut(space).get_mut(name) else {
        return;
    };
    if !entry.drop_references(count) {
        return;
    }
    let Some(port) = entry.port() else {
        return;
    };
    if entry.rights.has(Rights::RECEIVE) {
        entry.rights = Rights::RECEIVE;
        right::release(ipc, Right::Send(port));
    } else {
        reverse::unlist(ipc, space, name, port);
        let request = free(ipc, space, name);
        right::release(ipc, Right::Send(port));
        notify::port_deleted(ipc, request, name);
    }
}

/// Frees a name. Returns the right of a notification request that was armed on it, which the caller tells of it with
/// [`port_deleted`](notify::port_deleted), after all else that the operation brings (C1.8).
#[must_use]
pub(super) fn free(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name) -> Right {
    let request = requested::cancel(ipc, space, name);
    ipc.space_mut(space).release(name);
    request
}

/// Removes user references of a dead name; with the last one the name goes.
pub(super) fn drop_dead(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, count: u16) {
    let space = ipc.space_mut(space);
    let last = |entry: &mut super::entry::Entry| entry.drop_references(count);
    if space.get_mut(name).is_some_and(last) {
        space.release(name);
    }
}
