//! A test in a process of its own: what it does to signal dispositions, the task's exception ports or the census is nobody else's.
//!
//! The test's program runs itself again, for this one test only, so that plain `cargo test` is enough. Other packages' tests include
//! this file by its path.
#![allow(unreachable_pub, dead_code)] // a library's part here, a test's module there

use std::io::Write;
use std::process::{Command, ExitStatus};

/// Says which test a program is to run as the child.
const MARK: &str = "MACH_TEST_CHILD";

/// Runs a test's body in a process of its own, and fails if it fails there. `name` is the test's full name.
pub fn in_own_process(name: &str, body: impl FnOnce()) {
    if let Some((status, text)) = outcome(name, body) {
        assert!(status.success(), "{status}\n{text}");
        assert!(text.contains("1 passed"), "nothing ran:\n{text}");
    }
}

/// In the parent: what became of the child, and what it said. In the child: runs the body.
pub fn outcome(name: &str, body: impl FnOnce()) -> Option<(ExitStatus, String)> {
    outcome_with(name, &[], body)
}

/// As [`outcome`], with more variables in the child's environment.
pub fn outcome_with(
    name: &str,
    environment: &[(&str, &str)],
    body: impl FnOnce(),
) -> Option<(ExitStatus, String)> {
    if std::env::var(MARK).as_deref() == Ok(name) {
        body();
        return None;
    }
    let program = std::env::current_exe().expect("the test's own program");
    let output = command(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .envs(environment.iter().copied())
        .output()
        .expect("a process");
    let text = [output.stdout, output.stderr].concat();
    Some((output.status, String::from_utf8_lossy(&text).into_owned()))
}

/// Says that a test has nothing to show on this kernel, and why. The harness keeps to itself what a passing test prints, hence this way
/// around it: a skipped test must not look like one that ran.
pub fn report_skipped(name: &str, reason: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{name}: skipped: {reason}");
}

/// Says what a test saw, where that decides nothing: behavior of Apple's kernel that nobody has seen yet. The stage repeats it.
pub fn report_seen(name: &str, what: &str) {
    // As above.
    let _ = writeln!(std::io::stderr(), "{name}: saw: {what}");
}

/// A command that runs a program of this target. Under a user-mode emulator a program cannot start another one by its path alone:
/// cargo's runner goes before it.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let runner = std::env::var("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER")
        .ok()
        .filter(|_| cfg!(target_arch = "aarch64"));
    let mut words = runner.iter().flat_map(|runner| runner.split_whitespace());
    match words.next() {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    }
}
