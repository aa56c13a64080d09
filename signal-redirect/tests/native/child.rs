//! Tests in processes of their own, on hosts whose signal frames this server can read.

#[path = "../../../tests/src/own_process.rs"]
pub(crate) mod own_process;

use mach_sys::kernel::{KERNEL, Kernel};
use std::process::ExitStatus;

/// Runs `body` in a process of its own; on Apple's kernel says that it is skipped.
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    if is_readable(name) {
        own_process::in_own_process(name, body);
    }
}

/// As [`in_child`], for a child that is expected to fail: what became of it, and what it said.
pub(crate) fn outcome(name: &str, body: impl FnOnce()) -> Option<(ExitStatus, String)> {
    is_readable(name)
        .then(|| own_process::outcome(name, body))
        .flatten()
}

fn is_readable(name: &str) -> bool {
    let readable = KERNEL == Kernel::Emulated;
    if !readable {
        own_process::report_skipped(name, "it reads Linux's signal frames");
    }
    readable
}
