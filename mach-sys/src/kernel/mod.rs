//! The seam between systems: every kernel call that this workspace makes, declared once.
//!
//! On Apple's systems each call is an `extern "C"` declaration of a function in libSystem. Elsewhere it is a function that forwards to
//! the emulated Mach, with exactly the same argument and result types, so that the two cannot differ. Signatures, argument order and
//! meaning are those of the C headers named beside each group.
//!
//! [`system`] has the functions outside Mach that differ by system: a thread's port name, its stack, its identifier, the page size, the
//! current CPU. Nothing above this module has a `cfg` for the operating system.
//!
//! # Safety of the calls
//! Every function takes the arguments of the C function. Pointers must be valid for all that the function reads or writes through them,
//! and a count that is passed in and out must not exceed the room. Names are plain numbers: releasing a reference that other code relies
//! on is a logic error, on which memory safety does not depend except where [`crate::rights`] says so. [`crate::rights`] has typed calls
//! for ports; [`KernReturn::check`](crate::kern_return::KernReturn::check) converts a result to a `Result`.
#[cfg(target_vendor = "apple")]
mod apple;
mod calls;
#[cfg(feature = "std")]
mod configure;
mod probe;
pub mod system;

pub use calls::*;
#[cfg(feature = "std")]
pub use configure::*;

/// A kernel that implements the calls of this module.
///
/// ```
/// use mach_sys::kernel::{KERNEL, Kernel};
///
/// if KERNEL == Kernel::Emulated {
///     println!("no Apple kernel here");
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// Apple's kernel, through libSystem.
    Xnu,
    /// The emulated Mach of the crate mach-emulated, on other systems.
    Emulated,
}

/// The kernel that implements the calls in this build.
pub const KERNEL: Kernel = if cfg!(target_vendor = "apple") {
    Kernel::Xnu
} else {
    Kernel::Emulated
};
