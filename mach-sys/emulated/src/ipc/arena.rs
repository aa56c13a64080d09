//! Memory of the emulated kernel: reserved once, handed out in slots of one type, never given back while the kernel lives.
//!
//! Nothing between a fault and its answer may allocate, and a thread may wait on a word in a slot after the object in it has
//! died; so every kernel object lives in an arena: address space is reserved for the largest number, the host commits a page
//! when it is first touched, and a freed slot goes to the head of a list of free ones.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use core::ptr::NonNull;
use crate::error::ReserveError;
use crate::host::reservation::Reservation;

/// Types for which all bytes zero is a valid value.
///
/// # Safety
/// An implementor vouches for exactly that.
pub(crate) unsafe trait Zeroed: Sized {}

/// A fixed-size table in reserved memory, indexed from 0, all entries there from the start as zeroes.
#[derive(Debug)]
pub(crate) struct Table<T> {
    memory: Reservation,
    length: usize,
    entries: PhantomData<T>,
}

impl<T: Zeroed> Table<T> {
    pub(crate) fn new(length: usize) -> Result<Self, ReserveError> {
        Ok(Self {
            memory: Reservation::new(length.max(1) * size_of::<T>())?,
            length,
            entries: PhantomData,
        })
    }

    /// A table of length 0, which needs no memory.
    pub(crate) const fn empty() -> Self {
        Self {
            memory: Reservation::none(),
            length: 0,
            entries: PhantomData,
        }
    }

    fn base(&self) -> *mut T {
        if self.length == 0 {
            NonNull::dangling().as_ptr()
        } else {
            self.memory.base().cast().as_ptr()
        }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: the mapping holds `length` entries (page alignment suffices for every `T` here), zeroes are valid by the
        // trait's contract, and `&mut self` access excludes this borrow.
        unsafe { core::slice::from_raw_parts(self.base(), self.length) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above; the exclusive borrow of `self` makes it the only one.
        unsafe { core::slice::from_raw_parts_mut(self.base(), self.length) }
    }
}

/// Slots of one type with a list of free ones. Identifiers start at 1, so that 0 can mean none.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Table<Slot<T>>,
    used: u32,
    free: u32,
    #[cfg(test)]
    live: u32,
}

#[derive(Debug)]
struct Slot<T> {
    next_free: u32,
    value: T,
}

// SAFETY: zero is a valid `u32` and, by the bound, a valid `T`.
unsafe impl<T: Zeroed> Zeroed for Slot<T> {}

impl<T: Zeroed> Arena<T> {
    pub(crate) fn new(capacity: u32) -> Result<Self, ReserveError> {
        Ok(Self {
            slots: Table::new(capacity as usize)?,
            used: 0,
            free: 0,
            #[cfg(test)]
            live: 0,
        })
    }

    /// Puts a value into a free slot. `None` when all are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        let id = if self.free != 0 {
            let id = self.free;
            self.free = self.slots.as_slice()[id as usize - 1].next_free;
            id
        } else if (self.used as usize) < self.slots.as_slice().len() {
            self.used += 1;
            self.used
        } else {
            return None;
        };
        #[cfg(test)]
        {
            self.live += 1;
        }
        self[id] = value;
        Some(id)
    }

    /// Frees a slot. Its memory stays: only the list of free slots knows about it.
    pub(crate) fn remove(&mut self, id: u32) {
        self.slots.as_mut_slice()[id as usize - 1].next_free = self.free;
        self.free = id;
        #[cfg(test)]
        {
            self.live -= 1;
        }
    }

    /// Slots in use.
    #[cfg(test)]
    pub(crate) fn live(&self) -> u32 {
        self.live
    }
}

impl<T: Zeroed> Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        &self.slots.as_slice()[id as usize - 1].value
    }
}

impl<T: Zeroed> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.slots.as_mut_slice()[id as usize - 1].value
    }
}
