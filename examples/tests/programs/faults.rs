//! Programs about faults: `catch`, `cons`, `overflow`, `debugger`, `crash_reporter`.

use crate::running::run;
use mach_sys::darwin::DarwinSignal;
use serde_json::Value;

/// The fault, the exception, and the signal that the handler gets.
const FAULTS: &[(&str, &str, &str)] = &[
    ("null-store", "EXC_BAD_ACCESS", "SIGSEGV"),
    ("undefined-instruction", "EXC_BAD_INSTRUCTION", "SIGILL"),
    ("breakpoint", "EXC_BREAKPOINT", "SIGTRAP"),
    ("stack-overflow", "EXC_BAD_ACCESS", "SIGBUS"),
];

#[test]
fn catch_decodes_each_fault_names_the_functions_and_goes_on() {
    for &(fault, exception, signal) in FAULTS {
        let ended = run("catch", &[fault, "--json"]);
        assert_eq!(ended.code, Some(0), "{fault}: {}", ended.text);
        let report = ended.json();
        assert_eq!(report["exception"], exception, "{fault}: {report}");
        assert_eq!(report["signal"], signal, "{fault}: {report}");
        let frames = report["backtrace"].as_array().expect("frames");
        // The innermost frame may be a call within it.
        let names = frames.iter().filter_map(Value::as_str);
        let in_the_fault = |name: &str| name.contains("examples::fault::");
        assert!(names.take(2).any(in_the_fault), "{fault}: {report}");
        if fault != "stack-overflow" {
            // And it goes on past it, to the callers.
            let caller = "examples::escape::call_raw";
            assert!(
                frames.iter().any(|frame| frame == caller),
                "{fault}: {report}"
            );
        }
    }
}

#[test]
fn catch_takes_a_division_by_zero_where_the_machine_traps_it() {
    let ended = run("catch", &["divide-by-zero"]);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(ended.code, Some(0), "{}", ended.text);
        assert!(
            ended.text.contains("EXC_ARITHMETIC: divide error"),
            "{}",
            ended.text
        );
    } else {
        assert_eq!(ended.code, Some(1), "{}", ended.text);
        assert!(ended.text.contains("does not trap"), "{}", ended.text);
    }
}

#[test]
fn catch_dies_of_the_fault_that_it_leaves_alone() {
    for (fault, signal) in [
        ("null-store", DarwinSignal::SEGV),
        ("undefined-instruction", DarwinSignal::ILL),
    ] {
        let ended = run("catch", &[fault, "--then", "die"]);
        assert_eq!(ended.signal, signal.to_system(), "{ended:?}");
        assert!(ended.text.contains("backtrace"), "{ended:?}");
        assert!(!ended.text.contains("went on"), "{ended:?}");
    }
}

#[test]
fn cons_collects_by_faults_and_loses_nothing() {
    let ended = run(
        "cons",
        &[
            "--conses", "300000", "--young", "4", "--old", "64", "--json",
        ],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let figures = ended.json();
    assert_eq!(figures["sums_are_right"], true, "{figures}");
    for figure in [
        "minor_collections",
        "major_collections",
        "copied",
        "writes_noted",
    ] {
        assert!(figures[figure].as_u64() > Some(0), "{figure}: {figures}");
    }
}

#[test]
fn overflow_ends_each_recursion_at_the_same_depth_on_both_stacks() {
    let ended = run("overflow", &["--rounds", "5", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let figures = ended.json();
    assert_eq!(figures["handled"], 10, "{figures}");
    for stack in ["thread", "fiber"] {
        let depths = figures[stack].as_array().expect("depths");
        let depths: Vec<u64> = depths.iter().filter_map(Value::as_u64).collect();
        assert_eq!(depths.len(), 5, "{figures}");
        let (least, most) = (depths.iter().min(), depths.iter().max());
        // A round begins a few words lower or higher than another.
        let (least, most) = (*least.expect("a depth"), *most.expect("a depth"));
        assert!(least > 50 && most - least <= 8, "{figures}");
    }
}

#[test]
fn debugger_sees_what_the_runtime_declines_and_no_more() {
    let ended = run("debugger", &["--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let rows = ended.json();
    let row = |fault: &str| {
        let rows = rows.as_array().expect("rows");
        let found = rows.iter().find(|row| row["fault"] == fault);
        found.unwrap_or_else(|| panic!("{fault}: {rows:?}")).clone()
    };
    for (fault, asked, runtime, debugger) in [
        ("store to address 0x10", true, true, false),
        ("undefined instruction", true, false, true),
        ("breakpoint", false, false, true),
    ] {
        let row = row(fault);
        assert_eq!(row["alone"]["debugger"], true, "{row}");
        assert_eq!(row["beside"]["asked"], asked, "{row}");
        assert_eq!(row["beside"]["runtime"], runtime, "{row}");
        assert_eq!(row["beside"]["debugger"], debugger, "{row}");
    }
}

#[test]
fn crash_reporter_reports_a_crash_once_in_both_orders() {
    let ended = run("crash_reporter", &["undefined-instruction", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let orders = ended.json();
    let orders = orders.as_array().expect("orders");
    assert_eq!(orders.len(), 2, "{orders:?}");
    for order in orders {
        assert_eq!(order["repaired"], 1, "{order}");
        let reports = order["reports"].as_array().expect("reports");
        assert_eq!(reports.len(), 1, "{order}");
        assert_eq!(reports[0]["exception"], "EXC_BAD_INSTRUCTION", "{order}");
        // The report has the instruction itself: ud2, udf #0.
        let code = reports[0]["code"].as_str().expect("bytes");
        let instruction = if cfg!(target_arch = "x86_64") {
            "0f 0b"
        } else {
            "00 00 00 00"
        };
        assert!(code.starts_with(instruction), "{order}");
    }
}

#[test]
fn crash_reporter_lets_a_process_die_of_its_crash() {
    let ended = run("crash_reporter", &["--die"]);
    assert_eq!(ended.signal, DarwinSignal::SEGV.to_system(), "{ended:?}");
    assert_eq!(
        ended.text.matches("exception EXC_BAD_ACCESS").count(),
        1,
        "{ended:?}"
    );
}
