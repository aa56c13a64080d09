//! The report of a thread's shutdown.

use crate::normalize::Normalization;
use exc_server::{InFlight, InstallError, Restored};

/// The findings and actions of a thread's shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The answers that were still in flight when the wait for them timed out; `None` if there were none. With answers in flight nothing is
    /// trimmed, and the emergency stack, which they may still write to, stays mapped for good.
    pub in_flight: Option<InFlight>,
    /// The exception ports found when the previous ones were put back, or the kernel's error, for example for a thread that is gone.
    pub restored: Result<Restored, InstallError>,
    /// Number of user references that the name of the thread's kernel port gained since the thread was started or attached. The main
    /// thread may start with two (D1.3). `None` if they cannot be counted: the count is saturated, or the name is no send right.
    pub gained: Option<i64>,
    /// Number of references on that name that rights of mach-sys owned, such as another server's route on the thread. They are left to
    /// these rights, which release them when they are dropped.
    pub owned: u32,
    /// The other references that the name held, and the action taken. `None` for a thread that was detached.
    pub normalization: Option<Normalization>,
}
