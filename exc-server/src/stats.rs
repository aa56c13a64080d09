//! A server's counters.

use crate::answer::Outcome;
use core::sync::atomic::{AtomicU64, Ordering};

/// Counters since the server's start. Read one by one: their sum may be off by what happens meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests whose thread was resumed.
    pub resumed: u64,
    /// Requests declined, dropped ones and those of stale routes included.
    pub declined: u64,
    /// Requests that the displaced handler answered.
    pub forwarded: u64,
    /// Requests deferred. How they were answered is not counted.
    pub deferred: u64,
    /// Of the deferred ones, those that were declined because their deadline passed.
    pub expired: u64,
    /// Replies that the kernel refused, to deferred requests included: nothing waits for them, since the thread was terminated or its wait
    /// aborted, or the reply port is full. Each request is also counted above, by its answer or as deferred. Most late replies are
    /// not refused: the kernel takes a reply whose port died after the request was received, and drops it (C10.2).
    pub unwanted: u64,
    /// Of the declined ones, those that came late: their route was closed.
    pub stale: u64,
    /// Of the declined ones, those of another task than the route's: of children, which inherit a task's registration.
    pub foreign: u64,
    /// Messages that were not exception requests.
    pub malformed: u64,
    /// Handlers that panicked. Requests that they had not answered were declined, and are counted there.
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
