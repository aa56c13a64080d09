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
    /// The memory there is the system's own.
    System,
}

/// Maps zero-filled pages for reading and writing: at `address`, whose page is the first, or where the system likes. Returns their address.
pub(crate) fn map(address: Option<usize>, bytes: usize) -> Result<usize, PagesError> {
    let page = super::call::page_size();
    let start = address.map(|address| address & !(page - 1));
    let size = pages_of(start.unwrap_or(0), bytes).filter(|size| *size > 0);
    let size = size.ok_or(PagesError::Range)?;
    let fixed = match start {
        Some(_) => libc::MAP_FIXED_NOREPLACE,
        None => 0,
    };
    let start = start.unwrap_or(0);
    // SAFETY: a new mapping that replaces no other.
    let base = unsafe {
        libc::mmap(
            start as *mut libc::c_void,
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | fixed,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EEXIST) => PagesError::Occupied,
            // Below the lowest address that may be mapped, or above the highest.
            Some(libc::EPERM | libc::ENOMEM) if fixed != 0 => PagesError::Unmapped,
            _ => PagesError::Occupied,
        });
    }
    if fixed != 0 && base as usize != start {
        // A kernel before 4.17, which takes the address as a hint.
        // SAFETY: mapped above, and known to nothing else.
        unsafe { libc::munmap(base, size) };
        return Err(PagesError::Occupied);
    }
    Ok(base as usize)
}

/// The protection of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

/// Changes the protection of the pages that a range lies in.
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
    let bit = |has, bit| if has { bit } else { 0 };
    let protection = bit(access.read, libc::PROT_READ)
        | bit(access.write, libc::PROT_WRITE)
        | bit(access.execute, libc::PROT_EXEC);
    // SAFETY: the caller vouches that the pages are its own to protect.
    let outcome = unsafe { libc::mprotect(start as *mut libc::c_void, size, protection) };
    if outcome == 0 {
        return Ok(());
    }
    Err(match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EACCES) => PagesError::Refused,
        _ => PagesError::Unmapped,
    })
}
