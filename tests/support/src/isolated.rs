//! A test in a process of its own: what it does to signal dispositions, the task's exception ports or the census affects no other test.
//!
//! The test's program runs itself again, for this one test only, so that plain `cargo test` is enough.

use crate::emulator::runner;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Says which test a program is to run as the child.
const MARK: &str = "MACH_TEST_CHILD";

/// Runs a test's body in a process of its own. `name` is the test's full name.
///
/// # Panics
/// If the body panics or ends the process in the child, if the child runs longer than the limit, or if no test has this name.
pub fn isolated(name: &str, body: impl FnOnce()) {
    if let Some((status, text)) = exit_status(name, body) {
        assert!(status.success(), "{status}\n{text}");
        assert!(text.contains("1 passed"), "nothing ran:\n{text}");
    }
}

/// In the parent, starts the child and returns its exit status and output. In the child, runs the body and returns `None`.
///
/// A child that runs longer than the limit is killed, which its exit status shows.
///
/// # Panics
/// If the child cannot be started.
pub fn exit_status(name: &str, body: impl FnOnce()) -> Option<(ExitStatus, String)> {
    exit_status_with(name, &[], body)
}

/// Does the same as [`exit_status`], with more variables in the child's environment.
///
/// # Panics
/// If the child cannot be started.
pub fn exit_status_with(
    name: &str,
    environment: &[(&str, &str)],
    body: impl FnOnce(),
) -> Option<(ExitStatus, String)> {
    if std::env::var(MARK).as_deref() == Ok(name) {
        body();
        return None;
    }
    let program = std::env::current_exe().expect("the test's own program");
    let mut child = command(program);
    child
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .envs(environment.iter().copied());
    let (status, text) = run_within(limit(), child);
    repeat_reports(&text);
    Some((status, text))
}

/// Returns the time that a child may run: longer than any watchdog inside a test, which says more. `MACH_TEST_LIMIT` sets it, in seconds.
fn limit() -> Duration {
    let seconds = std::env::var("MACH_TEST_LIMIT").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(600))
}

/// Runs a program and returns its exit status and output. Kills it after `limit`, and says so at the end of the output.
///
/// # Panics
/// If the program cannot be started.
pub fn run_within(limit: Duration, command: Command) -> (ExitStatus, String) {
    try_run_within(limit, command).expect("a process")
}

/// As [`run_within`], without a panic for a program that does not start.
///
/// # Errors
/// The system's error: the program, or a thread that reads its output, could not be started.
///
/// # Panics
/// If the system loses the program once it was started.
pub fn try_run_within(limit: Duration, mut command: Command) -> io::Result<(ExitStatus, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = [
        collect(child.stdout.take().expect("a pipe")),
        collect(child.stderr.take().expect("a pipe")),
    ];
    let output = match output {
        [Ok(stdout), Ok(stderr)] => [stdout, stderr],
        [Err(error), _] | [_, Err(error)] => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    };
    let end = Instant::now().checked_add(limit);
    let ended = wait_until(&mut child, end);
    let status = ended.unwrap_or_else(|| {
        let _ = child.kill();
        child.wait().expect("a process that ends when it is killed")
    });
    // A grandchild may have the pipes still: what it says later is not waited for.
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut text: Vec<u8> = Vec::new();
    for pipe in output {
        while let Ok(part) = pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            text.extend(part);
        }
    }
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if ended.is_none() {
        text.push_str(&format!(
            "\nit did not end within {limit:?}, and was killed\n"
        ));
    }
    Ok((status, text))
}

fn wait_until(child: &mut Child, end: Option<Instant>) -> Option<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().expect("a process of this one") {
            return Some(status);
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Reads a pipe on a thread, and sends what it reads, part by part, until the pipe is closed.
fn collect(mut pipe: impl Read + Send + 'static) -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (send, parts) = mpsc::channel();
    std::thread::Builder::new().spawn(move || {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut part) {
            if send.send(part[..length].to_vec()).is_err() {
                return;
            }
        }
    })?;
    Ok(parts)
}

/// Says again what a child reported, once each: its output is shown only if it fails.
pub fn repeat_reports(text: &str) {
    let mut said: Vec<&str> = Vec::new();
    for line in text.lines() {
        let is_report = [": skipped: ", ": skipped in part: ", ": saw: "]
            .iter()
            .any(|mark| line.contains(mark));
        if is_report && !said.contains(&line) {
            said.push(line);
            say(line);
        }
    }
}

/// Says that a test has nothing to show on this kernel, and why. The harness keeps to itself what a passing test prints, hence this way
/// around it: a skipped test must not look like one that ran.
pub fn report_skipped(name: &str, reason: &str) {
    say(&format!("{name}: skipped: {reason}"));
}

/// In one piece: what the harness and other tests say meanwhile would come into the middle of it, and the stage would not know it for a
/// report.
fn say(line: &str) {
    // Where stderr is closed there is no reader.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Says that a test left a part out on this system, and which, and why; the rest of it ran.
pub fn report_partly(name: &str, reason: &str) {
    say(&format!("{name}: skipped in part: {reason}"));
}

/// Says what a test saw, where that decides nothing: behavior of Apple's kernel that was never seen. The stage repeats it.
pub fn report_seen(name: &str, what: &str) {
    say(&format!("{name}: saw: {what}"));
}

/// A command that runs a program of this target. Under a user-mode emulator a program cannot start another one by its path alone:
/// cargo's runner goes before it.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let runner = runner();
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
