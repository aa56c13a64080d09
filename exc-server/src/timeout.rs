//! Limits of waits.

use crate::clock;
use core::time::Duration;

/// How long a call may block, or a deferred exception may wait for its answer.
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
    /// Without limit.
    Never,
    /// Not at all: the call returns at once if nothing is there.
    Now,
    /// For this time. The kernel counts milliseconds: a wait for a message is rounded up to them.
    After(Duration),
}

impl From<Duration> for Timeout {
    fn from(time: Duration) -> Self {
        Self::After(time)
    }
}

impl Timeout {
    /// Returns the time, which is zero for [`Now`](Self::Now); `None` for [`Never`](Self::Never).
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Now => Some(Duration::ZERO),
            Self::After(time) => Some(time),
        }
    }

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

    /// The time that is left until then, on the clock; `u64::MAX` is never.
    pub(crate) fn until(end: u64) -> Self {
        match end {
            u64::MAX => Self::Never,
            end => Self::After(Duration::from_nanos(end.saturating_sub(clock::now()))),
        }
    }

    /// The time on the clock when it is over; `u64::MAX` if never.
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
