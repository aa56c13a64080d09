//! Sends a stopped thread through a signal-style handler, on its own stack, and back again.
//!
//! The core is a pure function: [`Redirect::apply`] takes the registers of a stopped thread, the [`Fault`] that stopped it, and its
//! [`Memory`]; it writes a [`Frame`] below the interrupted one and returns the registers that enter the handler. The handler is a
//! [`SignalHandler`] with three arguments, named by an [`Entry`]. It finds `siginfo_t`, `ucontext_t` and the machine context in Darwin's
//! layout and numbers, on every host. When it returns, the [`Trampoline`] restores the vector registers and traps;
//! [`TrampolinePlan::return_from`] recognizes that trap, checks the frame, and returns the registers to resume with ([`Resumed`]), with
//! the handler's edits.
//!
//! This crate uses no ports and no exception server: any code that can read and set a stopped thread's registers can use it. The
//! rewriters of both machines ([`Machine`]: [`X86_64`], [`Arm64`]) are available on every host; [`Native`] and its trampoline are those
//! of the machine that this is compiled for.
//!
//! | item | job |
//! |---|---|
//! | [`Redirect`] | plans a redirect: handler, [`Stack`], emergency stack, room, tag, vector registers, [`Return`] |
//! | [`Fault`], [`DarwinSignal`] | describe what stopped the thread; the handler gets the signal that XNU would send |
//! | [`Entry`] | names a handler of this process; [`Entry::new`] has the whole contract |
//! | [`Trampoline`], [`Key`] | the process's trampoline, and what seals its frames |
//! | [`TrampolinePlan`], [`VectorSave`], [`Code`] | a trampoline at any address, of either machine, for redirects that are computed and not run |
//! | [`Frame`], [`FrameId`], [`Resumed`] | the frame of a handler, its name, and the thread whose handler returned |
//! | [`Memory`], `OwnMemory`, [`Region`] | reads and writes that may fail: any memory, the task's, a buffer |
//! | [`Mask`], [`Held`] | hold redirects off for one thread ([`Redirect::apply_unless_held`]) |
//! | [`restore_signal_mask`] | restores the interrupted signal mask before a jump out of a handler |
//! | [`return_to_caller`] | returns the registers after a call through a bad pointer, as if the call had returned |
//! | [`RedirectError`], [`ReturnError`], [`Unmapped`] | errors, each with a stable numeric code |
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
//! # Vector registers
//! The thread resumes with all of these as they were when it was interrupted:
//!
//! | registers | shown to the handler, which may edit them | kept |
//! |---|---|---|
//! | x86_64: x87, SSE, MXCSR | yes | yes |
//! | AVX | yes (`uc_mcsize` 1032; 712 on a processor without) | yes |
//! | AVX-512 | no | yes, of a thread that has it: Darwin switches it on at a thread's first use |
//! | AMX tiles, protection keys (PKRU), the extended general registers of APX | no | no: they stay as the handler leaves them |
//! | arm64: v0–v31, fpsr, fpcr | yes | yes |
//! | SVE: z0–z31 beyond 128 bits, p0–p15, ffr | no | yes |
//! | SME: streaming mode with its z, p and ffr; ZA; ZT0; TPIDR2_EL0 | no | yes |
//! | FPMR | no | yes, where the system says that it is there |
//!
//! A handler is called outside streaming mode, with ZA off and TPIDR2_EL0 and FPMR 0, as a Unix signal handler is. What is there beyond
//! the machine context takes room on the handler's stack ([`VectorSave::size`]): on an M4 6528 bytes.
//!
//! Refused ([`ReturnError::VectorLength`]): an arm64 thread that has chosen longer vectors on Linux than the thread that called
//! [`Trampoline::native`] had, and has them in use. Without the machine's registers known, nothing beyond v0–v31 is kept: the system
//! tells of them on Linux and on Apple's systems ([`Arm64Vectors`](mach_sys::processor::Arm64Vectors)).
//!
//! # Limits
//! - arm64e: states whose pointers are signed are refused ([`RedirectError::Signed`]).
//! - Without [`Redirect::block_signals`] `uc_sigmask` has the value of [`Redirect::shown_mask`], and no mask is set or restored.
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
#[cfg(feature = "std")]
pub use trampoline::restore_signal_mask;
pub use trampoline::{Code, Entry, SignalHandler, Trampoline, TrampolinePlan};
pub use vector_save::VectorSave;

/// Compiles and runs the README's example.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
