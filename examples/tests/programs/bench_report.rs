//! `bench_report`: that every row is measured, and the form of what it prints. The figures of a brief run in a test mean nothing.

use crate::running::run;
use serde_json::Value;
use test_support::isolated::report_partly;

/// Each row, and how many figures with a target it has.
const ROWS: [(&str, usize); 10] = [
    ("codec", 1),
    ("round-trip", 2),
    ("one-core", 2),
    ("crowd", 2),
    ("redirect", 1),
    ("scale", 1),
    ("threads", 1),
    ("leaks", 2),
    ("allocations", 1),
    ("memory", 3),
];

/// Says that a row was left out, if it may be.
fn report_left_out(row: &str, reason: &str) {
    const NAME: &str = "bench_report_measures_every_row";
    match (row, reason) {
        ("codec", "valgrind is not installed") => {
            report_partly(NAME, "valgrind is not installed");
        }
        ("codec", "valgrind does not run under an emulator") => {
            report_partly(NAME, "valgrind does not run under an emulator");
        }
        ("round-trip", "there is no second CPU") => {
            report_partly(NAME, "there is no second CPU");
        }
        (
            "round-trip" | "one-core" | "redirect",
            "its floor is a signal handler under the emulated Mach",
        ) => report_partly(
            NAME,
            "its floor is a signal handler under the emulated Mach",
        ),
        ("memory", "this system does not tell how many pages are resident") => {
            report_partly(
                NAME,
                "this system does not tell how many pages are resident",
            );
        }
        _ => panic!("{row} was left out: {reason}"),
    }
}

fn number(line: &Value, field: &str) -> f64 {
    let found = line[field].as_f64();
    found.unwrap_or_else(|| panic!("{field} is no number: {line}"))
}

#[test]
fn bench_report_measures_every_row() {
    let svg = std::env::temp_dir().join(format!("speed-{}.svg", std::process::id()));
    let path = svg.to_str().expect("a path");
    let ended = run("bench_report", &["--quick", "--json", "--svg", path]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let report = ended.json();
    assert_eq!(report["quick"], true, "{report}");
    let machine = report["machine"].as_str().expect("a machine");
    assert!(machine.contains("CPUs"), "{machine}");
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), ROWS.len(), "{report}");
    let picture = std::fs::read_to_string(&svg).expect("a picture");
    std::fs::remove_file(&svg).expect("the picture");
    for (row, (name, count)) in rows.iter().zip(ROWS) {
        assert_eq!(row["row"], name, "{row}");
        if let Some(reason) = row["left_out"].as_str() {
            report_left_out(name, reason);
            continue;
        }
        let lines = row["lines"].as_array().expect("lines");
        assert_eq!(lines.len(), count, "{row}");
        for line in lines {
            let (product, measured) = (number(line, "product"), number(line, "measured"));
            assert!(number(line, "target") >= 0.0, "{line}");
            let unit = line["unit"].as_str().expect("a unit");
            if unit == "µs" {
                // A time is a ratio over the floor of the same run.
                let floor = number(&line["floor"], "figure");
                assert!(product > 0.0 && floor > 0.0, "{line}");
                assert!((measured - product / floor).abs() < 1e-9, "{line}");
                let instead = line["instead"].as_array().expect("other ways");
                assert!(!instead.is_empty(), "{line}");
                for way in instead {
                    assert!(number(way, "figure") > 0.0, "{line}");
                }
            }
            let what = line["what"].as_str().expect("what it is");
            let start: String = what.chars().take(20).collect();
            assert!(picture.contains(&start), "{what} is not in {picture}");
        }
        // These two are no times: they hold in every run.
        if ["leaks", "allocations"].contains(&name) {
            for line in lines {
                assert!(number(line, "measured") <= 0.0, "{line}");
            }
        }
    }
    assert!(!picture.contains("fill=\"#fff"), "{picture}");
}

#[test]
fn bench_report_leaves_out_what_needs_two_cpus_where_it_is_told_to_keep_to_one() {
    let options = [
        "--quick",
        "--one-core",
        "--only",
        "round-trip",
        "--only",
        "threads",
    ];
    let ended = run("bench_report", &options);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    for line in [
        "machine: ",
        "round-trip: left out: --one-core",
        "spawn, route, exit, join",
    ] {
        assert!(ended.text.contains(line), "{line}: {}", ended.text);
    }
    assert!(!ended.text.contains("dispatch"), "{}", ended.text);
}
