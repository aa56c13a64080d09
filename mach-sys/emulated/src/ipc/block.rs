//! Pages that a message has beside its buffer: its content where that is larger than a buffer, and its out-of-line memory.
//!
//! A message may be destroyed under the kernel's lock, and pages are not unmapped there: they go on a list, which is emptied with no lock
//! held. The list's links are in the pages.
#![allow(unsafe_code)]

use crate::host::{mappings, pages};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Zero-filled pages that a message owns, or none. Dropping it leaks them: [`Garbage::put`] takes them.
#[derive(Debug)]
pub(crate) struct Block {
    /// Address of the first byte; 0 for no pages.
    base: usize,
    /// Bytes, in whole pages or less.
    bytes: usize,
}

impl Block {
    pub(crate) const NONE: Self = Self { base: 0, bytes: 0 };

    /// Maps pages for so many bytes. `None` if the system has no memory, or for 0 bytes.
    pub(crate) fn map(bytes: usize) -> Option<Self> {
        let base = mappings::anywhere(bytes).ok()?;
        Some(Self { base, bytes })
    }

    pub(crate) const fn is_none(&self) -> bool {
        self.base == 0
    }

    pub(crate) const fn base(&self) -> usize {
        self.base
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if self.is_none() {
            return &[];
        }
        // SAFETY: the pages are mapped, readable, initialised with zeroes, and owned by this value as long as it is borrowed.
        unsafe { core::slice::from_raw_parts(self.base as *const u8, self.bytes) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        if self.is_none() {
            return &mut [];
        }
        // SAFETY: as above, writable, and borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.base as *mut u8, self.bytes) }
    }

    /// Takes the pages out of their place, which has none afterwards.
    #[must_use]
    pub(crate) const fn take(&mut self) -> Self {
        core::mem::replace(self, Self::NONE)
    }

    /// Gives the pages away: from now on they are the task's, which releases them with `mach_vm_deallocate`.
    pub(crate) fn give_out(self) {}

    fn unmap(self) {
        if !self.is_none() {
            // SAFETY: this value owned the pages, and is used up.
            let released = unsafe { pages::release(self.base, self.bytes) };
            debug_assert!(released.is_ok());
        }
    }
}

/// Pages that are no message's any more.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    /// Address of the block that was put last; 0 for none. Its first two words are the address of the one before, and its bytes.
    last: AtomicUsize,
}

impl Garbage {
    /// Takes pages, which are unmapped by a later [`sweep`](Self::sweep).
    pub(super) fn put(&self, block: Block) {
        if block.is_none() {
            return;
        }
        let link = block.base as *mut [usize; 2];
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            // SAFETY: the block's pages are owned here, page-aligned, and at least a page long.
            unsafe { link.write([last, block.bytes]) };
            let swapped = self.last.compare_exchange_weak(
                last,
                block.base,
                Ordering::Release,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return,
                Err(seen) => last = seen,
            }
        }
    }

    /// Unmaps what was put. Costs a load when there is nothing.
    #[inline]
    pub(super) fn sweep(&self) {
        if self.last.load(Ordering::Relaxed) != 0 {
            self.sweep_now();
        }
    }

    #[cold]
    fn sweep_now(&self) {
        let mut base = self.last.swap(0, Ordering::Acquire);
        while base != 0 {
            // SAFETY: `put` wrote the two words, and the thread that took the list owns all blocks on it.
            let [next, bytes] = unsafe { (base as *const [usize; 2]).read() };
            Block { base, bytes }.unmap();
            base = next;
        }
    }
}
