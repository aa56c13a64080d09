//! Address space that is reserved once, and committed by the system page by page as it is touched.
#![allow(unsafe_code)]

use crate::error::ReserveError;
use core::ptr::NonNull;

/// A zero-filled mapping, committed page by page as it is touched.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    bytes: usize,
}

/// Has the alignment of the smallest page.
#[repr(align(4096))]
struct Aligned;

// SAFETY: the mapping belongs to this value alone; what may be read and written through it is its users' business.
unsafe impl Send for Reservation {}
// SAFETY: as above: `&Reservation` only gives out the address.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves so many bytes, for a purpose that the error names.
    pub(crate) fn new(purpose: &'static str, bytes: usize) -> Result<Self, ReserveError> {
        let refused = || ReserveError {
            purpose,
            bytes,
            source: std::io::Error::last_os_error(),
        };
        // SAFETY: a new private mapping at an address of the system's choice touches no existing memory.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        let this = match NonNull::new(base.cast::<u8>()) {
            Some(base) if base.as_ptr().cast() != libc::MAP_FAILED => Self { base, bytes },
            _ => return Err(refused()),
        };
        // After `mlockall(MCL_FUTURE)` the system would take memory for all of it, if it was accessible before it was unlocked.
        // SAFETY: the mapping is new, and this value's own.
        let error = unsafe {
            libc::munlock(base, bytes);
            libc::mprotect(base, bytes, libc::PROT_READ | libc::PROT_WRITE)
        };
        match error {
            0 => Ok(this),
            _ => Err(refused()),
        }
    }

    /// Returns a reservation of no memory.
    pub(crate) const fn none() -> Self {
        Self {
            base: NonNull::<Aligned>::dangling().cast(),
            bytes: 0,
        }
    }

    /// Returns the address of the first byte, which is aligned as a page's.
    #[inline]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes != 0 {
            // SAFETY: the mapping was made by `new` with this size, and nothing borrows from it any more.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
        }
    }
}
