//! The contents of every right: a name, and the process that it belongs to.

use super::label::{self, Label};
use super::name::Name;
use crate::kernel::system::Origin;

/// A name with its origin. It owns nothing by itself.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) name: Name,
    origin: Origin,
}

impl Held {
    /// Stores a name of the calling process.
    pub(super) fn new(name: Name) -> Self {
        Self {
            name,
            origin: Origin::current(),
        }
    }

    /// Stores a name of the calling process that a right type owns from now on, and labels it for censuses.
    pub(super) fn owned(name: Name) -> Self {
        let held = Self::new(name);
        held.label(Label::Owned);
        held
    }

    pub(super) fn label(&self, label: Label) {
        label::set(self.name, self.origin, label);
    }

    /// Removes the label of [`owned`](Self::owned), and returns the name.
    pub(super) fn give_up(&self) -> Name {
        label::clear(self.name, self.origin);
        self.name
    }

    /// Releases the right by `release`, and removes the label of [`owned`](Self::owned) afterwards: a census that finds the name meanwhile
    /// still tells whose it is.
    pub(super) fn release(&self, release: impl FnOnce(Name)) {
        let noted = label::ending(self.name, self.origin);
        release(self.name);
        label::ended(self.name, noted);
    }

    /// Returns `true` if the name belongs to the calling process; `false` in the child of a fork, where the name denotes another right or
    /// none.
    pub(super) fn is_current(&self) -> bool {
        self.origin.is_current()
    }
}

/// Declares the type of a right that has a name to itself. Its last part is the kernel call that releases the right, where the value owns it.
macro_rules! right {
    ($(#[$meta:meta])* pub struct $right:ident, released by |$name:ident| $release:expr) => {
        $(#[$meta])*
        #[repr(transparent)]
        pub struct $right {
            held: Held,
        }

        // SAFETY: `repr(transparent)` over `Held`.
        unsafe impl Hold for $right {
            unsafe fn hold(name: Name) -> Self {
                Self {
                    held: Held::new(name),
                }
            }
        }

        impl Right for $right {
            fn name(&self) -> Name {
                self.held.name
            }

            unsafe fn from_name(name: Name) -> Self {
                Self {
                    held: Held::owned(name),
                }
            }

            fn into_name(self) -> Name {
                core::mem::ManuallyDrop::new(self).held.give_up()
            }
        }

        impl Drop for $right {
            fn drop(&mut self) {
                if !self.held.is_current() {
                    return;
                }
                self.held.release(|$name| {
                    // SAFETY: this value owns the right that is released. An error means that other code has destroyed it.
                    let _ = unsafe { $release };
                });
            }
        }

        impl core::fmt::Debug for $right {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}({})", stringify!($right), self.held.name)
            }
        }
    };
}
pub(super) use right;
