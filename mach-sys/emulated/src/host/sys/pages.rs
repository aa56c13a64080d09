//! Pages that a call gives out: the arrays of `mach_port_names` and its like, released with `mach_vm_deallocate`.
#![allow(unsafe_code)]

use super::call::call;
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

/// Returns a number of bytes rounded up to whole pages.
pub(crate) fn whole_pages(bytes: usize) -> usize {
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

/// Returns the size of a page in bytes.
pub(crate) fn size() -> usize {
    super::call::page_size()
}

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

/// Unmaps the pages that a range of bytes touches. Size 0 releases nothing.
///
/// # Safety
/// The pages are the caller's to release, and nothing uses them any more.
pub(crate) unsafe fn release_around(address: usize, size: usize) -> Result<(), BadRange> {
    let start = address & !(super::call::page_size() - 1);
    let size = match size {
        0 => return Ok(()),
        size => size.checked_add(address - start).ok_or(BadRange)?,
    };
    // SAFETY: the same contract.
    unsafe { release(start, size) }
}

/// Pages could not be mapped or protected as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PagesError {
    /// The range wraps around, or is empty.
    Range,
    /// Other memory is there, or there is no room.
    Occupied,
    /// No memory may be there, or none is.
    Unmapped,
    /// The mapping there does not allow it.
    Refused,
    /// The system has too little of something else than room: files, or memory.
    Shortage,
    /// The system cannot do it, or the memory there is its own.
    System,
}

/// The protection of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

impl Access {
    /// Returns it as `PROT_*`.
    pub(super) fn bits(self) -> usize {
        let bit = |has, bit| if has { bit } else { 0 };
        let bits = bit(self.read, libc::PROT_READ)
            | bit(self.write, libc::PROT_WRITE)
            | bit(self.execute, libc::PROT_EXEC);
        bits as usize
    }
}

/// Changes the protection of the pages that a range lies in: of all, or where one is not mapped of none. Touches no `errno`.
///
/// # Safety
/// The memory is the caller's to protect.
pub(crate) unsafe fn protect(
    address: usize,
    bytes: usize,
    access: Access,
) -> Result<(), PagesError> {
    let start = address & !(super::call::page_size() - 1);
    let size = bytes.checked_add(address - start);
    let size = size.and_then(|size| pages_of(start, size));
    let size = size.ok_or(PagesError::Range)?;
    if has_hole(start, size) == Some(true) {
        // The system would protect what is before it.
        return Err(PagesError::Unmapped);
    }
    // SAFETY: the caller vouches that the pages are its own to protect.
    let outcome = unsafe { call(libc::SYS_mprotect, [start, size, access.bits(), 0, 0, 0]) };
    match outcome {
        0 => Ok(()),
        // Memory that is sealed, too.
        error
            if [libc::EACCES, libc::EPERM]
                .map(|refused| -(refused as isize))
                .contains(&error) =>
        {
            Err(PagesError::Refused)
        }
        // As many regions as the system lets a process have, if nothing was unmapped meanwhile.
        _ if has_hole(start, size) == Some(false) => Err(PagesError::Shortage),
        _ => Err(PagesError::Unmapped),
    }
}

/// Returns whether a page of a range is not mapped; `None` where the system refuses the question.
fn has_hole(start: usize, size: usize) -> Option<bool> {
    // A write-back that starts nothing and waits for nothing, but looks at the range.
    let question = [start, size, libc::MS_ASYNC as usize, 0, 0, 0];
    // SAFETY: it reads and writes no memory.
    match unsafe { call(libc::SYS_msync, question) } {
        0 => Some(false),
        error if error == -(libc::ENOMEM as isize) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_with_a_hole_keeps_its_protection() {
        let page = size();
        let words = 3 * page / size_of::<u32>();
        let base = Words::new(words).expect("pages").give_out(words) as usize;
        let access = |write| Access {
            read: true,
            write,
            execute: false,
        };
        // SAFETY: the pages are this test's. No other test depends on what the hole has.
        unsafe {
            release(base + page, page).expect("mapped above");
            if has_hole(base, 3 * page) == Some(true) {
                let refused = protect(base, 3 * page, access(false));
                assert_eq!(refused, Err(PagesError::Unmapped));
                (base as *mut u8).write_volatile(1);
            }
            assert_eq!(protect(base, page, access(false)), Ok(()));
            release(base, page).expect("mapped above");
            release(base + 2 * page, page).expect("mapped above");
        }
    }
}
