//! Tables and arenas: memory of the emulated kernel that is reserved once and never given back while the kernel lives.
//!
//! Nothing between a fault and its reply may allocate, so every kernel object lives in an arena: address space is reserved for
//! the largest number, the system commits a page when it is first touched, and a freed slot is used again before a new one.
#![allow(unsafe_code)]

use super::id::Id;
use crate::error::ReserveError;
use crate::host::reservation::Reservation;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};

/// Marks types for which all bytes zero is a valid value.
///
/// # Safety
/// All bytes zero is a valid value of the implementing type.
pub(crate) unsafe trait Zeroed: Sized {}

// SAFETY: zero is a valid `u32`.
unsafe impl Zeroed for u32 {}

/// A fixed-size table in reserved memory, indexed from 0, all entries there from the start as zeroes.
#[derive(Debug)]
pub(crate) struct Table<T> {
    memory: Reservation,
    length: usize,
    entries: PhantomData<T>,
}

impl<T: Zeroed> Table<T> {
    pub(crate) fn new(purpose: &'static str, length: usize) -> Result<Self, ReserveError> {
        Ok(Self {
            memory: Reservation::new(purpose, length.max(1) * size_of::<T>())?,
            length,
            entries: PhantomData,
        })
    }

    /// Makes a table of length 0, which needs no memory.
    pub(crate) const fn empty() -> Self {
        Self {
            memory: Reservation::none(),
            length: 0,
            entries: PhantomData,
        }
    }

    #[inline]
    fn base(&self) -> *mut T {
        self.memory.base().cast().as_ptr()
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: the mapping holds `length` entries (page alignment suffices for every `T` here, and an address without a mapping for
        // none of them), zeroes are valid by the trait's contract, and `&mut self` access excludes this borrow.
        unsafe { core::slice::from_raw_parts(self.base(), self.length) }
    }

    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above; the exclusive borrow of `self` makes it the only one.
        unsafe { core::slice::from_raw_parts_mut(self.base(), self.length) }
    }
}

/// Slots for objects of one type, with a list of the free ones.
///
/// Indexing with an identifier that was never handed out panics; with one whose object was removed it finds that object's last
/// value, or its successor.
#[derive(Debug)]
pub(crate) struct Arena<I, T> {
    slots: Table<Slot<T>>,
    /// Slots handed out at least once. Each of them holds a value.
    used: u32,
    free: u32,
    #[cfg(test)]
    live: u32,
    /// Number of times that a value was read.
    #[cfg(test)]
    looks: core::cell::Cell<u64>,
    ids: PhantomData<I>,
}

#[derive(Debug)]
struct Slot<T> {
    next_free: u32,
    value: MaybeUninit<T>,
}

// SAFETY: zero is a valid `u32`, and all bytes are valid in a `MaybeUninit`.
unsafe impl<T> Zeroed for Slot<T> {}

impl<I: Id, T> Arena<I, T> {
    pub(crate) fn new(purpose: &'static str, capacity: u32) -> Result<Self, ReserveError> {
        // Values are overwritten, never dropped.
        const { assert!(!core::mem::needs_drop::<T>()) };
        Ok(Self {
            slots: Table::new(purpose, capacity as usize)?,
            used: 0,
            free: 0,
            #[cfg(test)]
            live: 0,
            #[cfg(test)]
            looks: core::cell::Cell::new(0),
            ids: PhantomData,
        })
    }

    /// Puts a value into a free slot. `None` when all are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<I> {
        let slots = self.slots.as_mut_slice();
        let slot = if let Some(slot) = NonZeroU32::new(self.free) {
            self.free = slots[slot.get() as usize - 1].next_free;
            slot
        } else if (self.used as usize) < slots.len() {
            self.used += 1;
            NonZeroU32::new(self.used)?
        } else {
            return None;
        };
        slots[slot.get() as usize - 1].value = MaybeUninit::new(value);
        #[cfg(test)]
        {
            self.live += 1;
        }
        Some(I::from_slot(slot))
    }

    /// Frees the slot of an object that is in the arena.
    pub(crate) fn remove(&mut self, id: I) {
        let slot = id.slot().get();
        self.slots.as_mut_slice()[slot as usize - 1].next_free = self.free;
        self.free = slot;
        #[cfg(test)]
        {
            self.live -= 1;
        }
    }

    /// Returns the slots in use.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> impl Iterator<Item = I> {
        let mut free = std::collections::HashSet::new();
        let mut at = self.free;
        while at != 0 {
            free.insert(at);
            at = self.slots.as_slice()[at as usize - 1].next_free;
        }
        (1..=self.used)
            .filter(move |slot| !free.contains(slot))
            .filter_map(I::from_word)
    }

    /// Returns how many slots are in use.
    #[cfg(test)]
    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    /// Returns the number of reads of values since the arena was made: the cost of operations.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// Returns the place of an identifier's slot, which holds a value.
    #[inline]
    fn place(&self, id: I) -> usize {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        let slot = id.slot().get();
        assert!(slot <= self.used, "an identifier of another arena");
        slot as usize - 1
    }
}

impl<I: Id, T> Index<I> for Arena<I, T> {
    type Output = T;

    #[inline]
    fn index(&self, id: I) -> &T {
        let slot = &self.slots.as_slice()[self.place(id)];
        // SAFETY: `place` answers for slots up to `used` only; `insert` wrote a value into each of those when it raised `used`,
        // and nothing takes a value out.
        unsafe { slot.value.assume_init_ref() }
    }
}

impl<I: Id, T> IndexMut<I> for Arena<I, T> {
    #[inline]
    fn index_mut(&mut self, id: I) -> &mut T {
        let place = self.place(id);
        // SAFETY: as in `index`.
        unsafe { self.slots.as_mut_slice()[place].value.assume_init_mut() }
    }
}
