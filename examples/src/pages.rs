//! Pages to fault on.
#![allow(unsafe_code)]

use core::ops::Range;
use mach_sys::kernel::system;
use std::io;

/// Pages of memory of their own.
#[derive(Debug)]
pub struct Pages {
    address: usize,
    size: usize,
}

/// Accesses that a page permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: each access faults.
    None,
    /// Reading: each write faults.
    Read,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    const fn bits(self) -> i32 {
        match self {
            Self::None => libc::PROT_NONE,
            Self::Read => libc::PROT_READ,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

impl Pages {
    /// Maps so many pages.
    ///
    /// # Errors
    /// The host's error.
    pub fn new(count: usize, access: Access) -> io::Result<Self> {
        let size = count
            .checked_mul(system::page_size())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new private mapping at an address of the host's choice touches no existing memory.
        let address = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                size,
                access.bits(),
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            address: address as usize,
            size,
        })
    }

    /// The first byte's address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address as u64
    }

    /// The addresses of all bytes.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.address()..self.address() + self.size as u64
    }

    /// Changes what may be done with all of them.
    ///
    /// # Errors
    /// The host's error.
    pub fn protect(&self, access: Access) -> io::Result<()> {
        self.protect_part(self.range(), access)
    }

    /// Changes what may be done with some of them: one system call, fit for a signal handler.
    ///
    /// # Errors
    /// The host's error; [`InvalidInput`](io::ErrorKind::InvalidInput) if the range is not of these pages.
    pub fn protect_part(&self, part: Range<u64>, access: Access) -> io::Result<()> {
        if part.start < self.range().start || part.end > self.range().end {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the pages are this value's, which gives out no reference to what is in them.
        unsafe { protect(part, access) }
    }

    /// Unmaps them and returns the address, where nothing is for now.
    #[must_use]
    pub fn unmap(self) -> u64 {
        self.address()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's.
        unsafe { libc::munmap(self.address as *mut libc::c_void, self.size) };
    }
}

/// The page that an address is in.
#[must_use]
pub fn page_of(address: u64) -> Range<u64> {
    let size = system::page_size() as u64;
    let start = address & !(size - 1);
    start..start + size
}

/// Changes what may be done with the pages of a range: one system call, fit for a signal handler.
///
/// # Safety
/// The pages are the caller's, and no reference leads to what is in them.
///
/// # Errors
/// The host's error.
pub unsafe fn protect(range: Range<u64>, access: Access) -> io::Result<()> {
    let size = range.end.saturating_sub(range.start) as usize;
    // SAFETY: the caller's promise.
    match unsafe { libc::mprotect(range.start as *mut libc::c_void, size, access.bits()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
