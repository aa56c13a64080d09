//! A thread's emergency stack: where a handler runs when the stack pointer is none.
#![allow(unsafe_code)]

use core::ops::Range;
use mach_sys::kernel::system;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

    /// Bytes of the guard below it.
    pub(crate) fn guard(&self) -> u64 {
        self.guard as u64
    }

    /// Whether the calling thread runs on it.
    pub(crate) fn is_in_use(&self) -> bool {
        let here = 0_u8;
        self.range()
            .contains(&(core::hint::black_box(&raw const here) as u64))
    }
}

impl Drop for EmergencyStack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's; the thread whose stack it was is past its last redirect.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.guard + SIZE) };
    }
}

/// Stacks of threads that ended, kept for the next ones: a mapping made and unmade costs as much as a good part of a thread.
#[derive(Debug)]
pub(crate) struct Stacks {
    idle: Mutex<Vec<EmergencyStack>>,
}

/// How many are kept.
const KEPT: usize = 64;

impl Stacks {
    pub(crate) fn new() -> Self {
        Self {
            // Room for all that are kept: giving one back is part of a thread's end, which allocates nothing.
            idle: Mutex::new(Vec::with_capacity(KEPT)),
        }
    }

    pub(crate) fn take(&self) -> Result<EmergencyStack, i32> {
        let idle = self.idle().pop();
        idle.map_or_else(EmergencyStack::new, Ok)
    }

    /// Gives back a stack that no thread uses any more.
    pub(crate) fn give_back(&self, stack: EmergencyStack) {
        let mut idle = self.idle();
        if idle.len() < KEPT {
            idle.push(stack);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<EmergencyStack>> {
        // Nothing under this lock leaves it half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_writable_from_end_to_end_and_guarded_below() {
        let stack = EmergencyStack::new().expect("a stack");
        let range = stack.range();
        assert_eq!(range.end - range.start, SIZE as u64);
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
    fn stacks_are_used_again_and_not_hoarded() {
        let stacks = Stacks::new();
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
