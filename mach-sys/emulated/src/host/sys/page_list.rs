//! Lists in pages of their own, for calls that stop threads: a stopped thread may hold the allocator's lock.
#![allow(unsafe_code)]

use super::mappings;
use super::pages::PagesError;
use core::marker::PhantomData;
use core::mem::needs_drop;
use core::ops::Deref;

/// A list with room for a fixed number of elements, that are not dropped.
#[derive(Debug)]
pub(crate) struct PageList<T> {
    /// Address of the first element.
    base: usize,
    bytes: usize,
    room: usize,
    length: usize,
    elements: PhantomData<T>,
}

impl<T> PageList<T> {
    /// Maps room for so many elements.
    pub(crate) fn with_room(room: usize) -> Result<Self, PagesError> {
        const { assert!(!needs_drop::<T>() && size_of::<T>() > 0 && align_of::<T>() <= 4096) };
        let bytes = room.max(1).checked_mul(size_of::<T>());
        let bytes = bytes.ok_or(PagesError::Shortage)?;
        let bytes = bytes.checked_next_multiple_of(super::call::page_size());
        let bytes = bytes.ok_or(PagesError::Shortage)?;
        let base = mappings::anywhere(bytes).map_err(|_| PagesError::Shortage)?;
        Ok(Self {
            base,
            bytes,
            room,
            length: 0,
            elements: PhantomData,
        })
    }

    /// Adds an element. Returns whether there was room.
    pub(crate) fn push(&mut self, element: T) -> bool {
        if self.length == self.room {
            return false;
        }
        let end = (self.base as *mut T).wrapping_add(self.length);
        // SAFETY: within the pages, which this value owns and which are aligned: the length is below the room.
        unsafe { end.write(element) };
        self.length += 1;
        true
    }
}

impl<T> Deref for PageList<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: so many elements were written, in pages that this value owns and that are borrowed with it.
        unsafe { core::slice::from_raw_parts(self.base as *const T, self.length) }
    }
}

impl<T> Drop for PageList<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by this value, and used up with it.
        unsafe { mappings::release_pages(self.base, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_as_many_elements_as_were_asked_for() {
        for room in [0, 1, 5, 1000] {
            let mut list = PageList::with_room(room).expect("pages");
            for element in 0..room as u64 {
                assert!(list.push(element));
            }
            assert!(!list.push(9));
            assert!(list.iter().copied().eq(0..room as u64));
        }
        assert!(PageList::<u64>::with_room(usize::MAX).is_err());
        assert!(PageList::<u64>::with_room(usize::MAX / 8).is_err());
    }
}
