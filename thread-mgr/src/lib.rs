//! Manages the threads of a language runtime: sends their faults to a signal-style handler, and shuts them down without leaving port
//! names behind.
//!
//! A [`Manager`] starts threads ([`Manager::spawn`]) or attaches existing ones ([`Manager::attach`]), the main thread too. Each has a
//! route of its own to one exception server; an exception in the manager's mask makes the thread run the runtime's handler
//! ([`Entry`](signal_redirect::Entry)), and resume with the interrupted registers and the handler's edits.
//!
//! Attach the calling thread, and redirect its fault:
//!
//! ```
//! use core::ffi::c_int;
//! use thread_mgr::Manager;
//! use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
//! use thread_mgr::mach_sys::thread_state::Registers;
//! use thread_mgr::signal_redirect::Entry;
//!
//! /// Continues behind the instruction that faulted: 2 bytes on x86_64, 4 on arm64.
//! unsafe extern "C" fn skip(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
//!     // SAFETY: a redirect hands over its own structures, and nothing else refers to them.
//!     let registers = unsafe { (*context).registers_mut() };
//!     registers.set_pc(registers.pc() + if cfg!(target_arch = "x86_64") { 2 } else { 4 });
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // SAFETY: the handler changes nothing but the program counter, and the only fault here is an undefined instruction.
//!     let manager = Manager::builder(unsafe { Entry::new(skip) }).build()?;
//!     let attached = manager.attach()?;
//!     // SAFETY: the handler skips the instruction, which has no effect.
//!     #[cfg(target_arch = "x86_64")]
//!     unsafe { core::arch::asm!("ud2") };
//! #   #[cfg(target_arch = "aarch64")]
//! #   unsafe { core::arch::asm!("udf #0") };
//!     drop(attached);
//!     assert_eq!(manager.redirect_stats().returned, 1);
//!     Ok(())
//! }
//! ```
//!
//! | item | job |
//! |---|---|
//! | [`Manager`] | starts threads, attaches existing ones, counts what became of them |
//! | [`ManagerBuilder`], [`HandlerStack`] | set the exceptions, the handler's stack and context, the filter, the shutdown of threads, the exception server |
//! | [`ThreadBuilder`], [`Handle`], [`Ended`], [`Exit`] | start a thread, join it, and return its result and its report |
//! | [`Attached`] | attaches the calling thread until it is dropped |
//! | [`redirect_mask`] | holds redirects off for the calling thread |
//! | [`exit_now`] | ends the calling thread from the middle of a computation |
//! | [`ShutdownReport`], [`Normalization`], [`normalize`](mod@normalize) | tell what the shutdown of a thread found and did |
//! | [`stop`] | gives everything back, so that a library can be unloaded |
//! | [`SurplusPromise`] | lets shutdown release forgotten references, not only report them |
//! | [`EndStats`], [`RedirectStats`], [`ThreadInfo`], [`Audit`], [`Difference`] | counters, the managed threads, leak checks |
//! | [`BuildError`], [`AttachError`], [`SpawnError`], [`JoinError`], [`Panicked`], [`ExitError`] | errors, each with a stable numeric code |
//!
//! The crates whose types the signatures use are re-exported: [`exc_server`], [`mach_sys`], [`signal_redirect`].
//!
//! # The shutdown of a thread
//! It has one order: *quiesce* → *unroute* → *close port* → *deregister* → *release* → **normalize** → `pthread_exit`. Each step is a type
//! that only the step before can make. The steps run on the exiting thread, in the last pass that the C library makes over the
//! thread-specific-data destructors, so that other libraries' destructors may still fault and be served.
//!
//! | step | what happens | why there |
//! |---|---|---|
//! | quiesce | waits, with a deadline, until no exception of the thread is in flight | an answer in flight may still hold rights on the thread, and may write to its stacks |
//! | unroute | puts the previous exception ports back, if the manager's are still in place, and releases the saved rights | until then the registration holds a reference on the thread's own name, which would look like a surplus |
//! | close port | takes the port out of the server's set, waits for what was received before, and destroys the port | queued exceptions are declined, and nothing waits |
//! | deregister | removes the thread from the registry | the manager does not know the thread any more |
//! | release | releases the emergency stack | no redirect can need it any more |
//! | normalize | releases the references of the kernel port that nothing owns, under the promise; reports them otherwise | whatever ran before may have taken references |
//! | `pthread_exit` | called, or returned into | frees the stack and the thread's structure, and ends in the kernel's own release |
//!
//! *Normalize* leaves one user reference of the thread's kernel port, which the kernel itself releases when the thread is gone, and those
//! that rights of mach-sys own. Others were forgotten, and would leave a dead name behind for ever. Releasing one takes it from any other
//! holder, and no type can see what another library holds: so it is done only under a [`SurplusPromise`], and reported otherwise
//! ([`normalize`](mod@normalize)).
//!
//! A destructor may itself attach the thread, and need not detach it. Passes are counted from the thread's end where the thread was managed
//! before; in the last one, when no destructor of this crate will be called any more, [`Manager::attach`] returns [`AttachError::Exiting`]. A
//! thread that no manager had managed before can be attached there all the same. The exception server's thread, which looks once a second while there are
//! attached threads, detaches in the place of those that are gone: [`EndStats`] counts them as ended, abnormal and displaced.
//!
//! # Other components in the process
//! Signal handlers, crash reporters, other servers: `docs/sharing-a-process.md` in the repository says what the crates take of a process and
//! give back, and what others may do, on a Mac and on the emulation.
//! # The end of the runtime
//! Dropping the last clone of a manager, once its threads have exited, ends its exception server. [`stop`] then gives back what is left, so
//! that a shared library that contains the crate can be unloaded. On the emulated kernel a process ends with its last thread although
//! servers' threads run, also when the main thread left by `pthread_exit`; on Apple's kernel such a thread keeps the process alive until the
//! manager is dropped.
//!
//! # After a fork
//! A child has none of its parent's ports and threads, except the thread that forked. There every value of this crate can be dropped, and
//! does nothing; what would need a port or another thread is a typed error.
//!
//! # Limits
//! `pthread_cancel` on a managed thread aborts the process, as does `pthread_exit` on one that a manager started: the C library unwinds
//! by force, through frames that catch panics. [`exit_now`] ends a thread early.
//! When `main` returns, the main thread runs no destructors of thread-specific data: an attached main thread is detached by dropping
//! its [`Attached`].
#![deny(unsafe_code)]

mod attach;
mod audit;
mod emergency;
mod ends;
mod entry;
mod error;
mod exit;
mod handle;
mod inner;
mod manager;
pub mod normalize;
mod outcome;
mod panicked;
mod promise;
mod record;
mod redirect;
mod registry;
mod report;
#[doc(hidden)]
pub mod shutdown;
mod slot;
mod start;
mod stop;
mod take_in;
mod thread;
mod waiting;

pub use {exc_server, mach_sys, signal_redirect};

pub use attach::Attached;
pub use audit::Audit;
pub use ends::EndStats;
pub use error::{AttachError, BuildError, ExitError, JoinError, SpawnError};
pub use exc_server::Timeout;
pub use exit::{exit_now, redirect_mask};
pub use handle::Handle;
#[doc(inline)]
pub use mach_sys::rights::Difference;
pub use manager::{Manager, ManagerBuilder};
pub use normalize::Normalization;
pub use outcome::{Ended, Exit};
pub use panicked::Panicked;
pub use promise::SurplusPromise;
pub use redirect::{HandlerStack, RedirectStats};
pub use registry::ThreadInfo;
pub use report::ShutdownReport;
pub use stop::stop;
pub use thread::ThreadBuilder;

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
