//! Every program with its default options, and what it says to options that are wrong.

mod bench_report;
mod codec;
mod faults;
mod names;
mod pictures;
mod running;
mod surroundings;

use running::{PROGRAMS, plain_options, run};

#[test]
fn every_program_ends_well_with_its_plain_options() {
    for (name, promised) in PROGRAMS {
        let ended = run(name, plain_options(name));
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.text);
        assert!(ended.text.contains(promised), "{name}: {}", ended.text);
    }
}

#[test]
fn every_program_refuses_an_option_that_it_does_not_have() {
    for (name, _) in PROGRAMS {
        let ended = run(name, &["--no-such-option"]);
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.text);
        let reason = "unexpected argument '--no-such-option'";
        assert!(ended.text.contains(reason), "{name}: {}", ended.text);
    }
}

#[test]
fn every_program_says_what_it_is_for() {
    for (name, _) in PROGRAMS {
        let ended = run(name, &["--help"]);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.text);
        assert!(ended.text.contains("Usage:"), "{name}: {}", ended.text);
    }
}

#[test]
fn a_value_that_makes_no_sense_is_an_error() {
    for (name, arguments, reason) in [
        ("catch", ["bogus"].as_slice(), "possible values: null-store"),
        (
            "bench_report",
            &["--only", "bogus"],
            "there is no row bogus",
        ),
        ("cons", &["--young", "0"], "0 is not in 1.."),
        (
            "cons",
            &["--old", "1", "--lists", "4000"],
            "give the old generation more pages",
        ),
        (
            "crash_reporter",
            &["stack-overflow"],
            "a thread cannot go on after this",
        ),
        (
            "demux",
            &["12", "3"],
            "3 hex digits do not make whole bytes",
        ),
        ("demux", &["xy"], "'x' is no hex digit"),
        ("demux", &["00"], "1 bytes are too few for a message"),
        (
            "demux",
            &["--routine", "bogus"],
            "the routines are exception_raise",
        ),
        ("overflow", &["--fiber", "1"], "1 is not in 2.."),
        ("ports", &["bogus"], "possible values: nothing"),
        (
            "process_run_function",
            &["--threads", "0"],
            "0 is not in 1..",
        ),
        (
            "process_run_function",
            &["--threads", "1", "--svg", "/no/such/folder/x.svg"],
            "/no/such/folder/x.svg: ",
        ),
    ] {
        let ended = run(name, arguments);
        assert!(matches!(ended.code, Some(1 | 2)), "{name}: {}", ended.text);
        assert!(ended.text.contains(reason), "{name}: {}", ended.text);
    }
}

#[test]
fn every_program_is_listed_and_gives_its_command_at_its_head() {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| {
        let path = package.join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let lists = [read("README.md"), read("../README.md")];
    let mut files = 0;
    for entry in std::fs::read_dir(package.join("src/bin")).expect("programs") {
        files += u32::from(entry.expect("a file").path().is_file());
    }
    assert_eq!(files as usize, PROGRAMS.len(), "a program is not tested");
    for (name, _) in PROGRAMS {
        let command = match *name {
            "main-job" => "//! $ cargo run --release\n".to_owned(),
            _ => format!("//! $ cargo run --release --bin {name}\n"),
        };
        assert!(
            read(&format!("src/bin/{name}.rs")).contains(&command),
            "{name}"
        );
        assert!(lists[0].contains(&format!("| `{name}` |")), "{name}");
        if *name != "main-job" {
            assert!(
                lists[1].contains(&format!("[`{name}`](examples/src/bin/{name}.rs)")),
                "{name}"
            );
        }
    }
}
