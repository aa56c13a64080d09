//! The report of a thread's shutdown.

use crate::normalize::Normalization;
use exc_server::{InFlight, InstallError, Restored};

/// Tells what the shutdown of a thread found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The answers that were still in flight when the wait for them timed out. Then nothing is trimmed, and the emergency stack, which
    /// they may still write to, stays mapped for good.
    pub in_flight: Option<InFlight>,
    /// What was found when the previous exception ports were put back, or the kernel's refusal, for example for a thread that is gone.
    pub restored: Result<Restored, InstallError>,
    /// How many more user references the name of the thread's kernel port had than when the thread was started or attached. The main
    /// thread may start with two (D1.3). `None` if they cannot be counted: a saturated count, a name that is no send right.
    pub gained: Option<i64>,
    /// Number of references on that name that rights of mach-sys owned, such as another server's route on the thread. They are left to
    /// these rights, which release them when they are dropped.
    pub owned: u32,
    /// What the name held beside those, and what was done about it. `None` for a thread that was detached.
    pub normalization: Option<Normalization>,
}
