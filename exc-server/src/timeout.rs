//! Time limits of waits.

use crate::clock;
use core::time::Duration;

/// The time that a call may block, or that a deferred exception may wait for its answer.
///
/// ```
/// use exc_server::Timeout;
/// use std::time::Duration;
///
/// assert_eq!(Timeout::from(Duration::from_secs(1)), Timeout::After(Duration::from_secs(1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// No limit.
    Never,
    /// No wait: the call returns at once if there is nothing to receive.
    Now,
    /// A wait of at most this time. A wait for a message is rounded up to whole milliseconds, the kernel's unit.
    After(Duration),
}

impl From<Duration> for Timeout {
    fn from(time: Duration) -> Self {
        Self::After(time)
    }
}

impl Timeout {
    /// Returns the time, zero for [`Now`](Self::Now); `None` for [`Never`](Self::Never).
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Now => Some(Duration::ZERO),
            Self::After(time) => Some(time),
        }
    }

    /// Returns the time in milliseconds, rounded up, at most `u32::MAX`; `None` for [`Never`](Self::Never).
    pub(crate) fn milliseconds(self) -> Option<u32> {
        match self {
            Self::Never => None,
            Self::Now => Some(0),
            Self::After(time) => {
                let milliseconds = time.as_nanos().div_ceil(1_000_000);
                Some(milliseconds.try_into().unwrap_or(u32::MAX))
            }
        }
    }

    /// Returns the time left until `end`, a time on the clock in nanoseconds; [`Never`](Self::Never) for `u64::MAX`.
    pub(crate) fn until(end: u64) -> Self {
        match end {
            u64::MAX => Self::Never,
            end => Self::After(Duration::from_nanos(end.saturating_sub(clock::now()))),
        }
    }

    /// Returns the end of the wait on the clock, in nanoseconds, if it begins at `now`; `u64::MAX` for [`Never`](Self::Never).
    pub(crate) fn deadline(self, now: u64) -> u64 {
        match self {
            Self::Never => u64::MAX,
            Self::Now => now,
            Self::After(time) => {
                let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                now.saturating_add(nanoseconds)
            }
        }
    }
}
