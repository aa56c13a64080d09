//! Removing user references, and the rights that end with the last one.

use super::entry::Rights;
use super::kmsg::Right;
use super::name::{Name, SpaceId};
use super::reverse;
use super::right;
use super::state::Ipc;

/// Removes user references of a send right; with the last one the right goes. Pegged counts stay (A7.3).
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
    } else {
        reverse::unlist(ipc, space, name, port);
        ipc.space_mut(space).release(name);
    }
    right::release(ipc, Right::Send(port));
}

/// Removes user references of a dead name; with the last one the name goes.
pub(super) fn drop_dead(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, count: u16) {
    let space = ipc.space_mut(space);
    let last = |entry: &mut super::entry::Entry| entry.drop_references(count);
    if space.get_mut(name).is_some_and(last) {
        space.release(name);
    }
}
