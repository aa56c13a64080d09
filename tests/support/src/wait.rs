//! Waiting for a condition, with a bound.

use core::fmt::Display;
use core::time::Duration;
use std::time::Instant;

/// Time that a condition may take: longer than any thread of a loaded machine is kept waiting.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
///
/// # Panics
/// If it does not within a minute. `what` says what was waited for.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for_ok(what, || holds().then_some(()).ok_or("not so"));
}

/// Calls `attempt` until it succeeds, and returns its value.
///
/// # Panics
/// If it still fails after a minute, with its last error. `what` says what was waited for.
pub fn wait_for_ok<T, E: Display>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) if Instant::now() >= deadline => {
                panic!("waited in vain for {what}: {error}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
