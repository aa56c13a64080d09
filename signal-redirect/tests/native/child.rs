//! Tests in processes of their own, with a time limit.

pub(crate) use test_support::isolated;
use test_support::watchdog;

use core::time::Duration;
use std::process::ExitStatus;

use crate::machine;

/// Says how handlers return in the child.
const WAY: &str = "SIGNAL_REDIRECT_WAY_BACK";
const TRAP: &str = "trap";
const DIRECT: &str = "direct";

/// Returns whether handlers are to return directly in this process, where the machine can.
pub(crate) fn returns_directly() -> bool {
    std::env::var(WAY).as_deref() == Ok(DIRECT)
}

/// Runs `body` in processes of its own, if the processor has the instructions that these tests use: in one whose handlers return by the
/// trap, and in one whose handlers return directly.
pub(crate) fn in_child(name: &str, body: impl Fn()) {
    if !can_run(name) {
        return;
    }
    for way in [TRAP, DIRECT] {
        let ended = isolated::exit_status_with(name, &[(WAY, way)], || watched(&body));
        let Some((status, text)) = ended else {
            // In the child.
            return;
        };
        assert!(status.success(), "by {way}: {status}\n{text}");
        assert!(text.contains("1 passed"), "nothing ran:\n{text}");
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
