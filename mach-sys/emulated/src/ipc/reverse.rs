//! Lookup of a port's name in a space.
//!
//! A port lists the names that hold a send or receive right for it. A space has at most one such name (C0.1), so that no list is
//! longer than the kernel has spaces.

use super::id::PortId;
use super::name::{Name, NameRef, SpaceId};
use super::state::Ipc;

/// Returns the name under which a space holds the send or receive right of a port.
pub(crate) fn name_of(ipc: &Ipc<'_, '_>, space: SpaceId, port: PortId) -> Option<Name> {
    let mut at = ipc.port(port).names;
    while at.index != 0 {
        if at.space == space {
            return Some(ipc.space(space).name_at(at.index));
        }
        at = ipc.space(at.space).next_of(at.index);
    }
    None
}

/// Enters a name into its port's list.
pub(super) fn list(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, port: PortId) {
    let first = ipc.port(port).names;
    let index = name.index();
    ipc.space_mut(space).set_next_of(index, first);
    ipc.port_mut(port).names = NameRef { space, index };
}

/// Takes a name out of its port's list.
pub(super) fn unlist(ipc: &mut Ipc<'_, '_>, space: SpaceId, name: Name, port: PortId) {
    let index = name.index();
    let after = ipc.space(space).next_of(index);
    let wanted = NameRef { space, index };
    let mut at = ipc.port(port).names;
    if at == wanted {
        ipc.port_mut(port).names = after;
        return;
    }
    while at.index != 0 {
        let next = ipc.space(at.space).next_of(at.index);
        if next == wanted {
            ipc.space_mut(at.space).set_next_of(at.index, after);
            return;
        }
        at = next;
    }
}
