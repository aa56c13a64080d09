//! The code that a redirected thread runs around its handler.
//!
//! A trampoline is entered by setting registers: the stack pointer and one callee-saved register (rbx, x19) hold the frame's
//! address. It saves the vector registers, sets the floating-point environment in which C code expects to start (x87 control
//! word 0x37f and empty stack, MXCSR 0x1f80; FPCR and FPSR 0, outside streaming mode, ZA off), *calls* the handler — a forged return address would fault where
//! shadow stacks are on — restores the vector registers, and traps. Its unwind information describes the interrupted registers
//! in the frame, as a signal frame, so that debuggers and backtraces cross it.

#[cfg(target_arch = "aarch64")]
mod arm64;
#[cfg(feature = "std")]
pub(crate) mod blocking;
mod native;
mod plan;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(feature = "std")]
pub use blocking::restore_signal_mask;
pub use native::{Entry, SignalHandler, Trampoline};
pub use plan::{Code, TrampolinePlan};
