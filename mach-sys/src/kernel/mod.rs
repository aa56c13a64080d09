//! The seam: every kernel call this workspace makes, declared once.
//!
//! On Apple systems the list below becomes `extern "C"` declarations that libSystem answers; elsewhere each line becomes a
//! function that forwards to the emulated Mach. The two sides cannot drift apart: the emulation is called with exactly these
//! argument and result types. Signatures, argument order and meaning are those of the C headers named beside each group.
//!
//! What differs by system outside Mach (a thread's port name, its stack, its identifier, the page size, the current CPU) stands
//! in [`system`]. Nothing above this module has a `cfg` for the operating system.
//!
//! # Safety of the calls
//! Every function takes what the C function takes. Pointers must be valid for what the header says is read or written through
//! them; a count that goes in and out must state the room that is there. Names are plain numbers: releasing a reference that
//! other code counts on is a logic error that no memory safety depends on, except where [`crate::rights`] says so.
//! [`crate::rights`] has typed calls for ports; [`KernReturn::check`](crate::kern_return::KernReturn::check) makes a `Result` of an
//! answer.
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

/// The kernel that answers the calls of this module.
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
    /// The emulated Mach of the crate mach-emulated, on a host that has none.
    Emulated,
}

/// The kernel that answers the calls of this build.
pub const KERNEL: Kernel = if cfg!(target_vendor = "apple") {
    Kernel::Xnu
} else {
    Kernel::Emulated
};
