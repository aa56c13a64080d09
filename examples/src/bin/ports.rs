//! Lists the port names of this process by where they come from, and what changed while something ran.
//!
//! ```console
//! $ cargo run --release --bin ports
//! $ cargo run --release --bin ports -- old-way
//! $ cargo run --release --bin ports -- server --names
//! ```
//!
//! What to look at: the sources. More names or references of the first five than before are a leak; the system's libraries take and keep
//! the others, once for a thread or once for the process. `old-way` shows what a leak looks like, `server` what a running server holds
//! and gives back.

use clap::{Parser, ValueEnum};
use examples::old_way::OldWay;
use examples::program::exit_code;
use examples::say;
use exc_server::{Delivery, Routing, Server, Target};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::{self, Config};
use mach_sys::rights::{
    Census, CensusError, Change, Difference, NameInfo, ReceiveRight, Source, ThreadRight,
};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Lists the port names of this process, and what changed while something ran.
#[derive(Debug, Parser)]
struct Options {
    /// The work whose port names are compared.
    #[arg(value_enum, default_value = "threads")]
    run: Run,
    /// Lists each name that is there at its end.
    #[arg(long)]
    names: bool,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Run {
    /// Nothing
    Nothing,
    /// Ten threads that start and end
    Threads,
    /// Ten ports, made and released
    Ports,
    /// An exception server with a route
    Server,
    /// Ten threads whose exceptions are served by hand, with the rights forgotten
    OldWay,
}

impl Run {
    /// Runs it. What is returned lives until the names are listed.
    fn run(self) -> Result<Box<dyn std::any::Any>, Box<dyn Error>> {
        match self {
            Self::Nothing => {}
            Self::Threads => {
                for _ in 0..10 {
                    // Asking for the thread's port gives it a name here.
                    std::thread::spawn(|| ThreadRight::current().map(drop))
                        .join()
                        .map_err(|_| "a thread panicked")??;
                }
            }
            Self::Ports => {
                let ports: Result<Vec<_>, _> = (0..10).map(|_| ReceiveRight::new()).collect();
                drop(ports?);
            }
            Self::Server => {
                let server = Server::start(|exception| exception.decline())?;
                let thread = ThreadRight::current()?;
                let routing = Routing::new(ExceptionMask::BAD_ACCESS, Delivery::THREAD);
                let route = server.route(Target::Thread(&thread), &routing)?;
                return Ok(Box::new((route, thread, server)));
            }
            Self::OldWay => {
                let old_way = OldWay::start()?;
                old_way.run(10, 3)?;
                old_way.stop()?;
            }
        }
        Ok(Box::new(()))
    }
}

fn main() -> ExitCode {
    exit_code("ports", run(&Options::parse()))
}

fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    // The first call of a kernel that could not start says less about the reason.
    kernel::configure(Config::default())?;
    let before = Census::take()?;
    let held = options.run.run()?;
    let mut names = Vec::new();
    let during = Census::list(|name| names.push(name))?;
    drop(held);
    // What leaks on purpose does not go away.
    let leak = options.run == Run::OldWay;
    let after = settle(&before, if leak { MOMENT } else { LIMIT })?;
    let censuses = [before, during, after];
    let difference = after.since(&before);
    if options.json {
        print_json(&censuses, &difference, &names);
    } else {
        print(&censuses, &difference);
        if options.names {
            for name in &names {
                say!("  {name}, user references: {}", name.references);
            }
        }
    }
    Ok(true)
}

/// Time that the kernel may take to end a thread that the C library has ended, and the same on a busy machine.
const MOMENT: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(5);

/// Waits until all is as it was before. What is no leak is waited for for a moment only: the system's libraries may keep it.
fn settle(before: &Census, limit: Duration) -> Result<Census, CensusError> {
    let start = Instant::now();
    loop {
        let census = Census::take()?;
        let difference = census.since(before);
        let enough = match difference.is_leak_free() {
            true => difference.changes().next().is_none() || start.elapsed() > MOMENT,
            false => start.elapsed() > limit,
        };
        if enough {
            return Ok(census);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn print(censuses: &[Census; 3], difference: &Difference) {
    let columns = ["before", "at its end", "after", "change"];
    say!(
        "{:<32}{}",
        "",
        columns.map(|name| format!("{name:>16}")).concat()
    );
    say!(
        "{:<32}{}",
        "source",
        format!("{:>8}{:>8}", "names", "refs").repeat(4)
    );
    for &source in Source::ALL {
        let counts = censuses.map(|census| census.of(source));
        let counts = counts.map(|count| format!("{:>8}{:>8}", count.names, count.references));
        let change = difference.of(source);
        say!(
            "{source:<32}{}{:>+8}{:>+8}{}",
            counts.concat(),
            change.names,
            change.references,
            if grew(source, change) { "  leaked" } else { "" }
        );
    }
    say!("{difference}");
}

fn grew(source: Source, change: Change) -> bool {
    source.is_leak() && (change.names > 0 || change.references > 0)
}

fn print_json(censuses: &[Census; 3], difference: &Difference, names: &[NameInfo]) {
    let sources: Map<String, Value> = Source::ALL
        .iter()
        .map(|&source| {
            let counts = censuses.map(|census| census.of(source));
            let [before, during, after] =
                counts.map(|count| json!({ "names": count.names, "references": count.references }));
            let change = difference.of(source);
            let figures = json!({
                "before": before,
                "at_its_end": during,
                "after": after,
                "change": { "names": change.names, "references": change.references },
                "is_leak": grew(source, change),
            });
            (source.to_string(), figures)
        })
        .collect();
    let names: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "name": name.name.raw(),
                "rights": name.rights.to_string(),
                "references": name.references,
                "source": name.source.to_string(),
            })
        })
        .collect();
    say!(
        "{:#}",
        json!({ "leak_free": difference.is_leak_free(), "sources": sources, "names": names })
    );
}
