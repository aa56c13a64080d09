//! Values that are there from a start of the emulation to its stop.
#![allow(unsafe_code)]

use core::fmt;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A value that is set at a start and taken at a stop. Reading it costs a load.
pub(crate) struct Installed<T: 'static>(AtomicPtr<T>);

impl<T: Send + Sync> Installed<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Returns the value, if it is there.
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: null, or a pointer out of a box in `set`, which is valid until `take`; that one's caller vouches for the rest.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Sets it. Called by one thread at a time, and not while there is a value.
    pub(crate) fn set(&self, value: T) -> &'static T {
        let value = Box::into_raw(Box::new(value));
        self.0.store(value, Ordering::Release);
        // SAFETY: a pointer out of a box, valid until `take`, whose caller vouches for the rest.
        unsafe { &*value }
    }

    /// Takes it out. The next start sets another.
    ///
    /// # Safety
    /// No reference that [`get`](Self::get) or [`set`](Self::set) returned is used any more, on any thread.
    pub(crate) unsafe fn take(&self) -> Option<Box<T>> {
        let value = self.0.swap(null_mut(), Ordering::AcqRel);
        // SAFETY: a pointer out of a box in `set`, which the swap gave to this thread alone; no reference is left (caller's promise).
        (!value.is_null()).then(|| unsafe { Box::from_raw(value) })
    }
}

impl<T: Send + Sync + fmt::Debug> fmt::Debug for Installed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Installed").field(&self.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Installed;
    use std::sync::Arc;

    #[test]
    fn a_value_is_there_until_it_is_taken_and_then_another_may_be() {
        let installed = Installed::new();
        let value = Arc::new(());
        for _ in 0..2 {
            assert!(installed.get().is_none());
            installed.set(Arc::clone(&value));
            assert!(
                installed
                    .get()
                    .is_some_and(|there| Arc::ptr_eq(there, &value))
            );
            // SAFETY: the reference above is gone.
            let taken = unsafe { installed.take() };
            assert!(taken.is_some_and(|taken| Arc::ptr_eq(&taken, &value)));
            assert_eq!(Arc::strong_count(&value), 1);
        }
    }
}
