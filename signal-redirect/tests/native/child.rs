//! Tests in processes of their own, with a time limit.

pub(crate) use test_support::isolated;
use test_support::watchdog;

use core::time::Duration;
use std::process::ExitStatus;

use crate::machine;

/// Runs `body` in a process of its own, if the processor has the instructions that these tests use.
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    if can_run(name) {
        isolated::isolated(name, || watched(body));
    }
}

/// Runs `body` in a child that is expected to fail, and returns its exit status and its output. Otherwise like [`in_child`].
pub(crate) fn exit_status(name: &str, body: impl FnOnce()) -> Option<(ExitStatus, String)> {
    can_run(name)
        .then(|| isolated::exit_status(name, || watched(body)))
        .flatten()
}

/// Runs `body`, and aborts the process after 240 seconds.
pub(crate) fn watched<T>(body: impl FnOnce() -> T) -> T {
    watchdog::abort_after(Duration::from_secs(240));
    body()
}

fn can_run(name: &str) -> bool {
    let can = machine::has_enough();
    if !can {
        isolated::report_skipped(name, "this processor, or Rosetta, has no XSAVE with AVX");
    }
    can
}
