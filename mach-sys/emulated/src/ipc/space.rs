//! Name spaces: a task's table of names.
//!
//! A name is `index << 8 | generation`, the low two bits always set (C0.2). A freed slot goes to the head of the free list, and
//! its next name has a higher generation (C0.7).

use super::arena::{Table, Zeroed};
use crate::error::ReserveError;
use super::mach::TaskId;
use mach_wire::types::{MACH_PORT_DEAD, mach_port_name_t};

/// The largest table that XNU makes (C0.7).
pub(crate) const LARGEST_TABLE: u32 = 305_834;

/// User references stop here and stay (A7.3).
pub(crate) const PEGGED: u16 = u16::MAX;

/// What a name denotes. A name that has a send and a receive right for one port has both (C0.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights(u8);

impl Rights {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const SEND: Self = Self(1);
    pub(crate) const RECEIVE: Self = Self(2);
    pub(crate) const SEND_ONCE: Self = Self(4);
    pub(crate) const PORT_SET: Self = Self(8);
    pub(crate) const DEAD_NAME: Self = Self(16);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// As `MACH_PORT_TYPE_*`.
    pub(crate) const fn mach_port_type(self) -> u32 {
        (self.0 as u32) << 16
    }
}

/// One slot of a name table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// What it denotes; 0 for a dead name.
    pub(crate) object: u32,
    pub(crate) rights: Rights,
    /// The low byte of the name.
    generation: u8,
    /// User references of the send right or dead name.
    pub(crate) references: u16,
    /// Whether the last reference is the kernel's to release (D5.1).
    pub(crate) pinned: bool,
    /// How far the generation moves with each use, in steps of 4; drawn anew at each wrap.
    step: u8,
    /// Next name of the same object, in a list that starts at the object; for a free slot, the next free one.
    next: NameRef,
}

// SAFETY: integers, a bool (0 is false) and structs of them.
#[allow(unsafe_code)]
unsafe impl Zeroed for Entry {}

/// A place in some space's table; index 0 means none, since no space uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameRef {
    pub(super) task: TaskId,
    pub(super) index: u32,
}

/// A task's names.
#[derive(Debug)]
pub(crate) struct Space {
    entries: Table<Entry>,
    used: u32,
    free: u32,
    names: u32,
    random: u32,
}

impl Default for Space {
    fn default() -> Self {
        Self {
            entries: Table::empty(),
            used: 0,
            free: 0,
            names: 0,
            random: 0x9e37_79b9,
        }
    }
}

impl Space {
    pub(crate) fn new(largest: u32) -> Result<Self, ReserveError> {
        Ok(Self {
            entries: Table::new(largest.min(LARGEST_TABLE) as usize)?,
            ..Self::default()
        })
    }

    /// Names in use.
    pub(crate) fn names(&self) -> u32 {
        self.names
    }

    /// The entry of a name; `None` if there is none, or its slot has another generation now (C0.4).
    pub(crate) fn get(&self, name: mach_port_name_t) -> Option<&Entry> {
        let entry = self.entries.as_slice().get((name >> 8) as usize)?;
        (entry.rights != Rights::NONE && entry.generation == name as u8).then_some(entry)
    }

    pub(crate) fn get_mut(&mut self, name: mach_port_name_t) -> Option<&mut Entry> {
        let entry = self.entries.as_mut_slice().get_mut((name >> 8) as usize)?;
        (entry.rights != Rights::NONE && entry.generation == name as u8).then_some(entry)
    }

    pub(super) fn at(&self, index: u32) -> &Entry {
        &self.entries.as_slice()[index as usize]
    }

    pub(super) fn at_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.entries.as_mut_slice()[index as usize]
    }

    pub(super) fn name_at(&self, index: u32) -> mach_port_name_t {
        index << 8 | u32::from(self.at(index).generation)
    }

    pub(super) fn next_of(&self, index: u32) -> NameRef {
        self.at(index).next
    }

    pub(super) fn set_next_of(&mut self, index: u32, next: NameRef) {
        self.at_mut(index).next = next;
    }

    /// A new name for the slot freed last, or for the next one never used. `None` when the table is full.
    pub(crate) fn claim(&mut self, object: u32, rights: Rights) -> Option<mach_port_name_t> {
        let index = if self.free != 0 {
            let index = self.free;
            self.free = self.at(index).next.index;
            index
        } else {
            let index = self.used + 1;
            if index as usize >= self.entries.as_slice().len() {
                return None;
            }
            self.used = index;
            index
        };
        self.fill(index, object, rights);
        Some(self.name_at(index))
    }

    fn fill(&mut self, index: u32, object: u32, rights: Rights) {
        let draw = self.draw();
        let entry = self.at_mut(index);
        let (generation, wrapped) = match entry.generation {
            0 => (3, true),
            used => used.overflowing_add(entry.step),
        };
        *entry = Entry {
            object,
            rights,
            generation,
            references: 0,
            pinned: false,
            step: if wrapped { draw } else { entry.step },
            next: NameRef::default(),
        };
        self.names += 1;
    }

    /// 4, 8, 12 or 16 (C0.7).
    fn draw(&mut self) -> u8 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        (self.random as u8 & 3) * 4 + 4
    }

    /// Gives the slot of a name back.
    pub(crate) fn release(&mut self, name: mach_port_name_t) {
        let (index, free) = (name >> 8, self.free);
        let entry = self.at_mut(index);
        entry.rights = Rights::NONE;
        entry.object = 0;
        entry.next = NameRef {
            task: TaskId::default(),
            index: free,
        };
        self.free = index;
        self.names -= 1;
    }

    /// Claims a name of the caller's choice, the checks of C2.2 done.
    pub(crate) fn claim_name(&mut self, name: mach_port_name_t, object: u32, rights: Rights) {
        let index = name >> 8;
        // Slots between the last used one and this become free ones, so that the list of free slots stays complete.
        while self.used < index {
            self.used += 1;
            let (slot, free) = (self.used, self.free);
            self.at_mut(slot).next.index = free;
            self.free = slot;
        }
        self.unlink_free(index);
        self.fill(index, object, rights);
        self.at_mut(index).generation = name as u8;
    }

    fn unlink_free(&mut self, index: u32) {
        let after = self.at(index).next.index;
        if self.free == index {
            self.free = after;
            return;
        }
        let mut at = self.free;
        while at != 0 {
            let next = self.at(at).next.index;
            if next == index {
                self.at_mut(at).next.index = after;
                return;
            }
            at = next;
        }
    }

    /// Whether a caller may choose this name (C2.2).
    pub(crate) fn admits(&self, name: mach_port_name_t) -> Choice {
        let index = name >> 8;
        if name == 0 || name == MACH_PORT_DEAD {
            Choice::BadValue
        } else if index as usize >= self.entries.as_slice().len() {
            Choice::NoSpace
        } else if name & 3 != 3 {
            Choice::BadValue
        } else if index == 0 {
            Choice::OtherGeneration
        } else {
            let entry = self.at(index);
            match entry.rights {
                Rights::NONE => Choice::Free,
                _ if entry.generation == name as u8 => Choice::InUse,
                _ => Choice::OtherGeneration,
            }
        }
    }

    /// All names in ascending order of their slots (C5.2).
    pub(crate) fn iter(&self) -> impl Iterator<Item = (mach_port_name_t, &Entry)> {
        (1..=self.used)
            .map(|index| (self.name_at(index), self.at(index)))
            .filter(|(_, entry)| entry.rights != Rights::NONE)
    }
}

/// What a space says to a name that its task chose (C2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Nobody uses it.
    Free,
    /// This very name is in use.
    InUse,
    /// The slot is in use under another name, or is no slot at all.
    OtherGeneration,
    /// No name has that form.
    BadValue,
    /// Beyond the end of the largest table.
    NoSpace,
}
