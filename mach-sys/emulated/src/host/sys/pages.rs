//! Pages that a call gives out: the arrays of `mach_port_names` and its like, released with `mach_vm_deallocate`.
#![allow(unsafe_code)]

use super::reservation::Reservation;
use crate::error::ReserveError;
use core::mem::ManuallyDrop;

/// An array of 32-bit words in pages of its own, zero-filled.
#[derive(Debug)]
pub(crate) struct Words {
    memory: Reservation,
    length: usize,
}

impl Words {
    pub(crate) fn new(length: usize) -> Result<Self, ReserveError> {
        let memory = Reservation::new("an array", length.max(1) * size_of::<u32>())?;
        Ok(Self { memory, length })
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u32] {
        // SAFETY: the mapping holds `length` zeroed words, is page-aligned, and is borrowed exclusively through `self`.
        unsafe { core::slice::from_raw_parts_mut(self.memory.base().cast().as_ptr(), self.length) }
    }

    /// Gives the array away, cut to the pages that `length` words need: they are released by [`release`] with that length.
    pub(crate) fn give_out(self, length: usize) -> *mut u32 {
        let this = ManuallyDrop::new(self);
        let base = this.memory.base().as_ptr();
        let kept = whole_pages(length.max(1) * size_of::<u32>());
        let all = whole_pages(this.length.max(1) * size_of::<u32>());
        if all > kept {
            // SAFETY: the tail of a mapping that this value owns, and that nothing else knows.
            unsafe { libc::munmap(base.add(kept).cast(), all - kept) };
        }
        if length == 0 {
            // C gives no array for no elements.
            // SAFETY: the rest of a mapping that this value owns.
            unsafe { libc::munmap(base.cast(), kept) };
            return core::ptr::null_mut();
        }
        base.cast()
    }
}

fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(super::call::page_size())
}

/// Returns the size of the pages that a range lies in; `None` if it runs past the end of the address space.
fn pages_of(address: usize, bytes: usize) -> Option<usize> {
    let size = bytes.checked_next_multiple_of(super::call::page_size())?;
    // Not left to the system: processors' emulators end the process for a range that wraps around.
    address.checked_add(size)?;
    Some(size)
}

/// The range is not one of pages.
#[derive(Debug)]
pub(crate) struct BadRange;

/// Unmaps the pages that an array of `size` bytes at `address` lies in. Size 0 releases nothing.
///
/// # Safety
/// They were given out by a kernel call, and nothing uses them any more.
pub(crate) unsafe fn release(address: usize, size: usize) -> Result<(), BadRange> {
    if size == 0 {
        return Ok(());
    }
    let size = pages_of(address, size).ok_or(BadRange)?;
    // SAFETY: the caller vouches that the pages are its own to release.
    let outcome = unsafe { libc::munmap(address as *mut libc::c_void, size) };
    if outcome == 0 { Ok(()) } else { Err(BadRange) }
}
