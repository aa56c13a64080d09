//! A thread's emergency stack, for handlers that cannot or must not run on the interrupted one.
#![allow(unsafe_code)]

use core::ops::Range;
use mach_sys::kernel::system;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The default size in bytes. Only touched pages use memory.
pub(crate) const DEFAULT_SIZE: usize = 128 * 1024;
/// The smallest size in bytes: a frame with AVX-512's registers takes some 5 KiB.
pub(crate) const SMALLEST: usize = 32 * 1024;

/// A mapping with a guard page below it. Dropping it unmaps it.
#[derive(Debug)]
pub(crate) struct EmergencyStack {
    base: usize,
    guard: usize,
    size: usize,
}

impl EmergencyStack {
    /// Maps a stack of at least `size` bytes.
    pub(crate) fn new(size: usize) -> io::Result<Self> {
        let guard = system::page_size();
        let no_memory = || io::Error::from_raw_os_error(libc::ENOMEM);
        let size = size
            .max(SMALLEST)
            .checked_next_multiple_of(guard)
            .ok_or_else(no_memory)?;
        let whole = size.checked_add(guard).ok_or_else(no_memory)?;
        // SAFETY: a new private mapping at an address that the system chooses touches no existing memory.
        let base = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                whole,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self {
            base: base as usize,
            guard,
            size,
        };
        // SAFETY: the lowest page of the mapping made above.
        match unsafe { libc::mprotect(base, guard, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns the addresses of the stack, without the guard.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.base + self.guard;
        start as u64..(start + self.size) as u64
    }

    /// Returns the size of the guard below the stack in bytes.
    pub(crate) fn guard(&self) -> u64 {
        self.guard as u64
    }

    /// Returns whether the calling thread runs on this stack.
    pub(crate) fn is_in_use(&self) -> bool {
        let here = 0_u8;
        self.range()
            .contains(&(core::hint::black_box(&raw const here) as u64))
    }
}

impl Drop for EmergencyStack {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping, and its thread has no redirect any more.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.guard + self.size) };
    }
}

/// Stacks of threads that ended, kept for new threads: mapping and unmapping one is a good part of the cost of a thread.
#[derive(Debug)]
pub(crate) struct Stacks {
    /// The size of each stack in bytes.
    size: usize,
    idle: Mutex<Vec<EmergencyStack>>,
}

/// The number of stacks that are kept.
const KEPT: usize = 64;

impl Stacks {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            // Room for all that are kept: a thread gives its stack back while it exits, and must not allocate there.
            idle: Mutex::new(Vec::with_capacity(KEPT)),
        }
    }

    /// Returns an idle stack, or maps a new one.
    pub(crate) fn take(&self) -> io::Result<EmergencyStack> {
        let idle = self.idle().pop();
        idle.map_or_else(|| EmergencyStack::new(self.size), Ok)
    }

    /// Gives back a stack that no thread uses any more. Unmaps it if enough are kept.
    pub(crate) fn give_back(&self, stack: EmergencyStack) {
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push(stack);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<EmergencyStack>> {
        // No panic under this lock leaves the list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_writable_from_end_to_end_and_guarded_below() {
        let stack = EmergencyStack::new(DEFAULT_SIZE).expect("a stack");
        let range = stack.range();
        assert_eq!(range.end - range.start, DEFAULT_SIZE as u64);
        assert!(!stack.is_in_use(), "this thread has another");
        for at in [range.start, range.end - 1] {
            // SAFETY: inside the stack, which no other code knows.
            unsafe { (at as *mut u8).write_volatile(1) };
        }
        let mut byte = 0_u8;
        let mut read = 0;
        // SAFETY: the kernel probes the address, and says so if it may not be read.
        let code = unsafe {
            mach_sys::kernel::mach_vm_read_overwrite(
                system::task_self(),
                range.start - 1,
                1,
                core::ptr::from_mut(&mut byte) as u64,
                &mut read,
            )
        };
        assert_ne!(code, 0, "the guard page");
    }

    #[test]
    fn a_size_is_whole_pages_and_an_impossible_size_is_an_error() {
        let small = EmergencyStack::new(1).expect("a stack").range();
        assert!(small.end - small.start >= SMALLEST as u64);
        let odd = EmergencyStack::new(100_001).expect("a stack").range();
        assert!(odd.end - odd.start >= 100_001);
        assert_eq!((odd.end - odd.start) % system::page_size() as u64, 0);
        for size in [usize::MAX, usize::MAX - 8192, usize::MAX / 2] {
            assert!(EmergencyStack::new(size).is_err(), "{size}");
        }
    }

    #[test]
    fn stacks_are_reused_up_to_a_limit() {
        let stacks = Stacks::new(DEFAULT_SIZE);
        let first = stacks.take().expect("a stack");
        let place = first.range();
        stacks.give_back(first);
        let again = stacks.take().expect("a stack");
        assert_eq!(again.range(), place);
        let all: Vec<_> = (0..2 * KEPT)
            .map(|_| stacks.take().expect("a stack"))
            .collect();
        all.into_iter().for_each(|stack| stacks.give_back(stack));
        assert_eq!(stacks.idle().len(), KEPT);
        assert_eq!(stacks.idle().capacity(), KEPT);
    }
}
