//! Programs about port names: `ports`, `process_run_function`, `only_threads`.

use crate::running::run;
use serde_json::Value;

#[test]
fn ports_shows_what_a_server_holds_and_that_it_gives_it_back() {
    let ended = run("ports", &["server", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let census = ended.json();
    assert_eq!(census["leak_free"], true, "{census}");
    let routes = &census["sources"]["routes"];
    assert_eq!(routes["at_its_end"]["names"], 1, "{census}");
    assert_eq!(routes["after"]["names"], 0, "{census}");
    let names = census["names"].as_array().expect("names");
    assert!(
        names.iter().any(|name| name["source"] == "routes"),
        "{census}"
    );
}

#[test]
fn ports_shows_the_leak_of_the_old_way() {
    let ended = run("ports", &["old-way", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let census = ended.json();
    assert_eq!(census["leak_free"], false, "{census}");
    let dead = &census["sources"]["dead names"];
    assert_eq!(dead["change"]["names"], 10, "{census}");
    assert_eq!(dead["is_leak"], true, "{census}");
    // Three faults of ten threads each brought a reference on the task.
    let tasks = &census["sources"]["tasks"];
    assert_eq!(tasks["change"]["references"], 30, "{census}");
}

#[test]
fn ports_finds_nothing_where_nothing_is_left() {
    for what in ["nothing", "threads", "ports"] {
        let ended = run("ports", &[what, "--json"]);
        assert_eq!(ended.json()["leak_free"], true, "{what}: {}", ended.text);
    }
}

#[test]
fn process_run_function_draws_the_leak_and_the_cure() {
    let svg = std::env::temp_dir().join(format!("leak-{}.svg", std::process::id()));
    let path = svg.to_str().expect("a path");
    let ended = run(
        "process_run_function",
        &["--threads", "60", "--faults", "2", "--json", "--svg", path],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let figures = ended.json();
    let last = |run: &str, figure: &str| {
        let samples = figures[run].as_array().expect("samples");
        assert_eq!(samples.len(), 21, "{figures}");
        assert_eq!(samples[20]["threads"], 60, "{figures}");
        samples[20][figure].as_i64().expect("a number")
    };
    // Each thread left its name, and its port's references: its own, and one for each fault, on the thread and on the task.
    assert!(last("old_way", "names") >= 60, "{figures}");
    assert!(
        last("old_way", "references") >= 60 * (1 + 2 * 2),
        "{figures}"
    );
    assert!(last("thread_mgr", "references") <= 0, "{figures}");
    let picture = std::fs::read_to_string(&svg).expect("a picture");
    std::fs::remove_file(&svg).expect("the picture");
    // Two charts with two lines, and the legend's two.
    assert_eq!(
        picture.matches("stroke-width=\"3\"").count(),
        8,
        "{picture}"
    );
    assert!(picture.contains("user references left"), "{picture}");
}

#[test]
fn only_threads_reports_the_references_that_were_forgotten() {
    let ended = run("only_threads", &["--forget", "5"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    for line in [
        "Dropped(5)",
        "exit 7       AlreadyOne",
        "panicked     AlreadyOne",
    ] {
        assert!(ended.text.contains(line), "{line}: {}", ended.text);
    }
}

#[test]
fn only_server_answers_each_request_once() {
    let ended = run("only_server", &["--wait", "0"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(
        ended.text.contains("resumed: 1, declined: 0"),
        "{}",
        ended.text
    );
    assert!(
        ended.text.contains("deferred: 1, expired: 0"),
        "{}",
        ended.text
    );
}

#[test]
fn main_job_is_what_runs_without_a_name() {
    let manifest = include_str!("../../Cargo.toml");
    let default = manifest
        .lines()
        .find_map(|line| line.strip_prefix("default-run = "));
    assert_eq!(default.map(Value::from), Some(Value::from("\"main-job\"")));
}
