//! The main job as a test: small, and with the old way before it.

use test_support::isolated;

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = isolated::command(env!("CARGO_BIN_EXE_main-job"))
        .args(arguments)
        .output()
        .expect("the program");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn every_kind_of_fault_is_handled_and_nothing_is_left() {
    let (code, text) = run(&["--threads", "40", "--faults", "3", "--at-once", "16"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("no difference"), "{text}");
    // What is left is listed by source, whatever the verdict follows from.
    for source in ["threads", "tasks", "dead names", "routes", "owned rights"] {
        assert!(
            text.contains(&format!("{source:<28} {:>8} {:>11}\n", 0, 0)),
            "{text}"
        );
    }
    assert!(text.contains("no leak"), "{text}");
    assert!(
        text.contains("normalization released 4 user references"),
        "{text}"
    );
}

#[test]
fn the_old_way_leaves_a_dead_name_for_every_thread() {
    let (code, text) = run(&["--threads", "16", "--faults", "1", "--old-way"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("16 dead names"), "{text}");
}
