//! Manages the threads of a language runtime: sends their faults to a signal-style handler, and shuts them down without leaving port
//! names behind.
//!
//! A [`Manager`] starts threads ([`Manager::spawn`]) or attaches existing ones ([`Manager::attach`]), including the main thread. Each
//! thread has its own route to one exception server. An exception in the manager's mask makes the thread run the runtime's handler
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
//! /// Continues after the instruction that faulted: 2 bytes on x86_64, 4 on arm64.
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
//! | [`Manager`] | starts threads, attaches existing ones, counts their exits and their exceptions |
//! | [`ManagerBuilder`], [`HandlerStack`] | set the exceptions, the handler's stack and context, the filter, the shutdown of threads, the exception server |
//! | [`ThreadBuilder`], [`Handle`], [`Ended`], [`Exit`] | start a thread, join it, and return its result and its report |
//! | [`Attached`] | attaches the calling thread until it is dropped |
//! | [`redirect_mask`] | holds redirects off for the calling thread |
//! | [`exit_now`] | ends the calling thread from the middle of a computation |
//! | [`ShutdownReport`], [`Normalization`], [`normalize`](mod@normalize) | report the findings and actions of a thread's shutdown |
//! | [`stop()`] | gives back all that the crate took from the process, so that a library can be unloaded |
//! | [`SurplusPromise`] | lets the shutdown of a thread release forgotten references, not only report them |
//! | [`EndStats`], [`RedirectStats`], [`ThreadInfo`], [`Audit`], [`Difference`] | counters, the managed threads, leak checks |
//! | [`BuildError`], [`AttachError`], [`SpawnError`], [`JoinError`], [`Panicked`], [`ExitError`] | errors, each with a stable numeric code |
//!
//! The crates whose types the signatures use are re-exported: [`exc_server`], [`mach_sys`], [`signal_redirect`].
//!
//! # The shutdown of a thread
//! The order is fixed: *quiesce* → *unroute* → *close port* → *deregister* → *release* → **normalize** → `pthread_exit`. Each step is a type
//! that only the step before can make. The steps run on the exiting thread, in the last pass that the C library makes over the
//! thread-specific-data destructors, so that other libraries' destructors may still fault and be served.
//!
//! | step | action | reason for its place |
//! |---|---|---|
//! | quiesce | waits, with a deadline, until no exception of the thread is in flight | an answer in flight may still hold rights on the thread, and may write to its stacks |
//! | unroute | puts the previous exception ports back, if the manager's are still in place, and releases the saved rights | until then the registration holds a reference on the thread's own name, which would look like a surplus |
//! | close port | removes the port from the server's port set, waits for the requests received before, and destroys the port | queued exceptions are declined, and no thread stays stopped for them |
//! | deregister | removes the thread from the registry | the manager does not know the thread any more |
//! | release | releases the emergency stack | no redirect can need it any more |
//! | normalize | releases the references of the kernel port that nothing owns, under the promise; reports them otherwise | any earlier code may have taken references |
//! | `pthread_exit` | called, or returned into | frees the stack and the thread's structure, and ends in the kernel's own release |
//!
//! *Normalize* leaves one user reference of the thread's kernel port, which the kernel itself releases when the thread is gone, and those
//! that rights of mach-sys own. All others were forgotten, and would leave a dead name behind forever. Releasing one takes it from any
//! other holder, and no type can see what another library holds. So forgotten references are released only under a [`SurplusPromise`], and
//! reported otherwise ([`normalize`](mod@normalize)).
//!
//! A destructor may itself attach the thread, and need not detach it. If the thread was managed before, passes are counted from the
//! beginning of its exit. In the last pass, after which no destructor of this crate is called, [`Manager::attach`] returns
//! [`AttachError::Exiting`]. A thread that was never managed before can be attached even there. While there are attached threads, the
//! exception server's thread checks for them once a second, and detaches those that are gone. [`EndStats`] counts them as ended, abnormal
//! and displaced.
//!
//! # Other components in the process
//! The page `docs/sharing-a-process.md` in the repository lists the resources that the crates take from a process and give back, and says
//! what signal handlers, crash reporters and other servers may do, on a Mac and on the emulation.
//!
//! # The end of the runtime
//! Dropping the last clone of a manager, once its threads have exited, stops its exception server. [`stop()`] then gives back the rest, so
//! that a shared library that contains the crate can be unloaded. On the emulated kernel the threads of exception servers do not keep a
//! process alive: it ends with its last other thread, also when the main thread left by `pthread_exit`. On Apple's kernel a server's thread
//! keeps the process alive until the manager is dropped.
//!
//! # After a fork
//! A child has none of its parent's ports and threads, except the thread that forked. There every value of this crate can be dropped, which
//! does nothing. A function that would need a port or another thread returns a typed error.
//!
//! # Limits
//! `pthread_cancel` on a managed thread aborts the process, as does `pthread_exit` on one that a manager started: the C library forces an
//! unwind through frames that catch panics. [`exit_now`] ends a thread early.
//!
//! When `main` returns, the main thread runs no destructors of thread-specific data: detach an attached main thread by dropping its
//! [`Attached`].
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
mod place;
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
