//! Pages to fault on.
#![allow(unsafe_code)]

use mach_sys::kernel::system;

/// One page of memory of its own.
#[derive(Debug)]
pub struct Page {
    address: usize,
    size: usize,
}

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: each access faults.
    None,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    const fn bits(self) -> i32 {
        match self {
            Self::None => libc::PROT_NONE,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

impl Page {
    /// Maps a page.
    ///
    /// # Errors
    /// The host's error.
    pub fn new(access: Access) -> std::io::Result<Self> {
        let size = system::page_size();
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
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self {
            address: address as usize,
            size,
        })
    }

    /// Its first byte's address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address as u64
    }

    /// Changes what may be done with it.
    ///
    /// # Errors
    /// The host's error.
    pub fn protect(&self, access: Access) -> std::io::Result<()> {
        protect(self.address(), access)
    }

    /// Unmaps it and returns the address, where nothing is for now.
    #[must_use]
    pub fn unmap(self) -> u64 {
        self.address()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's.
        unsafe { libc::munmap(self.address as *mut libc::c_void, self.size) };
    }
}

/// Changes what may be done with the page at an address: one system call, fit for a signal handler.
///
/// # Errors
/// The host's error.
pub fn protect(address: u64, access: Access) -> std::io::Result<()> {
    let size = system::page_size();
    let page = address as usize & !(size - 1);
    // SAFETY: the programs here only name pages of their own.
    match unsafe { libc::mprotect(page as *mut libc::c_void, size, access.bits()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
