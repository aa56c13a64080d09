//! Arrays that the kernel gives out.

use crate::kernel;

/// An array of words in memory that the kernel took for it, and that is released when this is dropped.
#[derive(Debug)]
pub(super) struct Array {
    address: *mut u32,
    count: u32,
}

impl Array {
    /// Makes an empty array, for a call to fill.
    pub(super) const fn new() -> Self {
        Self {
            address: core::ptr::null_mut(),
            count: 0,
        }
    }

    /// Where a call puts its array: the address, and the number of words.
    ///
    /// # Safety
    /// What is put there is null with a count of 0, or an array of so many initialised words that the kernel gave out, to be released by its
    /// caller; and it is put there once.
    pub(super) unsafe fn out(&mut self) -> (*mut *mut u32, *mut u32) {
        (&mut self.address, &mut self.count)
    }

    pub(super) fn words(&self) -> &[u32] {
        if self.address.is_null() || self.count == 0 {
            return &[];
        }
        // SAFETY: by the contract of `out` the kernel gave an array of this many words at this address, which stays until `self` is dropped.
        unsafe { core::slice::from_raw_parts(self.address, self.count as usize) }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        let (address, size) = (self.address as u64, u64::from(self.count) * 4);
        // SAFETY: the array belongs to this value, and nothing reads it any more.
        unsafe { kernel::mach_vm_deallocate(kernel::system::task_self(), address, size) };
    }
}
