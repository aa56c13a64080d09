//! Name spaces: a task's table of names.
//!
//! A freed slot goes to the head of the list of free ones, and its next name has another generation (C0.7). Slots above
//! `fresh` were never used, but for those whose names a task chose.

use super::arena::Table;
use super::entry::{Denoted, Entry, Rights};
use super::name::{Name, NameRef, SpaceId};
use crate::error::ReserveError;

/// A task's names.
#[derive(Debug)]
pub(crate) struct Space {
    entries: Table<Entry>,
    /// The first slot that the table was not asked for in order.
    fresh: u32,
    /// The highest slot that was ever used.
    highest: u32,
    /// First of the free slots that were used before.
    free: u32,
    names: u32,
    random: u32,
    /// True if generations always move by 4 (C0.7).
    even_steps: bool,
    /// Number of times that an entry was read by its slot.
    #[cfg(test)]
    looks: core::cell::Cell<u64>,
}

impl Default for Space {
    fn default() -> Self {
        Self {
            entries: Table::empty(),
            fresh: 1,
            highest: 0,
            free: 0,
            names: 0,
            random: 0x9e37_79b9,
            even_steps: false,
            #[cfg(test)]
            looks: core::cell::Cell::new(0),
        }
    }
}

impl Space {
    /// Creates a table for names in slots 1 to `slots - 1`.
    pub(crate) fn new(slots: u32, even_steps: bool) -> Result<Self, ReserveError> {
        Ok(Self {
            entries: Table::new("the table of names", slots as usize)?,
            even_steps,
            ..Self::default()
        })
    }

    /// Returns how many names are in use.
    pub(crate) fn names(&self) -> u32 {
        self.names
    }

    /// Returns the entry of a name; `None` if there is none, or its slot has another generation now (C0.4).
    #[inline]
    pub(crate) fn get(&self, name: Name) -> Option<&Entry> {
        let entry = self.entries.as_slice().get(name.index() as usize)?;
        (!entry.rights.is_none() && entry.generation == name.generation()).then_some(entry)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, name: Name) -> Option<&mut Entry> {
        let entry = self.entries.as_mut_slice().get_mut(name.index() as usize)?;
        (!entry.rights.is_none() && entry.generation == name.generation()).then_some(entry)
    }

    /// Returns the number of times that an entry was read by its slot: the cost of operations.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> u64 {
        self.looks.get()
    }

    #[inline]
    fn at(&self, index: u32) -> &Entry {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        &self.entries.as_slice()[index as usize]
    }

    #[inline]
    fn at_mut(&mut self, index: u32) -> &mut Entry {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        &mut self.entries.as_mut_slice()[index as usize]
    }

    pub(super) fn name_at(&self, index: u32) -> Name {
        Name::of(index, self.at(index).generation)
    }

    pub(super) fn next_of(&self, index: u32) -> NameRef {
        self.at(index).next
    }

    pub(super) fn set_next_of(&mut self, index: u32, next: NameRef) {
        self.at_mut(index).next = next;
    }

    /// Makes a new name, of the slot freed last or else of one never used. `None` when the table is full.
    pub(crate) fn claim(&mut self, object: Denoted, rights: Rights) -> Option<Name> {
        let index = if self.free != 0 {
            let index = self.free;
            self.leave_free_list(index);
            index
        } else {
            self.next_fresh()?
        };
        self.fill(index, object, rights);
        Some(self.name_at(index))
    }

    /// Returns whether [`claim`](Self::claim) would find no slot.
    pub(super) fn is_full(&mut self) -> bool {
        if self.free != 0 {
            return false;
        }
        // Slots of names that a task chose are passed over for good, as by `next_fresh`.
        let chosen = |entry: &Entry| entry.generation != 0;
        while self
            .entries
            .as_slice()
            .get(self.fresh as usize)
            .is_some_and(chosen)
        {
            self.fresh += 1;
        }
        self.fresh as usize >= self.entries.as_slice().len()
    }

    /// Takes the next slot that was never used. Slots of names that a task chose are passed over, each once in the table's
    /// life.
    fn next_fresh(&mut self) -> Option<u32> {
        loop {
            let index = self.fresh;
            let entry = self.entries.as_slice().get(index as usize)?;
            let unused = entry.generation == 0;
            self.fresh += 1;
            if unused {
                return Some(index);
            }
        }
    }

    fn fill(&mut self, index: u32, object: Denoted, rights: Rights) {
        let draw = self.draw();
        let entry = self.at_mut(index);
        let (generation, wrapped) = match entry.generation {
            0 => (3, true),
            used => used.overflowing_add(entry.step),
        };
        entry.rights = rights;
        entry.generation = generation;
        entry.references = 0;
        entry.pinned = false;
        entry.was_receive = false;
        entry.set_request(None);
        if wrapped {
            entry.step = draw;
        }
        entry.next = NameRef::default();
        entry.denote(object);
        self.highest = self.highest.max(index);
        self.names += 1;
    }

    /// Draws a step of the generation: 4, 8, 12 or 16, or always 4 (C0.7).
    fn draw(&mut self) -> u8 {
        if self.even_steps {
            return 4;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        (self.random as u8 & 3) * 4 + 4
    }

    /// Gives the slot of a name back.
    pub(crate) fn release(&mut self, name: Name) {
        let (index, after) = (name.index(), self.free);
        let entry = self.at_mut(index);
        entry.rights = Rights::NONE;
        entry.next = NameRef {
            space: SpaceId::default(),
            index: after,
        };
        entry.set_previous_free(0);
        if after != 0 {
            self.at_mut(after).set_previous_free(index);
        }
        self.free = index;
        self.names -= 1;
    }

    fn leave_free_list(&mut self, index: u32) {
        let entry = self.at(index);
        let (before, after) = (entry.previous_free(), entry.next.index);
        if before == 0 {
            self.free = after;
        } else {
            self.at_mut(before).next.index = after;
        }
        if after != 0 {
            self.at_mut(after).set_previous_free(before);
        }
    }

    /// Takes a name of the caller's choice, which [`admits`](Self::admits) found free.
    pub(crate) fn claim_name(&mut self, name: Name, object: Denoted, rights: Rights) {
        let index = name.index();
        if self.at(index).generation != 0 {
            // A slot that was used and is not in use is on the list.
            self.leave_free_list(index);
        }
        self.fill(index, object, rights);
        self.at_mut(index).generation = name.generation();
    }

    /// Returns whether a caller may choose this name (C2.2).
    pub(crate) fn admits(&self, name: Name) -> Choice {
        let index = name.index();
        if !name.is_valid() {
            Choice::BadValue
        } else if index as usize >= self.entries.as_slice().len() {
            Choice::NoSpace
        } else if name.raw() & 3 != 3 {
            Choice::BadValue
        } else if index == 0 {
            Choice::OtherGeneration
        } else {
            let entry = self.at(index);
            if entry.rights.is_none() {
                Choice::Free
            } else if entry.generation == name.generation() {
                Choice::InUse
            } else {
                Choice::OtherGeneration
            }
        }
    }

    /// Returns the names in slots from `start` on, ascending (C5.2), looking at no more than `slots` slots.
    pub(crate) fn range(&self, start: u32, slots: u32) -> impl Iterator<Item = (Name, &Entry)> {
        let end = self.highest.min(start.saturating_add(slots) - 1);
        (start..=end)
            .map(|index| (self.name_at(index), self.at(index)))
            .filter(|(_, entry)| !entry.rights.is_none())
    }

    /// Returns the highest slot that was ever used.
    pub(crate) fn highest(&self) -> u32 {
        self.highest
    }
}

/// Result of the check of a name that its task chose (C2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The name is not in use.
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
