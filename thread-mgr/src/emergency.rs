//! A thread's emergency stack: where a handler runs when the stack pointer is none.
#![allow(unsafe_code)]

use core::ops::Range;
use mach_sys::kernel::system;

/// Bytes of the stack; only touched pages count.
const SIZE: usize = 128 * 1024;

/// A mapping with a guard page below. Unmapped when it is dropped.
#[derive(Debug)]
pub(crate) struct EmergencyStack {
    base: usize,
    guard: usize,
}

impl EmergencyStack {
    pub(crate) fn new() -> Result<Self, i32> {
        let guard = system::page_size();
        let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        // SAFETY: a new private mapping at an address of the host's choice touches no existing memory.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                guard + SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(errno());
        }
        let stack = Self {
            base: base as usize,
            guard,
        };
        // SAFETY: the lowest page of our own mapping.
        match unsafe { libc::mprotect(base, guard, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(errno()),
        }
    }

    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.base + self.guard;
        start as u64..(start + SIZE) as u64
    }
}

impl Drop for EmergencyStack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours; the thread whose stack it was is past its last redirect.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.guard + SIZE) };
    }
}
