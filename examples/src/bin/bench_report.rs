//! Reports the cost of these crates: every figure that has a target, beside its floor and beside what a runtime would do without them.
//!
//! ```console
//! $ cargo run --release --bin bench_report
//! $ cargo run --release --bin bench_report -- --svg speed.svg
//! $ cargo run --release --bin bench_report -- --quick --only round-trip --only redirect
//! ```
//!
//! What to look at: the column *measured* against *target*. A ratio names what it is over: the floor, which is the least that the same
//! work can take, measured in the same run. The lines below give all figures, and how many times each of them these crates take: a plain
//! signal handler that repairs the fault itself (`sigaction`), and server loops by hand on the raw calls, as CCL (`STATE`) and wasmtime
//! (`DEFAULT`) have them.
//!
//! Each row runs in a process of its own, for seconds. Batches of each way alternate, and the medians of the batches count. `--quick` only
//! shows that every row runs. `--one-core` keeps everything on one CPU, and leaves out what needs two. On a machine that does other work
//! the ratios hold better than the times, and neither holds well.
//!
//! A target that is missed is said, and is no failure. The exit code is not 0 if a row could not be measured.
#![allow(unsafe_code)]

#[path = "bench_report/chart.rs"]
mod chart;
#[path = "bench_report/report.rs"]
mod report;
#[path = "bench_report/rows.rs"]
mod rows;

use clap::Parser;
use examples::program::{Picture, exit_code};
use examples::say;
use measure::row::Row;
use report::Report;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use test_support::counting::Counting;

/// Its requests are what the row *allocations* counts.
#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Reports the cost of these crates, beside the floor and the alternatives.
#[derive(Debug, Parser)]
struct Options {
    /// Runs each row as briefly as it can: the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Keeps everything on one CPU.
    #[arg(long)]
    one_core: bool,
    /// Measures this row only; may be repeated.
    #[arg(long, value_name = "ROW")]
    only: Vec<Row>,
    /// Threads of the row that counts leaks.
    #[arg(long, value_name = "THREADS", value_parser = clap::value_parser!(u32).range(1..))]
    leak_threads: Option<u32>,
    /// Prints the figures as JSON.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Prints the table in Markdown.
    #[arg(long)]
    markdown: bool,
    /// Writes the chart to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Measures this row in this process, for the report that started it.
    #[arg(long, hide = true)]
    row: Option<Row>,
}

fn main() -> ExitCode {
    if let Some(code) = measure::child::run_part() {
        return code;
    }
    let options = Options::parse();
    match options.row {
        Some(row) => rows::measure_here(row, &options, &ALLOCATOR),
        None => exit_code("bench_report", run(&options)),
    }
}

fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let picture = options.svg.as_deref().map(Picture::create).transpose()?;
    let report = Report {
        machine: measure::machine::describe(),
        quick: options.quick,
        rows: rows::measure_all(options),
    };
    if options.json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else if options.markdown {
        say!("{}", report.markdown().trim_end());
    } else {
        say!("{}", report.to_string().trim_end());
    }
    if let Some(picture) = picture {
        picture.write(&chart::svg(&report))?;
    }
    Ok(report.is_complete())
}
