//! The tests' own tools: a test that hangs ends by itself, and what a child reports is not lost.

use core::time::Duration;
use std::process::Command;
use std::time::Instant;
use tests::isolated::{exit_status, run_within};

#[test]
fn a_program_that_does_not_end_is_ended_though_another_has_its_pipes() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo begun; sleep 12 & exec sleep 600"]);
    let began = Instant::now();
    let (status, text) = run_within(Duration::from_secs(1), command);
    assert!(!status.success(), "{status}");
    assert!(
        text.contains("begun") && text.contains("did not end"),
        "{text}"
    );
    assert!(began.elapsed() < Duration::from_secs(11), "{began:?}");
}

#[test]
fn a_program_that_ends_is_waited_for_and_heard_to_its_end() {
    let mut command = Command::new("sh");
    command.args(["-c", "seq 20000; echo to stderr >&2; exit 3"]);
    let (status, text) = run_within(Duration::from_secs(60), command);
    assert_eq!(status.code(), Some(3));
    assert!(text.contains("\n20000\n") && text.contains("to stderr"));
    assert!(!text.contains("did not end"));
}

/// The report of the child's child would be counted as this test's own: the harness between keeps it.
#[test]
fn what_a_child_reports_is_said_again_by_its_parent() {
    const NAME: &str = "what_a_child_reports_is_said_again_by_its_parent";
    let said = format!("inner_test: {}: nothing is there", "skipped");
    if std::env::var_os("MACH_TEST_HARNESS").is_none() {
        let program = std::env::current_exe().expect("the test's own program");
        let mut parent = tests::isolated::command(program);
        parent
            .args(["--exact", NAME])
            .env("MACH_TEST_HARNESS", "parent");
        let (status, text) = run_within(Duration::from_secs(60), parent);
        assert!(status.success(), "{status}\n{text}");
        assert_eq!(text.matches(&said).count(), 1, "{text}");
        return;
    }
    // The parent, and its child: the harness of neither shows what a passing test says.
    let ended = exit_status(NAME, || {
        eprintln!("{said}\n{said}");
    });
    if let Some((status, text)) = ended {
        assert!(status.success(), "{status}\n{text}");
    }
}
