//! Waiting for a condition, with a bound.

use core::time::Duration;
use std::time::Instant;

/// How long a condition may take: longer than any thread of a loaded machine is kept waiting.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
///
/// # Panics
/// If it does not within a minute. `what` says what was waited for.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
