//! Totals over all threads of a manager that exited or detached, whether joined or not.

use crate::normalize::Normalization;
use crate::report::ShutdownReport;
use std::sync::atomic::{AtomicU64, Ordering};

/// Totals over all threads of a manager that exited or were detached, whether joined or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndStats {
    /// Threads that exited.
    pub ended: u64,
    /// Threads that were detached.
    pub detached: u64,
    /// References without an owner that were released ([`Normalization::Dropped`]).
    pub dropped: u64,
    /// References without an owning right that were left alone ([`Normalization::Surplus`]).
    pub surplus: u64,
    /// References that rights of mach-sys owned at the exit or detachment.
    pub owned: u64,
    /// Exits whose reference count could not be normalized: saturated, too low, dead name, invalid name, or changed concurrently.
    /// Includes exits of attached threads that could not shut themselves down: attached too late, or ended by a bare system call.
    pub abnormal: u64,
    /// Exits and detachments whose wait for an answer in flight timed out.
    pub in_flight: u64,
    /// Exits and detachments that found other exception ports in place of the manager's, or could not put the previous ones back.
    pub displaced: u64,
}

#[derive(Debug, Default)]
pub(crate) struct EndCounters {
    ended: AtomicU64,
    detached: AtomicU64,
    dropped: AtomicU64,
    surplus: AtomicU64,
    owned: AtomicU64,
    abnormal: AtomicU64,
    in_flight: AtomicU64,
    displaced: AtomicU64,
}

impl EndCounters {
    /// Counts one thread. Uses atomics only: no port may be touched after the normalization.
    pub(crate) fn count(&self, report: &ShutdownReport) {
        let add = |counter: &AtomicU64, by: u64| {
            counter.fetch_add(by, Ordering::Relaxed);
        };
        match report.normalization {
            None => add(&self.detached, 1),
            Some(normalization) => {
                add(&self.ended, 1);
                match normalization {
                    Normalization::AlreadyOne | Normalization::Owned(_) => {}
                    Normalization::Dropped(count) => add(&self.dropped, count.into()),
                    Normalization::Surplus(count) => add(&self.surplus, count.into()),
                    _ => add(&self.abnormal, 1),
                }
            }
        }
        add(&self.owned, report.owned.into());
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
            owned: read(&self.owned),
            abnormal: read(&self.abnormal),
            in_flight: read(&self.in_flight),
            displaced: read(&self.displaced),
        }
    }
}
