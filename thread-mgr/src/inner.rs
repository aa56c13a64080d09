//! What a manager and its threads have in common.

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

/// What a manager and its threads have in common.
pub(crate) struct Inner {
    /// Stopped when the last of them is gone; inert in the child of a fork.
    pub(crate) server: Server,
    pub(crate) process: Origin,
    pub(crate) mask: ExceptionMask,
    pub(crate) delivery: Delivery,
    pub(crate) promise: Option<SurplusPromise>,
    pub(crate) drain_timeout: Timeout,
    /// Bytes of a started thread's stack, unless it has a size of its own.
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

/// Managers of the process whose exception servers run.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// Returns how many managers there are, those included that only threads of theirs keep.
pub(crate) fn running() -> u32 {
    RUNNING.load(Ordering::Acquire)
}

/// Counts a manager, until its server has stopped.
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
        // A child keeps its parent's count: it cannot tell which of them were its own.
        if self.0.is_current() {
            RUNNING.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
