//! Names: what a task calls its rights.

use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};

/// A name in some task's space: `index << 8 | generation`, the low two bits set (C0.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Name(mach_port_name_t);

impl Name {
    /// No right.
    pub(crate) const NULL: Self = Self(MACH_PORT_NULL);
    /// A right whose port died.
    pub(crate) const DEAD: Self = Self(MACH_PORT_DEAD);

    pub(crate) const fn new(raw: mach_port_name_t) -> Self {
        Self(raw)
    }

    /// Returns the name of a slot in its generation.
    pub(crate) const fn of(index: u32, generation: u8) -> Self {
        Self(index << 8 | generation as u32)
    }

    pub(crate) const fn raw(self) -> mach_port_name_t {
        self.0
    }

    /// Returns whether it is neither null nor dead (`MACH_PORT_VALID`).
    pub(crate) const fn is_valid(self) -> bool {
        self.0 != MACH_PORT_NULL && self.0 != MACH_PORT_DEAD
    }

    /// Returns the slot in the space's table.
    pub(crate) const fn index(self) -> u32 {
        self.0 >> 8
    }

    /// Returns the low byte, which changes with each use of the slot (C0.7).
    pub(crate) const fn generation(self) -> u8 {
        self.0 as u8
    }
}

/// Identifies a name space of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpaceId(pub(super) u8);

/// A slot in some space's table. Index 0 means none, since no space uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameRef {
    pub(super) space: SpaceId,
    pub(super) index: u32,
}
