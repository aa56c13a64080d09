//! Listing the names of a space (C5.2), or those of a set's members (C9.6).

use super::entry::{Entry, Rights};
use super::lookup;
use super::member;
use super::name::{Name, SpaceId};
use super::requested;
use super::state::Ipc;
use mach_wire::kern_return::KernReturn;
use mach_wire::port::PortType;

/// Slots of a table that one hold of the kernel's lock looks at.
pub(crate) const CHUNK: u32 = 256;

/// Goes through a space's table in chunks, so that the lock is held for a bounded time. Names made or released between two chunks
/// are listed or not; the others are listed exactly once, ascending.
#[derive(Debug)]
pub(crate) struct Listing {
    next: u32,
}

impl Listing {
    pub(crate) const fn new() -> Self {
        Self { next: 1 }
    }

    /// Passes each name of the next chunk to `found`, with its type, and returns whether there are more chunks.
    pub(crate) fn step(
        &mut self,
        ipc: &Ipc<'_, '_>,
        space: SpaceId,
        mut found: impl FnMut(Name, PortType),
    ) -> bool {
        self.chunk(ipc, space, |name, entry| {
            // A name whose port died shows as a dead name, and is not converted (C1.2).
            let rights = lookup::pretended_rights(ipc, entry);
            let request = match rights.has(Rights::DEAD_NAME) {
                true => PortType::empty(),
                false => requested::type_bits(ipc, entry),
            };
            found(name, rights.port_type() | request);
        })
    }

    /// Passes each name of the next chunk to `found` whose receive right is a member of the set under the name `set`, and returns whether
    /// there are more chunks.
    pub(crate) fn step_members(
        &mut self,
        ipc: &Ipc<'_, '_>,
        space: SpaceId,
        set: Name,
        mut found: impl FnMut(Name),
    ) -> Result<bool, KernReturn> {
        let set = lookup::port_set(ipc, space, set)?;
        Ok(self.chunk(ipc, space, |name, entry| {
            let receives = entry.rights.has(Rights::RECEIVE);
            let port = entry.port().filter(|_| receives);
            if port.is_some_and(|port| member::is_in(ipc, port, set)) {
                found(name);
            }
        }))
    }

    fn chunk(
        &mut self,
        ipc: &Ipc<'_, '_>,
        space: SpaceId,
        mut look: impl FnMut(Name, &Entry),
    ) -> bool {
        let names = ipc.space(space);
        for (name, entry) in names.range(self.next, CHUNK) {
            look(name, entry);
        }
        self.next += CHUNK;
        self.next <= names.highest()
    }
}
