//! Measures each row in a process of its own.

use crate::Options;
use crate::report::{Found, Measured};
use core::time::Duration;
use examples::say;
use measure::effort::Effort;
use measure::line::Line;
use measure::row::Row;
use measure::{NotHere, child, cpus};
use std::process::ExitCode;
use test_support::counting::Counting;
use test_support::isolated;

/// Time that a row may take.
const LIMIT: Duration = Duration::from_secs(900);
/// Beginning of the line in which a child prints its figures.
const MARK: &str = "measured: ";

/// The rows that the options ask for, each measured or not.
pub(crate) fn measure_all(options: &Options) -> Vec<Measured> {
    let wanted = |row: &Row| options.only.is_empty() || options.only.contains(row);
    let rows = Row::ALL.into_iter().filter(wanted);
    rows.map(|row| Measured {
        row: row.name().to_owned(),
        found: if options.one_core && row.needs_spare_core() {
            Found::LeftOut("--one-core".to_owned())
        } else {
            in_a_child(row, options)
        },
    })
    .collect()
}

fn in_a_child(row: Row, options: &Options) -> Found {
    let program = match child::program() {
        Ok(program) => program,
        Err(error) => return Found::Failed(error.to_string()),
    };
    let mut command = isolated::command(program);
    command.args(["--row", row.name()]);
    if options.quick {
        command.arg("--quick");
    }
    if options.one_core {
        command.arg("--one-core");
    }
    if let Some(threads) = options.leak_threads {
        command.args(["--leak-threads", &threads.to_string()]);
    }
    let (status, text) = match isolated::try_run_within(LIMIT, command) {
        Ok(ended) => ended,
        Err(error) => return Found::Failed(format!("its process did not start: {error}")),
    };
    let line = text.lines().find_map(|line| line.strip_prefix(MARK));
    match line.map(serde_json::from_str) {
        Some(Ok(found)) => found,
        _ => Found::Failed(format!("{status}: {}", text.trim())),
    }
}

/// The body of a child: measures a row and prints its figures as one line.
pub(crate) fn measure_here(row: Row, options: &Options, allocator: &'static Counting) -> ExitCode {
    let mut effort = if options.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    if let Some(threads) = options.leak_threads {
        effort.leak_threads = threads;
    }
    if options.one_core {
        cpus::together();
    }
    let found = match row.measure(effort, allocator) {
        Ok(lines) => Found::Lines(lines),
        Err(error) if error.is::<NotHere>() => Found::LeftOut(error.to_string()),
        Err(error) => Found::Failed(child::with_sources(&*error)),
    };
    match serde_json::to_string(&found) {
        Ok(text) => {
            say!("{MARK}{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// All lines of a report's rows.
pub(crate) fn lines(rows: &[Measured]) -> impl Iterator<Item = &Line> {
    rows.iter().flat_map(|row| match &row.found {
        Found::Lines(lines) => lines.as_slice(),
        _ => &[],
    })
}
