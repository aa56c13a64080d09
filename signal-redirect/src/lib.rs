//! Sends a stopped thread through a signal-style handler, on its own stack, and back again.
//!
//! The core is a pure function: [`Redirect::apply`] takes the registers of a stopped thread, what stopped it, and its memory;
//! it writes a frame below the interrupted one and returns the registers that enter the handler. The handler is an ordinary
//! three-argument signal handler and finds `siginfo_t`, `ucontext_t` and the machine context in Darwin's layout and numbers, on
//! every host. When it returns, a trampoline restores the vector registers and traps; [`TrampolinePlan::return_from`] recognises
//! that trap, checks the frame, and returns the registers to go back to, with the handler's edits.
//!
//! Nothing here knows of ports or exception servers: code that can read and set a stopped thread's registers can use it. Both
//! machines' rewriters are there on every host; only [`Native`] and its trampoline are the compiling one's.
//!
//! ```
//! use signal_redirect::{Arm64, Fault, Key, Redirect, Region, TrampolinePlan};
//! use mach_sys::exception::ExceptionType;
//! use mach_sys::thread_state::arm_thread_state64_t;
//!
//! let mut stack = vec![0; 16384];
//! let mut memory = Region::new(0x1_0000_0000, &mut stack);
//! let trampoline = TrampolinePlan::<Arm64>::at(0x2_0000_0000, Key::new(0x5eed));
//! let stopped = arm_thread_state64_t { sp: 0x1_0000_2fff, pc: 0x4000, ..Default::default() };
//!
//! let fault = Fault::new(ExceptionType::BAD_ACCESS, 1, 0xdead_0000);
//! let plan = Redirect::plan(0x3_0000_0000, trampoline);
//! let (entered, frame) = plan.apply(&stopped, &fault, &mut memory)?;
//! assert_eq!(entered.x[0], 11); // SIGSEGV
//! assert!(frame.high <= stopped.sp - 128);
//! # Ok::<(), signal_redirect::RedirectError>(())
//! ```
//!
//! # What a handler may do
//! It runs between two arbitrary instructions of its thread, as a signal handler does: only async-signal-safe calls, no
//! unwinding out of it (Rust's `extern "C"` aborts at a panic). It may edit the saved registers in the machine context, general
//! and vector, or leave by a jump of its own and never return. [`Entry::new`] has the whole contract.
//!
//! # Limits
//! - x86_64: AVX-512's registers are saved and restored, but the machine context shows those of SSE and AVX only (`uc_mcsize`
//!   1032; 712 on a processor without AVX), so these are what a handler can edit. Protection keys (PKRU), AMX tiles and the
//!   extended general registers of APX stay as the handler leaves them.
//! - arm64: v0–v31, fpsr and fpcr. On a host with SVE the parts of z0–z31 beyond 128 bits, p0–p15 and ffr are not kept.
//! - arm64e: states whose pointers are signed are refused ([`RedirectError::Signed`]).
//! - `uc_sigmask` is what the caller says ([`Redirect::signal_mask`]); no mask is set or restored.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(unsafe_code)]

mod caller;
mod error;
mod fault;
mod frame;
mod key;
mod machine;
mod mask;
mod memory;
#[cfg(feature = "std")]
mod own;
mod redirect;
mod resume;
mod signal_info;
mod trampoline;
mod vector_save;

pub use caller::return_to_caller;
pub use error::{RedirectError, ReturnError};
pub use fault::Fault;
pub use frame::{Frame, FrameId};
pub use key::Key;
pub use mach_sys::darwin::DarwinSignal;
pub use machine::{Arm64, Machine, Native, X86_64};
pub use mask::{Held, Mask};
pub use memory::{Memory, Region, Unmapped};
#[cfg(feature = "std")]
pub use own::OwnMemory;
pub use redirect::{Redirect, Return, Stack};
pub use resume::Resumed;
pub use trampoline::{Code, Entry, SignalHandler, Trampoline, TrampolinePlan};
pub use vector_save::VectorSave;

/// The example of the README, compiled and run.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
