//! Names, and what all rights have in common.

use crate::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};
use core::fmt;
use core::num::NonZeroU32;

/// A port name that is neither `MACH_PORT_NULL` nor `MACH_PORT_DEAD`. Only a number: it owns nothing.
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
    /// A name that no kernel gives out: the low two bits of names are set (C0.2).
    pub(super) const UNUSED: Self = Self(NonZeroU32::MIN);

    /// Returns `raw` as a name; `None` for `MACH_PORT_NULL` and `MACH_PORT_DEAD`.
    #[must_use]
    pub const fn new(raw: mach_port_name_t) -> Option<Self> {
        match NonZeroU32::new(raw) {
            Some(name) if raw != MACH_PORT_DEAD => Some(Self(name)),
            _ => None,
        }
    }

    /// Returns the name as the kernel calls take it.
    #[must_use]
    pub const fn raw(self) -> mach_port_name_t {
        self.0.get()
    }

    /// Indices of names: the largest name table of XNU has 305834 entries (C0.7), the emulated kernel's fewer.
    pub(super) const INDICES: usize = 1 << 19;

    /// Returns the index in the name table (C0.2).
    pub(super) const fn index(self) -> usize {
        self.raw() as usize >> 8
    }

    /// Returns the generation, which tells the names of one index apart (C0.2).
    pub(super) const fn generation(self) -> u32 {
        self.raw() & 0xff
    }

    /// Returns the raw form of an optional name: `MACH_PORT_NULL` for none.
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
    /// A right's value without a say about what it owns.
    ///
    /// # Safety
    /// The type is `repr(transparent)` over `Held`, so that a `Held` can be borrowed as a right.
    pub unsafe trait Hold {
        /// The value for a reference that is accounted for elsewhere. Unsafe: code that is generic over [`Right`](super::Right) can call
        /// it though it cannot name this trait.
        ///
        /// # Safety
        /// As [`Right::from_name`](super::Right::from_name), unless the value is never dropped.
        unsafe fn hold(name: super::Name) -> Self;
    }
}

pub(super) use sealed::Hold;

/// An owned right. Sealed: only this crate's types implement it.
///
/// A name alone makes no right:
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
    /// Returns the name that the right is held under.
    fn name(&self) -> Name;

    /// Takes ownership of one user reference under `name`. A send right counts it as owned from here on
    /// ([`owned_references`](super::owned_references)).
    ///
    /// # Safety
    /// The task owns a reference of this kind on `name`, and no other code will release it. Until this call it counts as a reference that
    /// no right owns: nothing trims those of the name at the same time.
    unsafe fn from_name(name: Name) -> Self;

    /// Returns the name and gives up ownership without releasing anything. A send right's reference no longer counts as owned.
    fn into_name(self) -> Name;
}
