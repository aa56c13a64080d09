//! Runs a program and reads what it prints.

use test_support::emulator::is_emulated;
use test_support::isolated;

use serde_json::Value;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Each program, and what it prints when all is well.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    ("bench_report", "memory of a route"),
    ("catch", "EXC_BAD_ACCESS: KERN_INVALID_ADDRESS at 0x10"),
    ("cons", "every list is whole"),
    (
        "crash_reporter",
        "the runtime repaired 1; the reporter wrote 1",
    ),
    ("debugger", "handles"),
    ("demux", "EXC_BAD_ACCESS: KERN_INVALID_ADDRESS at 0x18"),
    ("main-job", "no difference"),
    ("only_rewriter", "every register is as it was"),
    ("only_server", "went on behind the second store"),
    ("only_threads", "no leak"),
    ("only_wire", "mach_exception_raise_state_identity_protected"),
    ("overflow", "6 overflows handled"),
    ("ports", "no leak"),
    ("process_run_function", "thread-mgr: no leak"),
];

/// The options of a program's plain run: the default ones, but for a bench, which would run for minutes, and for what takes minutes where a
/// processor is emulated.
pub(crate) fn plain_options(name: &str) -> &'static [&'static str] {
    match (name, is_emulated()) {
        ("bench_report", _) => &["--quick", "--only", "memory"],
        ("main-job", true) => &["--threads", "60"],
        ("cons", true) => &["--conses", "200000"],
        ("process_run_function", true) => &["--threads", "60"],
        _ => &[],
    }
}

/// The end of a program: its exit status and its output.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// Standard output, then standard error.
    pub(crate) text: String,
}

impl Ended {
    /// Returns the JSON that the program printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The path of a program of this package.
pub(crate) fn path(name: &str) -> &'static str {
    macro_rules! find {
        ($($program:literal)*) => {
            match name {
                $($program => env!(concat!("CARGO_BIN_EXE_", $program)),)*
                _ => panic!("there is no program {name}"),
            }
        };
    }
    find!(
        "bench_report" "catch" "cons" "crash_reporter" "debugger" "demux" "main-job" "only_rewriter" "only_server" "only_threads" "only_wire" "overflow"
        "ports" "process_run_function"
    )
}

/// The command of a program.
pub(crate) fn command(name: &str) -> Command {
    isolated::command(path(name))
}

/// Runs a program to its end.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Ended {
    let mut command = command(name);
    command.args(arguments);
    let (status, text) = isolated::run_within(Duration::from_secs(300), command);
    Ended {
        code: status.code(),
        signal: status.signal(),
        text,
    }
}

/// Runs a program with something to read.
pub(crate) fn run_with_input(name: &str, arguments: &[&str], input: &str) -> Ended {
    let mut child = command(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(input.as_bytes()).expect("it reads");
    drop(pipe);
    end(child)
}

/// Runs a command with the standard input and output that it is given.
pub(crate) fn end_of(command: &mut Command) -> Ended {
    end(command.stderr(Stdio::piped()).spawn().expect("a process"))
}

fn end(child: Child) -> Ended {
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    Ended {
        code: output.status.code(),
        signal: output.status.signal(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}
