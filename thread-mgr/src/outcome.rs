//! The result and the report of a started thread.

use crate::error::AttachError;
use crate::report::ShutdownReport;
use crate::slot::Slot;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering, fence};
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
    start: Slot<Result<u64, AttachError>>,
    /// `true` once the starting thread waits on `started`.
    sleeps: AtomicBool,
    lock: Mutex<()>,
    started: Condvar,
    pub(crate) exit: Slot<Left<T>>,
    pub(crate) report: Arc<Slot<ShutdownReport>>,
}

/// Number of times that the starting thread gives way to other threads before it sleeps. A new thread runs at once, as a rule, so that the two
/// need not wake each other: on one processor each giving way runs the new thread, on several this bounds the time in which it begins.
const YIELDS: u32 = 64;

impl<T> Shared<T> {
    pub(crate) fn new() -> Self {
        Self {
            start: Slot::new(),
            sleeps: AtomicBool::new(false),
            lock: Mutex::new(()),
            started: Condvar::new(),
            exit: Slot::new(),
            report: Arc::new(Slot::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the thread runs, and returns its identifier, or the error that kept it from being attached.
    pub(crate) fn wait_for_start(&self) -> Result<u64, AttachError> {
        for _ in 0..YIELDS {
            if let Some(outcome) = self.start.take() {
                return outcome;
            }
            std::thread::yield_now();
        }
        let mut lock = self.lock();
        self.sleeps.store(true, Ordering::Relaxed);
        // Either `take` below finds the outcome, or `report_start` finds the store above.
        fence(Ordering::SeqCst);
        loop {
            if let Some(outcome) = self.start.take() {
                return outcome;
            }
            lock = self
                .started
                .wait(lock)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reports the start of the calling thread, or the error, to [`wait_for_start`](Self::wait_for_start).
    pub(crate) fn report_start(&self, outcome: Result<u64, AttachError>) {
        self.start.put(outcome);
        fence(Ordering::SeqCst);
        if self.sleeps.load(Ordering::Relaxed) {
            // Under the lock, the other thread waits, or has found the outcome.
            drop(self.lock());
            self.started.notify_one();
        }
    }
}
