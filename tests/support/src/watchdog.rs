//! A scenario that hangs is a failure, not a stop of the suite.

use core::time::Duration;

/// Ends the process if it still runs after so long. For tests in a process of their own.
pub fn abort_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        eprintln!("some thread waited for ever");
        std::process::abort();
    });
}
