//! Manages a language runtime's threads: sends their faults to a signal-style handler, and ends them without leaving port names behind.
//!
//! A [`Manager`] starts threads ([`Manager::spawn`]) or takes in those that are there ([`Manager::attach`]), the main thread too.
//! Each has a route of its own to one exception server; an exception in the manager's mask makes the thread run the runtime's
//! handler, on its own stack, and go on from where it was, with the handler's edits.
//!
//! # The end of a thread
//! In one order, each step a type that only the step before can make ([`shutdown`]): *quiesce* → *unroute* → *close port* →
//! *deregister* → *release* → **normalize** → `pthread_exit`. It runs on the exiting thread, in the last of the passes that the C
//! library makes over the thread-specific-data destructors, so that other libraries' destructors may still fault and be served.
//!
//! *Normalize* leaves one user reference of the thread's kernel port, which the kernel itself releases when the thread is gone, and those
//! that rights of mach-sys own. What is above was forgotten, and would leave a dead name behind for ever. Releasing it takes it from
//! any other holder, and no type can see what another library holds: so it is done only under a [`SurplusPromise`], and reported
//! otherwise ([`normalize`](mod@normalize)).
//!
//! # After a fork
//! A child has none of its parent's ports and threads, but the thread that forked. There every value of this crate can be dropped, and does
//! nothing; what would need a port or another thread is a typed error.
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
mod promise;
mod record;
mod redirect;
mod registry;
mod report;
pub mod shutdown;
mod slot;
mod start;
mod take_in;
mod thread;
mod waiting;

pub use attach::Attached;
pub use audit::{Audit, Difference};
pub use ends::EndStats;
pub use error::{AttachError, BuildError, ExitError, JoinError, SpawnError};
pub use exit::exit_now;
pub use handle::Handle;
pub use manager::{Manager, ManagerBuilder};
pub use normalize::Normalization;
pub use outcome::{Ended, Exit};
pub use promise::SurplusPromise;
pub use redirect::RedirectStats;
pub use registry::ThreadInfo;
pub use report::ShutdownReport;
pub use thread::ThreadBuilder;
