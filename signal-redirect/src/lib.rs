//! Sends a stopped thread through a signal-style handler, on its own stack, and back again.
//!
//! The core is a pure function: [`Redirect::apply`] takes the registers of a stopped thread, the [`Fault`] that stopped it, and its
//! [`Memory`]; it writes a [`Frame`] below the interrupted one and returns the registers that enter the handler. The handler is a
//! [`SignalHandler`] with three arguments, named by an [`Entry`]. It finds `siginfo_t`, `ucontext_t` and the machine context in Darwin's
//! layout and numbers, on every system. When it returns, the [`Trampoline`] restores the vector registers and traps;
//! [`TrampolinePlan::return_from`] recognizes that trap, checks the frame, and returns the registers to resume with ([`Resumed`]), with
//! the handler's edits. On x86_64 the thread can do that by itself, without the trap ([`Redirect::return_directly`]).
//!
//! This crate uses no ports and no exception server: any code that can read and set a stopped thread's registers can use it. The
//! [`Rewriter`]s of both machines, [`X86_64`] and [`Arm64`], are available on every system. [`Native`] and its trampoline are those of the
//! machine that the crate is compiled for.
//!
//! | item | purpose |
//! |---|---|
//! | [`Redirect`] | the plan of a redirect: handler, [`Stack`], emergency stack, room, tag, vector registers, [`Return`] |
//! | [`Fault`], [`DarwinSignal`] | the exception or signal that stopped the thread; the handler gets the signal that XNU would send |
//! | [`Entry`] | a handler of this process; [`Entry::new`] has the whole contract |
//! | [`Trampoline`], [`Key`] | the process's trampoline, and the key that seals its frames |
//! | [`TrampolinePlan`], [`VectorSave`], [`Code`] | a trampoline at any address, of either machine, for redirects that are only computed |
//! | [`Frame`], [`FrameId`], [`Resumed`] | the frame of a handler, its identifier, and the registers after the handler returned |
//! | [`Innermost`] | a thread's innermost frame, for handlers that return directly |
//! | [`Memory`], `OwnMemory`, [`Region`] | memory with fallible reads and writes: any, the task's, a buffer |
//! | [`RedirectMask`], [`Held`] | a mask that holds redirects off for one thread ([`Redirect::apply_unless_held`]), and its guard |
//! | [`restore_signal_mask`] | restores the interrupted signal mask before a jump out of a handler |
//! | [`return_to_caller`] | returns the registers after a call through a bad pointer, as if the call had returned |
//! | [`RedirectError`], [`ReturnError`], [`Unmapped`] | the errors, each with a stable numeric code |
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
//! # Rules for handlers
//! A handler runs between two arbitrary instructions of its thread, as a signal handler does. It calls only async-signal-safe
//! functions and does not unwind (Rust's `extern "C"` aborts at a panic). It may edit the saved registers in the machine context,
//! general and vector, or leave by a jump of its own and never return. [`Entry::new`] has the whole contract.
//!
//! # Vector registers
//! The thread resumes with its vector registers as they were when it was interrupted, where the last column says "yes":
//!
//! | registers | in the machine context, where the handler may edit them | restored |
//! |---|---|---|
//! | x86_64: x87, SSE, MXCSR | yes | yes |
//! | AVX | yes (`uc_mcsize` 1032; 712 on a processor without) | yes |
//! | AVX-512 | no | yes, if the thread has it: Darwin switches it on at a thread's first use |
//! | AMX tiles, protection keys (PKRU), the extended general registers of APX | no | no: they stay as the handler leaves them |
//! | arm64: v0–v31, fpsr, fpcr | yes | yes |
//! | SVE: z0–z31 beyond 128 bits, p0–p15, ffr | no | yes |
//! | SME: streaming mode with its z, p and ffr; ZA; ZT0; TPIDR2_EL0 | no | yes |
//! | FPMR | no | yes, if the system reports it |
//!
//! Like a Unix signal handler, a handler is called outside streaming mode, with ZA off and TPIDR2_EL0 and FPMR 0. The registers that
//! the machine context does not have take room on the handler's stack ([`VectorSave::size`]): 6528 bytes on an M4.
//!
//! On Linux an arm64 thread may have chosen longer vectors than the thread that called [`Trampoline::native`]. If it has them in use,
//! it is refused ([`ReturnError::VectorLength`]). Registers beyond v0–v31 are restored only if the system reports them, as Linux and
//! Apple's systems do ([`Arm64Vectors`](mach_sys::processor::Arm64Vectors)).
//!
//! # Limits
//! - arm64e: states with signed pointers are refused ([`RedirectError::Signed`]).
//! - Without [`Redirect::block_signals`] `uc_sigmask` has the value of [`Redirect::shown_mask`], and no mask is set or restored.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(unsafe_code)]

mod caller;
mod error;
mod fault;
mod frame;
mod innermost;
mod key;
mod machine;
mod mask;
mod memory;
mod opened;
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
pub use innermost::Innermost;
pub use key::Key;
pub use mach_sys::darwin::DarwinSignal;
pub use machine::{Arm64, Native, Rewriter, X86_64};
pub use mask::{Held, RedirectMask};
pub use memory::{Memory, Region, Unmapped};
#[cfg(feature = "std")]
pub use own::OwnMemory;
pub use redirect::{Redirect, Return, Stack};
pub use resume::Resumed;
#[cfg(feature = "std")]
pub use trampoline::restore_signal_mask;
pub use trampoline::{Code, Entry, SignalHandler, Trampoline, TrampolinePlan};
pub use vector_save::VectorSave;

/// Compiles and runs the README's example.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
