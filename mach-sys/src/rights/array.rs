//! Arrays in memory that the kernel allocated.

use crate::kernel;

/// An array of words in memory that the kernel allocated. Dropping it releases the memory.
#[derive(Debug)]
pub(super) struct Array {
    address: *mut u32,
    count: u32,
}

impl Array {
    /// Creates an empty array, for a call to fill.
    pub(super) const fn new() -> Self {
        Self {
            address: core::ptr::null_mut(),
            count: 0,
        }
    }

    /// Returns the places for a call's results: the address, and the number of words.
    ///
    /// # Safety
    /// They are written once, with null and 0, or with an array of this many initialised words that the kernel allocated and its caller must
    /// release.
    pub(super) unsafe fn out(&mut self) -> (*mut *mut u32, *mut u32) {
        (&mut self.address, &mut self.count)
    }

    pub(super) fn words(&self) -> &[u32] {
        if self.address.is_null() || self.count == 0 {
            return &[];
        }
        // SAFETY: by the contract of `out` the kernel allocated an array of this many words at this address; it lives until `self` is dropped.
        unsafe { core::slice::from_raw_parts(self.address, self.count as usize) }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        let (address, size) = (self.address as u64, u64::from(self.count) * 4);
        // SAFETY: this value owns the array, and nothing reads it any more.
        unsafe { kernel::mach_vm_deallocate(kernel::system::task_self(), address, size) };
    }
}
