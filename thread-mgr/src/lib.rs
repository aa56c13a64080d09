//! Threads of a language runtime: faults become a signal-style handler's, and their end leaves nothing behind.
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
//! *Normalize* makes the user references of the thread's kernel port exactly 1: the one that the kernel itself releases when the
//! thread is gone. What is above 1 was forgotten by somebody, and would leave a dead name behind for ever. Releasing it takes it from
//! whoever holds it, and no type can see what another library holds: so it is done only under a [`SurplusPromise`], and reported
//! otherwise ([`normalize`](mod@normalize)).
//!
//! # Limits
//! `pthread_cancel` on a managed thread aborts the process: the C library unwinds by force, through frames that catch panics.
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
mod manager;
pub mod normalize;
mod promise;
mod record;
mod redirect;
mod registry;
pub mod shutdown;
mod slot;
mod thread;

pub use attach::Attached;
pub use audit::{Audit, Difference};
pub use ends::EndStats;
pub use error::{AttachError, BuildError, ExitError, JoinError, SpawnError};
pub use exit::exit_now;
pub use manager::{Builder, Manager, ThreadInfo};
pub use normalize::Normalization;
pub use promise::SurplusPromise;
pub use redirect::RedirectStats;
pub use shutdown::ShutdownReport;
pub use thread::{Ended, Exit, Handle, ThreadBuilder};
