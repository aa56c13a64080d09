//! The state that a manager and its threads share.

use crate::emergency::Stacks;
use crate::ends::EndCounters;
use crate::promise::SurplusPromise;
use crate::record::Records;
use crate::redirect::Counters;
use crate::registry::Registry;
use core::fmt;
use exc_server::{Delivery, Server, Timeout};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system::Origin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The state that a manager and its threads share.
pub(crate) struct Inner {
    /// The exception server. It stops when the last clone of the manager and the last thread are gone; inert in the child of a fork.
    pub(crate) server: Server,
    pub(crate) process: Origin,
    pub(crate) mask: ExceptionMask,
    pub(crate) delivery: Delivery,
    pub(crate) promise: Option<SurplusPromise>,
    pub(crate) drain_timeout: Timeout,
    /// The stack size in bytes of a started thread that has no size of its own; `None` for the system's default.
    pub(crate) thread_stack_size: Option<usize>,
    pub(crate) records: Arc<Records>,
    pub(crate) stacks: Stacks,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ends: Arc<EndCounters>,
    pub(crate) counters: Arc<Counters>,
    /// Dropped after the server.
    pub(crate) _counted: Counted,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("server", &self.server)
            .field("mask", &self.mask)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

/// Number of managers in the process whose exception servers run.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// Returns the number of managers in the process, including dropped ones whose threads still run.
pub(crate) fn running() -> u32 {
    RUNNING.load(Ordering::Acquire)
}

/// Counts a manager in [`RUNNING`] until it is dropped, after its server has stopped.
#[derive(Debug)]
pub(crate) struct Counted(Origin);

impl Counted {
    pub(crate) fn new() -> Self {
        RUNNING.fetch_add(1, Ordering::AcqRel);
        Self(Origin::current())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // In the child of a fork the parent's managers stay counted: their servers are not there to be stopped.
        if self.0.is_current() {
            RUNNING.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
