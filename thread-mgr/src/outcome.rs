//! What a started thread leaves: its result and its report.

use crate::error::AttachError;
use crate::report::ShutdownReport;
use crate::slot::Slot;
use core::any::Any;
use core::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How a thread left its body.
pub enum Exit<T> {
    /// It returned.
    Returned(T),
    /// Through [`exit_now`](crate::exit_now), with this value.
    Exited(usize),
    /// It panicked.
    Panicked(Box<dyn Any + Send>),
}

impl<T> Exit<T> {
    /// Returns the value that the body returned, if it did.
    pub fn returned(self) -> Option<T> {
        match self {
            Self::Returned(value) => Some(value),
            Self::Exited(_) | Self::Panicked(_) => None,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Exit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(value) => f.debug_tuple("Returned").field(value).finish(),
            Self::Exited(value) => f.debug_tuple("Exited").field(value).finish(),
            Self::Panicked(_) => f.debug_tuple("Panicked").finish_non_exhaustive(),
        }
    }
}

/// The result of a thread that ended: how it left its body, and what its end found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended<T> {
    /// How it left its body.
    pub exit: Exit<T>,
    /// What its end found and did; `None` if the system did not run its last destructors.
    pub report: Option<ShutdownReport>,
}

/// What the starter and the thread have in common.
pub(crate) struct Shared<T> {
    start: Mutex<Option<Result<u64, AttachError>>>,
    started: Condvar,
    pub(crate) exit: Slot<Exit<T>>,
    pub(crate) report: Arc<Slot<ShutdownReport>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each of these is written once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Shared<T> {
    pub(crate) fn new() -> Self {
        Self {
            start: Mutex::new(None),
            started: Condvar::new(),
            exit: Slot::new(),
            report: Arc::new(Slot::new()),
        }
    }

    pub(crate) fn wait_for_start(&self) -> Result<u64, AttachError> {
        let mut start = lock(&self.start);
        loop {
            match start.take() {
                Some(outcome) => return outcome,
                None => {
                    start = self
                        .started
                        .wait(start)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    pub(crate) fn report_start(&self, outcome: Result<u64, AttachError>) {
        *lock(&self.start) = Some(outcome);
        self.started.notify_one();
    }
}
