//! Rights that something else owns.

use super::{Name, Right};
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;

/// A right that its owner keeps: usable as the right itself, never released, and not counted as owned.
pub struct Borrowed<'a, R> {
    right: ManuallyDrop<R>,
    owner: PhantomData<&'a ()>,
}

impl<R: Right> Borrowed<'_, R> {
    /// Borrows the right of kind `R` that is held under `name`.
    ///
    /// # Safety
    /// For as long as the lifetime lasts the task holds a reference of this kind on `name`.
    #[must_use]
    pub unsafe fn from_name(name: Name) -> Self {
        Self {
            // Never released: neither is it counted.
            right: ManuallyDrop::new(R::hold(name)),
            owner: PhantomData,
        }
    }
}

impl<R> Deref for Borrowed<'_, R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.right
    }
}

impl<R: fmt::Debug> fmt::Debug for Borrowed<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Borrowed").field(&*self.right).finish()
    }
}
