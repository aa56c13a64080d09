//! A test in a process of its own.

use std::process::{Command, ExitStatus};

const MARK: &str = "SIGNAL_REDIRECT_CHILD";

/// Runs `body` in a process of its own and fails if it fails.
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    if let Some((status, text)) = run(name, body) {
        assert!(status.success(), "{status}\n{text}");
        assert!(text.contains("1 passed"), "nothing ran:\n{text}");
    }
}

/// In the parent: what became of the child, and what it said. In the child: runs `body`.
pub(crate) fn run(name: &str, body: impl FnOnce()) -> Option<(ExitStatus, String)> {
    if std::env::var_os(MARK).is_some() {
        body();
        return None;
    }
    let exe = std::env::current_exe().unwrap();
    // Under an emulator a program cannot start another one by its path alone.
    let runner = std::env::var("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER");
    let mut command = match runner {
        Ok(runner) if cfg!(target_arch = "aarch64") => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().unwrap());
            command.args(words).arg(exe);
            command
        }
        _ => Command::new(exe),
    };
    let output = command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((output.status, String::from_utf8_lossy(&text).into_owned()))
}
