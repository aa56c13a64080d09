//! Borrowed rights, which something else owns.
#![allow(unsafe_code)]

use super::held::Held;
use super::{Name, Right};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

/// A borrowed right. It dereferences to the right, releases nothing, and does not count as owned. Copying it costs nothing.
///
/// ```
/// use mach_sys::rights::{Borrowed, ReceiveRight, Right};
///
/// let port = ReceiveRight::new()?;
/// let lent = Borrowed::from(&port);
/// let again = lent;
/// assert_eq!(lent.name(), again.name());
/// # Ok::<(), mach_sys::kern_return::KernError>(())
/// ```
///
/// It does not outlive the right:
///
/// ```compile_fail,E0505
/// # use mach_sys::rights::{Borrowed, ReceiveRight, Right};
/// let port = ReceiveRight::new().unwrap();
/// let lent = Borrowed::from(&port);
/// drop(port);
/// lent.name();
/// ```
pub struct Borrowed<'a, R> {
    held: Held,
    right: PhantomData<&'a R>,
}

impl<R: Right> Borrowed<'_, R> {
    /// Borrows the right of kind `R` that the task holds under `name`.
    ///
    /// # Safety
    /// The task holds a reference of this kind under `name` for the whole lifetime.
    #[must_use]
    pub unsafe fn from_name(name: Name) -> Self {
        Self {
            held: Held::new(name),
            right: PhantomData,
        }
    }
}

impl<'a, R: Right> From<&'a R> for Borrowed<'a, R> {
    fn from(right: &'a R) -> Self {
        // SAFETY: the owner keeps its reference as long as it is borrowed.
        unsafe { Self::from_name(right.name()) }
    }
}

impl<R> Clone for Borrowed<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Borrowed<'_, R> {}

impl<R: Right> Deref for Borrowed<'_, R> {
    type Target = R;

    fn deref(&self) -> &R {
        const {
            assert!(size_of::<R>() == size_of::<Held>() && align_of::<R>() == align_of::<Held>());
        }
        // SAFETY: `Right` is sealed, and its types are `repr(transparent)` over `Held` (the contract of `Hold`), so the pointer is valid
        // and aligned for an `R` as long as `self` is borrowed. Nothing owns an `R` here, so nothing drops one.
        unsafe { &*core::ptr::from_ref(&self.held).cast::<R>() }
    }
}

impl<R: Right + fmt::Debug> fmt::Debug for Borrowed<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Borrowed").field(&**self).finish()
    }
}
