//! A server's counters.

use crate::answer::Outcome;
use core::sync::atomic::{AtomicU64, Ordering};

/// Counters since the server's start. They are read one by one, so that their sum may miss requests answered meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests whose thread was resumed.
    pub resumed: u64,
    /// Requests declined, including dropped ones and those of closed routes.
    pub declined: u64,
    /// Requests that the displaced handler handled.
    pub forwarded: u64,
    /// Requests deferred. Their later answers are not counted.
    pub deferred: u64,
    /// Deferred requests that were declined because their deadline passed.
    pub expired: u64,
    /// Replies that could not be delivered, including those to deferred requests: the thread was terminated, its wait was aborted, or the
    /// reply port is full. Each request is also counted above, by its answer or as deferred. Most late replies are not counted here: if
    /// the reply port died after the request was received, the kernel accepts the reply and drops it (C10.2).
    pub unwanted: u64,
    /// Declined requests that arrived after their route was closed.
    pub stale: u64,
    /// Declined requests of another task than the route's, for example of children, which inherit a task's registration.
    pub foreign: u64,
    /// Messages that were not exception requests.
    pub malformed: u64,
    /// Calls of the handler that panicked. A request that was not answered before the panic is also counted as declined.
    pub panicked: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    resumed: AtomicU64,
    declined: AtomicU64,
    forwarded: AtomicU64,
    deferred: AtomicU64,
    unwanted: AtomicU64,
    stale: AtomicU64,
    foreign: AtomicU64,
    malformed: AtomicU64,
    panicked: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Resumed => &self.resumed,
            Outcome::Declined => &self.declined,
            Outcome::Forwarded => &self.forwarded,
            Outcome::Deferred => &self.deferred,
            Outcome::Unwanted => &self.unwanted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            resumed: read(&self.resumed),
            declined: read(&self.declined),
            forwarded: read(&self.forwarded),
            deferred: read(&self.deferred),
            expired: 0,
            unwanted: read(&self.unwanted),
            stale: read(&self.stale),
            foreign: read(&self.foreign),
            malformed: read(&self.malformed),
            panicked: read(&self.panicked),
        }
    }
}
