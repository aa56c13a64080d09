//! The result and the report of a started thread.

use crate::error::AttachError;
use crate::report::ShutdownReport;
use crate::slot::Slot;
use core::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The exit of a thread from its body. A panic is an error of [`Handle::join`](crate::Handle::join), not an exit.
#[must_use = "it has the value that the thread returned"]
#[derive(Debug)]
#[non_exhaustive]
pub enum Exit<T> {
    /// The body returned this value.
    Returned(T),
    /// The thread called [`exit_now`](crate::exit_now) with this value.
    Exited(usize),
}

impl<T> Exit<T> {
    /// Returns the value that the body returned; `None` if it did not return.
    #[must_use]
    pub fn returned(self) -> Option<T> {
        match self {
            Self::Returned(value) => Some(value),
            Self::Exited(_) => None,
        }
    }
}

/// The result of a thread that has exited: its exit, and the report of its shutdown.
#[must_use = "it has the value that the thread returned, and its report"]
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended<T> {
    /// The thread's exit from its body.
    pub exit: Exit<T>,
    /// The report of the thread's shutdown; `None` if the system did not run the thread's last destructors.
    pub report: Option<ShutdownReport>,
}

/// The result that a thread's entry leaves for the joining thread: an exit, or the payload of a panic.
pub(crate) type Left<T> = Result<Exit<T>, Box<dyn Any + Send>>;

/// The state that a started thread and its handle share.
pub(crate) struct Shared<T> {
    start: Mutex<Option<Result<u64, AttachError>>>,
    started: Condvar,
    pub(crate) exit: Slot<Left<T>>,
    pub(crate) report: Arc<Slot<ShutdownReport>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The value under the lock is written whole: a panic cannot leave it half changed.
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

    /// Waits until the thread runs, and returns its identifier, or the error that kept it from being attached.
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

    /// Reports the start of the calling thread, or the error, to [`wait_for_start`](Self::wait_for_start).
    pub(crate) fn report_start(&self, outcome: Result<u64, AttachError>) {
        *lock(&self.start) = Some(outcome);
        self.started.notify_one();
    }
}
