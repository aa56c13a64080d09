//! What the ends of a manager's threads came to, all together: also of those that nobody joins.

use crate::normalize::Normalization;
use crate::shutdown::ShutdownReport;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters over all threads of a manager that ended in order or were detached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndStats {
    /// Threads that ended.
    pub ended: u64,
    /// Threads that were given back.
    pub detached: u64,
    /// Forgotten references that were released.
    pub dropped: u64,
    /// Forgotten references that were left alone.
    pub surplus: u64,
    /// Ends whose count was pegged, dead, invalid or racing.
    pub abnormal: u64,
    /// Ends and detachments past whose deadline an answer was still under way.
    pub in_flight: u64,
    /// Those that found somebody else's exception ports over the manager's, or could not put the previous ones back.
    pub displaced: u64,
}

#[derive(Debug, Default)]
pub(crate) struct EndCounters {
    ended: AtomicU64,
    detached: AtomicU64,
    dropped: AtomicU64,
    surplus: AtomicU64,
    abnormal: AtomicU64,
    in_flight: AtomicU64,
    displaced: AtomicU64,
}

impl EndCounters {
    /// Counts one end. Atomics only: this follows the normalization.
    pub(crate) fn count(&self, report: &ShutdownReport) {
        let add = |counter: &AtomicU64, by: u64| {
            counter.fetch_add(by, Ordering::Relaxed);
        };
        match report.normalization {
            None => add(&self.detached, 1),
            Some(normalization) => {
                add(&self.ended, 1);
                match normalization {
                    Normalization::AlreadyOne => {}
                    Normalization::Dropped(count) => add(&self.dropped, count.into()),
                    Normalization::Surplus(count) => add(&self.surplus, count.into()),
                    _ => add(&self.abnormal, 1),
                }
            }
        }
        add(&self.in_flight, report.in_flight.is_some().into());
        let clean = report.restored == Ok(exc_server::Restored::Clean);
        add(&self.displaced, (!clean).into());
    }

    pub(crate) fn read(&self) -> EndStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EndStats {
            ended: read(&self.ended),
            detached: read(&self.detached),
            dropped: read(&self.dropped),
            surplus: read(&self.surplus),
            abnormal: read(&self.abnormal),
            in_flight: read(&self.in_flight),
            displaced: read(&self.displaced),
        }
    }
}
