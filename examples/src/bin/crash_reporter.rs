//! A crash reporter and a runtime at the same level, in both orders: each gets what is its own.
//!
//! ```console
//! $ cargo run --release --bin crash_reporter
//! $ cargo run --release --bin crash_reporter -- undefined-instruction --die
//! ```
//!
//! What to look at: both register at the task level, where only one handler fits. The one that comes second displaces the first, and
//! remembers it.
//!
//! - The runtime came second: it takes the faults in its guarded page, and **forwards** the rest to the reporter.
//! - The reporter came second: it **forwards to the runtime first**, and reports what the runtime declines. A reporter that reports before
//!   it forwards ends programs that would not have crashed.
//!
//! In both orders the guarded store is repaired, and the crash is reported, once. So that both can be shown the reporter lets the thread go
//! on after its report; with `--die` it declines, as a real one does, and the process ends by the signal that it would have had.
#![allow(unsafe_code)]

#[path = "crash_reporter/report.rs"]
mod report;

use clap::Parser;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use examples::fault::{Fault, go_on};
use examples::pages::{Access, Pages};
use examples::program::exit_code;
use examples::say;
use exc_server::{
    Answered, Delivery, Exception, Route, RouteError, Routing, Server, Target, Timeout,
};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system;
use mach_sys::rights::TaskRight;
use report::Report;
use serde_json::{Value, json};
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use thread_mgr::Manager;

/// Runs a crash reporter and a runtime at the same level, in both orders.
#[derive(Clone, Copy, Debug, Parser)]
struct Options {
    /// The crash.
    #[arg(value_enum, default_value = "null-store")]
    fault: Fault,
    /// The reporter declines after its report: the process ends.
    #[arg(long)]
    die: bool,
    /// Prints the reports as JSON.
    #[arg(long)]
    json: bool,
}

/// Time that a handler waits for the one that it displaced.
const LIMIT: Timeout = Timeout::After(Duration::from_secs(5));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    RuntimeSecond,
    ReporterSecond,
}

impl Order {
    const fn text(self) -> &'static str {
        match self {
            Self::RuntimeSecond => "the runtime came second, and forwards",
            Self::ReporterSecond => "the reporter came second, and forwards to the runtime first",
        }
    }
}

fn main() -> ExitCode {
    exit_code("crash_reporter", run(Options::parse()))
}

fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    if !options.fault.traps() || options.fault == Fault::StackOverflow {
        return Err(format!("a thread cannot go on after this: {}", options.fault).into());
    }
    let mut right = true;
    let mut shown = Vec::new();
    for order in [Order::RuntimeSecond, Order::ReporterSecond] {
        let (repaired, reports) = show(options, order)?;
        right &= repaired == 1 && reports.len() == 1;
        shown.push(json!({
            "order": order.text(),
            "repaired": repaired,
            "reports": reports.iter().map(Report::json).collect::<Value>(),
        }));
        if !options.json {
            say!(
                "the runtime repaired {repaired}; the reporter wrote {}\n",
                reports.len()
            );
        }
    }
    if options.json {
        say!("{:#}", json!(shown));
    }
    Ok(right)
}

/// Runs both, takes both faults. Returns what the runtime repaired and the reporter reported.
fn show(options: Options, order: Order) -> Result<(u64, Vec<Report>), Box<dyn Error>> {
    if !options.json {
        say!("{}", order.text());
    }
    let guarded = Arc::new(Pages::new(1, Access::None)?);
    let repaired = Arc::new(AtomicU64::new(0));
    let reports = Arc::new(Mutex::new(Vec::new()));
    let stored = Arc::new(AtomicBool::new(false));

    let (page, count) = (Arc::clone(&guarded), Arc::clone(&repaired));
    let runtime = Server::builder().name("runtime").start(move |exception| {
        let address = exception.meaning().address();
        if !address.is_some_and(|address| page.range().contains(&address)) {
            return exception.forward(LIMIT);
        }
        match page.protect(Access::ReadWrite) {
            Ok(()) => {
                count.fetch_add(1, Ordering::Relaxed);
                exception.resume()
            }
            Err(_) => exception.decline(),
        }
    })?;
    let written = Arc::clone(&reports);
    let reporter = Server::builder().name("reporter").start(move |exception| {
        // Only the one that came second has a previous handler.
        match exception.try_forward(LIMIT) {
            Ok(answered) => answered,
            Err(refused) => report(refused.exception, options, &written),
        }
    })?;
    // What is routed last receives the request first.
    let routes = match order {
        Order::RuntimeSecond => [route(&reporter)?, route(&runtime)?],
        Order::ReporterSecond => [route(&runtime)?, route(&reporter)?],
    };

    let (address, done) = (guarded.address(), Arc::clone(&stored));
    let body = move || {
        // SAFETY: the page is the caller's, which waits; the runtime opens it.
        unsafe { (address as *mut u64).write_volatile(7) };
        // SAFETY: the reporter moves the thread behind the instruction, or the process ends.
        unsafe { options.fault.take() };
        // SAFETY: the page is open now.
        done.store(
            unsafe { (address as *const u64).read_volatile() } == 7,
            Ordering::Relaxed,
        );
    };
    std::thread::spawn(body)
        .join()
        .map_err(|_| "a thread panicked")?;
    // The other way round: each puts back what it found.
    let [first, second] = routes;
    drop(second);
    drop(first);
    if !stored.load(Ordering::Relaxed) {
        return Err("the store into the guarded page is lost".into());
    }
    let reports = reports.lock().map_err(|_| "a report failed")?.clone();
    Ok((repaired.load(Ordering::Relaxed), reports))
}

/// Routes the task's faults to a server.
fn route(server: &Server) -> Result<Route, RouteError> {
    let mask = Manager::DEFAULT_MASK | ExceptionMask::BREAKPOINT;
    let routing = Routing::new(mask, Delivery::for_task(&system::capabilities()));
    let task = TaskRight::current().map_err(RouteError::Port)?;
    server.route(Target::Task(&task), &routing)
}

/// Reports a crash, on the reporter's thread.
fn report(exception: Exception<'_>, options: Options, reports: &Mutex<Vec<Report>>) -> Answered {
    let Ok(mut state) = exception.registers() else {
        return exception.decline();
    };
    let report = Report::new(&exception, &state);
    if !options.json {
        say!("{}", report.text());
    } else if options.die {
        say!("{:#}", report.json());
    }
    if let Ok(mut reports) = reports.lock() {
        reports.push(report);
    }
    if options.die {
        return exception.decline();
    }
    go_on(&mut state);
    // SAFETY: the function that faulted goes on there.
    unsafe { exception.resume_with(&state) }
}
