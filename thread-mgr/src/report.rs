//! What the end of a thread found and did.

use crate::normalize::Normalization;
use exc_server::{InFlight, InstallError, Restored};

/// What the end of a thread found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The answers that were still under way when the wait for them timed out. Then nothing is trimmed, and what the answers may
    /// still write to, the emergency stack, is left mapped for good.
    pub in_flight: Option<InFlight>,
    /// What putting the previous exception ports back found, or the kernel's refusal, such as of a thread that is gone.
    pub restored: Result<Restored, InstallError>,
    /// How many user references the name of the thread's kernel port had more, at the end, than when the thread was taken in. The
    /// main thread may start with two (D1.3), which is why this compares. `None` where there is nothing to compare: a pegged count, a
    /// name that is no send right.
    pub gained: Option<i64>,
    /// References on that name which rights of mach-sys owned at the end, such as another server's route on the thread. They are
    /// left to their owners, which release them when they are dropped.
    pub owned: u32,
    /// What the name held beside those, and what was done about it. `None` for a thread that was detached, not ended.
    pub normalization: Option<Normalization>,
}
