//! The code that a redirected thread runs around its handler.
//!
//! The server enters a trampoline by setting registers: the stack pointer and one callee-saved register (rbx, x19) hold the frame's
//! address. The trampoline saves the vector registers, sets the floating-point environment that C code expects at its start
//! (x86_64: x87 control word 0x37f and empty stack, MXCSR 0x1f80; arm64: FPCR and FPSR 0, outside streaming mode, ZA off), calls the
//! handler, restores the vector registers, and traps, or on x86_64 returns by itself (`direct`). It uses a real call, because a return address written by the server would fault
//! where shadow stacks are on. Its unwind information describes the interrupted registers in the frame, as a signal frame, so that
//! debuggers and backtraces can cross it.

#[cfg(target_arch = "aarch64")]
mod arm64;
#[cfg(feature = "std")]
pub(crate) mod blocking;
#[cfg(target_arch = "x86_64")]
mod direct;
mod native;
mod plan;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(feature = "std")]
pub use blocking::restore_signal_mask;
pub use native::{Entry, SignalHandler, Trampoline};
pub use plan::{Code, TrampolinePlan};
