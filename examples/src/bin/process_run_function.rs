//! Shows the leak that CCL and SBCL fixed in 2011, and the same threads without it: a Lisp's `process-run-function` starts a thread,
//! the thread faults, the thread ends.
//!
//! ```console
//! $ cargo run --release --bin process_run_function
//! $ cargo run --release --bin process_run_function -- --threads 2000 --svg leak.svg
//! ```
//!
//! What to look at: the same threads run twice. The old way serves their exceptions by hand and forgets the rights that each message
//! brings: every thread leaves a dead name, with a reference for each fault. With `thread-mgr` both lines stay at 0. The charts show how
//! many names and references there are more than at the start of each run.
//!
//! The exit code is not 0 if the cure leaks, or the old way does not.
#![allow(unsafe_code)]

use clap::Parser;
use core::ffi::c_int;
use core::time::Duration;
use examples::chart::{self, Chart, Series};
use examples::fault::{Fault, go_on};
use examples::old_way::OldWay;
use examples::program::{Picture, exit_code};
use examples::say;
use indicatif::{ProgressBar, ProgressStyle};
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::rights::{Census, Difference};
use serde_json::json;
use signal_redirect::Entry;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use thread_mgr::{Audit, Manager};

/// Shows a leak of port names and references (found by CCL and SBCL in 2011), and the same threads without it.
#[derive(Debug, Parser)]
struct Options {
    /// Threads to start in each of the two runs.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,
    /// Faults that each thread takes.
    #[arg(long, default_value_t = 5)]
    faults: u64,
    /// Writes the charts to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Names and references beyond those at the start of a run.
#[derive(Clone, Copy, Debug)]
struct Sample {
    threads: u64,
    names: i64,
    references: i64,
}

impl Sample {
    fn new(threads: u64, change: &Difference) -> Self {
        Self {
            threads,
            names: change.names,
            references: change.send_references + change.dead_references,
        }
    }
}

fn main() -> ExitCode {
    exit_code("process_run_function", run(&Options::parse()))
}

fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let picture = options.svg.as_deref().map(Picture::create).transpose()?;
    let old = old_way(options)?;
    let (new, leak_free) = managed(options)?;
    let charts = charts(&old, &new);
    if options.json {
        say!(
            "{:#}",
            json!({ "old_way": figures(&old), "thread_mgr": figures(&new) })
        );
    } else {
        for chart in &charts {
            say!("{}", chart.text(64, 12));
        }
    }
    if let Some(picture) = picture {
        picture.write(&chart::svg(&charts)?)?;
    }
    let left = old.last().map_or(0, |sample| sample.names);
    let leaked = left >= options.threads.try_into()?;
    if !options.json {
        say!(
            "the old way left {left} names behind {} threads; thread-mgr: {}",
            options.threads,
            if leak_free { "no leak" } else { "A LEAK" }
        );
    }
    Ok(leak_free && leaked)
}

/// Threads whose exceptions are served by hand.
fn old_way(options: &Options) -> Result<Vec<Sample>, Box<dyn Error>> {
    let old_way = OldWay::start()?;
    let before = Census::take()?;
    let samples = sample(options, "the old way", |threads, done| {
        old_way.run(threads, options.faults)?;
        Ok(Sample::new(done, &Census::take()?.since(&before)))
    })?;
    old_way.stop()?;
    Ok(samples)
}

/// Threads of a manager.
fn managed(options: &Options) -> Result<(Vec<Sample>, bool), Box<dyn Error>> {
    let manager = Manager::builder(skipper()).build()?;
    let audit = Audit::start()?;
    let faults = options.faults;
    let samples = sample(options, "thread-mgr", |threads, done| {
        for _ in 0..threads {
            // `process-run-function`: a thread, a body, an end.
            let thread = manager.spawn(move || (0..faults).for_each(|_| take_fault()))?;
            let _ = thread.join()?;
        }
        let settled = audit.settle(Duration::from_secs(10).into())?;
        Ok(Sample::new(done, &settled))
    })?;
    Ok((samples, audit.difference()?.is_leak_free()))
}

/// Runs the threads in twenty groups, and looks after each.
fn sample(
    options: &Options,
    name: &'static str,
    mut run: impl FnMut(u64, u64) -> Result<Sample, Box<dyn Error>>,
) -> Result<Vec<Sample>, Box<dyn Error>> {
    // It is drawn to a terminal only.
    let bar = ProgressBar::new(options.threads)
        .with_message(name)
        .with_style(ProgressStyle::with_template(
            "{msg:>12} {wide_bar} {pos}/{len} threads",
        )?);
    let mut samples = vec![Sample {
        threads: 0,
        names: 0,
        references: 0,
    }];
    let mut done = 0;
    while done < options.threads {
        let group = options.threads.div_ceil(20).min(options.threads - done);
        done += group;
        samples.push(run(group, done)?);
        bar.inc(group);
    }
    bar.finish_and_clear();
    Ok(samples)
}

fn charts(old: &[Sample], new: &[Sample]) -> [Chart; 2] {
    let chart = |title: &str, figure: fn(&Sample) -> i64| Chart {
        title: title.to_owned(),
        x: "threads started and ended".to_owned(),
        series: [("the old way", old), ("thread-mgr", new)]
            .map(|(name, samples)| Series {
                name: name.to_owned(),
                points: samples
                    .iter()
                    .map(|sample| (sample.threads as f64, figure(sample) as f64))
                    .collect(),
            })
            .to_vec(),
    };
    [
        chart("names left in the task's name space", |sample| sample.names),
        chart("user references left", |sample| sample.references),
    ]
}

fn figures(samples: &[Sample]) -> serde_json::Value {
    samples
        .iter()
        .map(|sample| {
            json!({
                "threads": sample.threads,
                "names": sample.names,
                "references": sample.references,
            })
        })
        .collect()
}

fn skipper() -> Entry {
    // SAFETY: the handler changes two registers, and does not unwind.
    unsafe { Entry::new(skip) }
}

/// Skips the undefined instruction.
unsafe extern "C" fn skip(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline hands over its own structure, and nothing else refers to it.
    go_on(unsafe { (*context).registers_mut() });
}

fn take_fault() {
    // SAFETY: the manager's handler skips the instruction.
    unsafe { Fault::UndefinedInstruction.take() };
}
