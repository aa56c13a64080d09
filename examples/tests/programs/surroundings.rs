//! Programs in surroundings that give them less: output that cannot be written, a picture's file that cannot be, little memory.

use crate::running::{self, Ended, PROGRAMS, plain_options, run};
use examples::old_way::OldWay;
use mach_sys::rights::{Census, Source};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use test_support::emulator::is_emulated;

/// Short runs. Each prints before its end, and all of it at once or line by line.
fn short_options(name: &str) -> Vec<&'static str> {
    let more: &[&str] = match name {
        "main-job" => &["--threads", "3"],
        "process_run_function" => &["--threads", "3"],
        "cons" => &["--conses", "1000"],
        "only_server" => &["--wait", "0"],
        _ => plain_options(name),
    };
    more.to_vec()
}

fn run_to(name: &str, stdout: impl Into<Stdio>) -> Ended {
    let mut command = running::command(name);
    command.args(short_options(name));
    running::end_of(command.stdin(Stdio::null()).stdout(stdout))
}

/// A stream that nothing reads: writing to it is an error, as to a pipe.
fn broken_pipe() -> Stdio {
    let (reader, writer) = UnixStream::pair().expect("a pipe");
    drop(reader);
    OwnedFd::from(writer).into()
}

#[test]
fn every_program_says_that_its_output_cannot_be_written() {
    for (name, _) in PROGRAMS {
        let mut ends = vec![("a broken pipe", run_to(name, broken_pipe()))];
        let full = File::options().write(true).open("/dev/full");
        // Each program is run twice; an emulator takes a second for one.
        if let Some(full) = full.ok().filter(|_| !is_emulated()) {
            ends.push(("/dev/full", run_to(name, full)));
        }
        for (what, ended) in ends {
            assert_eq!(ended.code, Some(1), "{name}, {what}: {ended:?}");
            let reason = ["Broken pipe", "No space left"];
            assert!(
                reason.iter().any(|reason| ended.text.contains(reason)),
                "{name}, {what}: {ended:?}"
            );
            assert!(ended.text.starts_with(&format!("{name}: ")), "{ended:?}");
            assert!(
                !ended.text.contains("panicked"),
                "{name}, {what}: {ended:?}"
            );
        }
    }
}

#[test]
fn a_picture_that_cannot_be_written_is_an_error_before_the_work() {
    let folder = std::env::temp_dir();
    let folder = folder.to_str().expect("a path");
    for (name, options) in [
        ("process_run_function", ["--threads", "1"].as_slice()),
        ("bench_report", &["--quick", "--only", "memory"]),
    ] {
        for path in ["/no/such/folder/x.svg", folder] {
            let ended = run(name, &[options, &["--json", "--svg", path]].concat());
            assert_eq!(ended.code, Some(1), "{name}: {ended:?}");
            // Nothing else was printed: nothing was measured.
            let reason = format!("{name}: {path}: ");
            assert!(ended.text.starts_with(&reason), "{name}: {ended:?}");
        }
    }
}

#[test]
fn a_picture_takes_the_place_of_a_longer_one() {
    let svg = std::env::temp_dir().join(format!("longer-{}.svg", std::process::id()));
    std::fs::write(&svg, "x".repeat(1 << 20)).expect("a file");
    let path = svg.to_str().expect("a path");
    let ended = run("process_run_function", &["--threads", "1", "--svg", path]);
    let picture = std::fs::read_to_string(&svg).expect("a picture");
    std::fs::remove_file(&svg).expect("the picture");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
}

/// The memory that the emulated kernel reserves at its start is not there. On macOS nothing is reserved.
#[cfg(target_os = "linux")]
#[test]
fn a_kernel_that_does_not_start_is_an_error_with_its_reason() {
    // Under an emulator the limit would be the emulator's.
    let programs = if test_support::emulator::is_emulated() {
        &[][..]
    } else {
        PROGRAMS
    };
    for (name, _) in programs {
        // These are about bytes alone.
        if ["demux", "only_wire", "only_rewriter"].contains(name) {
            continue;
        }
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "ulimit -v 262144 && exec \"$0\" \"$@\""]);
        command.arg(running::path(name)).args(short_options(name));
        let ended = running::end_of(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        assert_eq!(ended.code, Some(1), "{name}: {ended:?}");
        let reason = "of address space could not be reserved";
        assert!(ended.text.contains(reason), "{name}: {ended:?}");
        assert!(!ended.text.contains("panicked"), "{name}: {ended:?}");
    }
}

/// A census that counts the server's thread, which goes away later, makes of the next run one that never settles.
#[test]
fn the_old_way_is_gone_when_it_has_stopped() {
    for round in 0..50 {
        let threads = || Census::take().expect("a census").of(Source::Thread).names;
        let before = threads();
        let old_way = OldWay::start().expect("a server");
        old_way.stop().expect("its end");
        assert_eq!(threads(), before, "round {round}");
    }
}

/// Adds the names of all fields, as `a.b`; an array's are those of its elements. A `*` stands for the names that depend on the machine
/// or on what the library counts.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            let any = path.ends_with("registers") || path.ends_with("sources");
            for (name, value) in map {
                let name = if any { "*" } else { name };
                let path = match path {
                    "" => name.to_owned(),
                    _ => format!("{path}.{name}"),
                };
                fields(value, &path, found);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            elements.iter().for_each(|value| fields(value, path, found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_fields_of_the_json_are_those_that_the_readme_lists() {
    let (_, lists) = include_str!("../../README.md")
        .split_once("\n## JSON\n")
        .expect("a section");
    for (name, options) in [
        ("bench_report", ["--quick", "--only", "leaks"].as_slice()),
        ("catch", &[]),
        ("cons", &["--conses", "1000"]),
        ("crash_reporter", &[]),
        ("debugger", &[]),
        ("demux", &[]),
        ("only_wire", &[]),
        ("overflow", &["--rounds", "1"]),
        ("ports", &[]),
        ("process_run_function", &["--threads", "1"]),
    ] {
        let ended = run(name, &[options, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        let mut found = BTreeSet::new();
        fields(&ended.json(), "", &mut found);
        let row = format!("| `{name}` | ");
        let row = lists.lines().find_map(|line| line.strip_prefix(&row));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        let listed = row.split('`').skip(1).step_by(2).map(str::to_owned);
        assert_eq!(listed.collect::<BTreeSet<_>>(), found, "{name}");
    }
}
