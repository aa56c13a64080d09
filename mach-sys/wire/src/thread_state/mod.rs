//! Thread states: the registers of a thread, by flavor, for both machines on every system.
//!
//! A message carries a state as a flavor, a count of 32-bit words, and the words. [`ThreadState`] binds a structure to its flavor and
//! count; [`Registers`] reads and writes the registers that every machine has.

mod arm;
mod flavor;
mod registers;
mod x86;

pub use arm::*;
pub use flavor::*;
pub use registers::Registers;
pub use x86::*;

use crate::machine::Machine;
use crate::pod::{self, Pod};
use crate::types::{mach_msg_type_number_t, thread_state_flavor_t};

/// A thread state with its flavor. Sealed, as [`Pod`] is: only this crate's structures implement it.
///
/// ```
/// use mach_wire::thread_state::{ThreadState, x86_thread_state64_t};
///
/// let state = x86_thread_state64_t { rip: 0x1000, ..Default::default() };
/// assert_eq!(state.as_words().len(), x86_thread_state64_t::COUNT as usize);
/// assert_eq!(x86_thread_state64_t::from_words(state.as_words()), Ok(state));
/// ```
pub trait ThreadState: Pod {
    /// The machine that has the state.
    const MACHINE: Machine;
    /// The flavor, as in a message.
    const FLAVOR: thread_state_flavor_t;
    /// The number of 32-bit words, as in a message.
    const COUNT: mach_msg_type_number_t;

    /// Returns the words of the state, as a message carries them.
    fn as_words(&self) -> &[u32] {
        pod::words_of(self)
    }

    /// Returns the words of the state, for reading and writing.
    fn as_words_mut(&mut self) -> &mut [u32] {
        pod::words_of_mut(self)
    }

    /// Creates a state from its words.
    ///
    /// # Errors
    /// [`StateMismatch::Count`]: there are not exactly [`COUNT`](Self::COUNT) words.
    fn from_words(words: &[u32]) -> Result<Self, StateMismatch> {
        let mut state: Self = pod::zeroed();
        if words.len() != Self::COUNT as usize {
            return Err(StateMismatch::Count {
                flavor: Flavor::of::<Self>(),
                found: words.len(),
                wanted: Self::COUNT,
            });
        }
        state.as_words_mut().copy_from_slice(words);
        Ok(state)
    }
}

/// The error of words that are not the requested thread state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateMismatch {
    /// The words have another flavor.
    #[error("thread state of flavor {found} instead of {wanted}")]
    Flavor {
        /// The flavor of the words.
        found: Flavor,
        /// The flavor of the structure.
        wanted: Flavor,
    },
    /// There are too few or too many words.
    #[error("thread state {flavor} of {found} words instead of {wanted}")]
    Count {
        /// The flavor.
        flavor: Flavor,
        /// The number of words.
        found: usize,
        /// The number of words of the structure.
        wanted: mach_msg_type_number_t,
    },
}

impl StateMismatch {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    pub const fn code(self) -> u32 {
        match self {
            Self::Flavor { .. } => 0x1501,
            Self::Count { .. } => 0x1502,
        }
    }
}

/// The general registers of the machine that this crate is compiled for.
#[doc(alias("x86_thread_state64_t", "arm_thread_state64_t", "_STRUCT_MCONTEXT64"))]
#[cfg(not(target_arch = "aarch64"))]
pub type NativeState = x86_thread_state64_t;
/// The general registers of the machine that this crate is compiled for.
#[doc(alias("x86_thread_state64_t", "arm_thread_state64_t", "_STRUCT_MCONTEXT64"))]
#[cfg(target_arch = "aarch64")]
pub type NativeState = arm_thread_state64_t;

/// Implements [`ThreadState`] for a structure. The compiler checks the count.
macro_rules! thread_state {
    ($name:ident: $machine:expr, $flavor:expr, $count:literal) => {
        const _: () = assert!(core::mem::size_of::<$name>() == 4 * $count, "count");
        impl $crate::thread_state::ThreadState for $name {
            const MACHINE: $crate::machine::Machine = $machine;
            const FLAVOR: $crate::types::thread_state_flavor_t = $flavor;
            const COUNT: $crate::types::mach_msg_type_number_t = $count;
        }
    };
}
use thread_state;

/// Declares a unified state: a header and a state of one of two widths.
///
/// C's union of the two is an overlay here, because a state must consist of words.
macro_rules! unified_state {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $size:literal, align $align:literal {
            0 $header:ident: $header_type:ty,
            8 $overlay:ident: $overlay_type:ident [$element:ty; $elements:literal] {
                $narrow:ident: $narrow_type:ty, $wide:ident: $wide_type:ty
            },
        }
    ) => {
        overlay! {
            #[doc = concat!("The union of the two widths of [`", stringify!($name), "`].")]
            pub struct $overlay_type [$element; $elements] { $narrow: $narrow_type, $wide: $wide_type }
        }

        const _: () = {
            assert!(core::mem::size_of::<$wide_type>() == core::mem::size_of::<$overlay_type>());
        };

        plain_struct! {
            $(#[$meta])*
            pub struct $name: $size, align $align {
                0 $header: $header_type,
                8 $overlay: $overlay_type,
            }
        }

        impl From<$narrow_type> for $name {
            fn from(state: $narrow_type) -> Self {
                Self::with_width(&state)
            }
        }

        impl From<$wide_type> for $name {
            fn from(state: $wide_type) -> Self {
                Self::with_width(&state)
            }
        }

        impl $name {
            fn with_width<S: $crate::thread_state::ThreadState>(state: &S) -> Self {
                let mut unified = Self::default();
                unified.$header.flavor = S::FLAVOR as u32;
                unified.$header.count = S::COUNT;
                unified.$overlay.put(state);
                unified
            }

            #[doc = concat!("Returns the state as `", stringify!($narrow), "`; `None` if the header has another flavor or count.")]
            pub fn narrow(&self) -> Option<$narrow_type> {
                self.is_width::<$narrow_type>().then(|| self.$overlay.$narrow())
            }

            #[doc = concat!("Returns the state as `", stringify!($wide), "`; `None` if the header has another flavor or count.")]
            pub fn wide(&self) -> Option<$wide_type> {
                self.is_width::<$wide_type>().then(|| self.$overlay.$wide())
            }

            fn is_width<S: $crate::thread_state::ThreadState>(&self) -> bool {
                self.$header.flavor == S::FLAVOR as u32 && self.$header.count == S::COUNT
            }
        }
    };
}
use unified_state;
