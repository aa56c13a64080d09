//! Values whose port names are valid in one process only.
#![allow(unsafe_code)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use mach_sys::kernel::system::Origin;

/// A value that owns port names of the process that made it. In the child of a fork it is leaked instead of dropped: the child does not own
/// the names, and its memory is freed when it exits.
pub(crate) struct Local<T> {
    value: ManuallyDrop<T>,
    origin: Origin,
}

impl<T> Local<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: ManuallyDrop::new(value),
            origin: Origin::current(),
        }
    }

    /// Returns the process that made the value.
    #[cfg(feature = "std")]
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns whether the calling process made the value.
    pub(crate) fn is_here(&self) -> bool {
        self.origin.is_current()
    }
}

impl<T> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Local<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: dropped only here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
