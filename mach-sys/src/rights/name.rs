//! Port names, and the trait of all rights.

use crate::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};
use core::fmt;
use core::num::NonZeroU32;

/// A port name that is neither `MACH_PORT_NULL` nor `MACH_PORT_DEAD`. It is only a number and owns nothing.
///
/// ```
/// use mach_sys::rights::Name;
///
/// assert_eq!(Name::new(0), None);
/// assert_eq!(Name::new(0x1203).map(Name::raw), Some(0x1203));
/// ```
#[doc(alias("mach_port_name_t", "mach_port_t"))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Name(NonZeroU32);

impl Name {
    /// A name that no kernel uses: the low two bits of all names are set (C0.2).
    pub(super) const UNUSED: Self = Self(NonZeroU32::MIN);

    /// Returns `raw` as a name; `None` for `MACH_PORT_NULL` and `MACH_PORT_DEAD`.
    #[must_use]
    pub const fn new(raw: mach_port_name_t) -> Option<Self> {
        match NonZeroU32::new(raw) {
            Some(name) if raw != MACH_PORT_DEAD => Some(Self(name)),
            _ => None,
        }
    }

    /// Returns the name as a number, for kernel calls.
    #[must_use]
    pub const fn raw(self) -> mach_port_name_t {
        self.0.get()
    }

    /// Number of indices of names: the largest name table of XNU has 305834 entries (C0.7), that of the emulated kernel fewer.
    pub(super) const INDICES: usize = 1 << 19;

    /// Returns the index in the name table (C0.2).
    pub(super) const fn index(self) -> usize {
        self.raw() as usize >> 8
    }

    /// Returns the generation, which distinguishes the names with one index (C0.2).
    pub(super) const fn generation(self) -> u32 {
        self.raw() & 0xff
    }

    /// Returns an optional name as a number: `MACH_PORT_NULL` for `None`.
    #[must_use]
    pub const fn raw_or_null(name: Option<Self>) -> mach_port_name_t {
        match name {
            Some(name) => name.raw(),
            None => MACH_PORT_NULL,
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.raw())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

mod sealed {
    /// The construction of a right without taking ownership of a reference.
    ///
    /// # Safety
    /// The type is `repr(transparent)` over `Held`, so that a `Held` can be borrowed as a right.
    pub unsafe trait Hold {
        /// Creates the right of a reference that is already counted as owned. It is unsafe because code that is generic over
        /// [`Right`](super::Right) can call it, although it cannot name this trait.
        ///
        /// # Safety
        /// The contract of [`Right::from_name`](super::Right::from_name), unless the value is never dropped.
        unsafe fn hold(name: super::Name) -> Self;
    }
}

pub(super) use sealed::Hold;

/// An owned right. Sealed: only this crate's types implement it.
///
/// A name alone is not a right:
///
/// ```compile_fail,E0133
/// # use mach_sys::rights::{Name, Right};
/// fn out_of_thin_air<R: Right>(name: Name) -> R {
///     R::from_name(name)
/// }
/// ```
///
/// ```compile_fail,E0133
/// # use mach_sys::rights::{Name, Right};
/// fn by_what_it_is_made_of<R: Right>(name: Name) -> R {
///     R::hold(name)
/// }
/// ```
pub trait Right: Sized + Hold {
    /// Returns the name under which the task holds the right.
    fn name(&self) -> Name;

    /// Creates the owner of one user reference under `name`. The reference of a send right counts as owned from now on
    /// ([`owned_references`](super::owned_references)).
    ///
    /// # Safety
    /// The task has a reference of this kind under `name`, and no other code will release it. Until this call it counts as a reference that
    /// no right owns, so no code may release the unowned references of the name at the same time.
    unsafe fn from_name(name: Name) -> Self;

    /// Returns the name, and gives up ownership without releasing the reference. That of a send right no longer counts as owned.
    fn into_name(self) -> Name;
}
