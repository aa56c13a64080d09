//! A debugger beside a runtime: a handler at the task level sees only what the runtime declines.
//!
//! ```console
//! $ cargo run --release --bin debugger
//! ```
//!
//! What to look at: the same faults twice. A runtime that lives on signals has no handler at the thread level: the debugger stops at each
//! of its faults, as the column *alone* shows. A manager's threads have their own exception ports, which the kernel tries first: null
//! stores are the runtime's, and the debugger does not receive them. Breakpoints are not in a manager's mask, and stay the debugger's.
//!
//! The debugger here is a server in the same process, at the level where a real one has its port. It continues every thread.
#![allow(unsafe_code)]

use clap::Parser;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use examples::fault::{Fault, go_on};
use examples::program::exit_code;
use examples::say;
use exc_server::{Answered, Delivery, Exception, Routing, Server, Target};
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system;
use mach_sys::rights::TaskRight;
use serde_json::{Value, json};
use signal_redirect::Entry;
use std::error::Error;
use std::process::ExitCode;
use thread_mgr::Manager;

/// Shows what a debugger sees beside a runtime.
#[derive(Clone, Copy, Debug, Parser)]
struct Options {
    /// Prints the table as JSON.
    #[arg(long)]
    json: bool,
}

/// Exceptions that reached the task level.
static DEBUGGER: AtomicU64 = AtomicU64::new(0);
/// Handlers of the runtime that ran.
static RUNTIME: AtomicU64 = AtomicU64::new(0);
/// Exceptions that the runtime was asked about.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// The handlers that saw a fault.
#[derive(Clone, Copy, Debug)]
struct Seen {
    debugger: bool,
    asked: bool,
    runtime: bool,
}

/// A fault without a runtime, and beside one.
#[derive(Clone, Copy, Debug)]
struct Row {
    fault: Fault,
    alone: Seen,
    beside: Seen,
}

impl Row {
    fn is_as_it_should_be(&self) -> bool {
        let own = self.fault == Fault::NullStore;
        !self.alone.asked
            && self.beside.runtime == own
            && self.beside.debugger == (self.alone.debugger && !own)
    }

    fn json(&self) -> Value {
        let Seen {
            debugger,
            asked,
            runtime,
        } = self.beside;
        json!({
            "fault": self.fault.to_string(),
            "alone": { "debugger": self.alone.debugger },
            "beside": { "asked": asked, "runtime": runtime, "debugger": debugger },
        })
    }
}

fn main() -> ExitCode {
    exit_code("debugger", run(Options::parse()))
}

fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    let debugger = Server::start(debug)?;
    let mask = Manager::DEFAULT_MASK | ExceptionMask::BREAKPOINT;
    let routing = Routing::new(mask, Delivery::for_task(&system::capabilities()));
    let task = TaskRight::current()?;
    let route = debugger.route(Target::Task(&task), &routing)?;

    // A thread that no manager knows.
    let alone = std::thread::spawn(take_all).join();
    let alone = alone.map_err(|_| "a thread panicked")?;

    // SAFETY: the handler changes one register, and does not unwind.
    let entry = unsafe { Entry::new(handle) };
    let manager = Manager::builder(entry).only_if(is_null_store).build()?;
    let beside = manager.spawn(take_all)?.join()?;
    let beside = beside.exit.returned().ok_or("no result")?;

    drop(route);

    let rows: Vec<Row> = alone
        .into_iter()
        .zip(beside)
        .map(|((fault, alone), (_, beside))| Row {
            fault,
            alone,
            beside,
        })
        .collect();
    if options.json {
        say!("{:#}", rows.iter().map(Row::json).collect::<Value>());
    } else {
        print(&rows);
    }
    // A processor need not insist on alignment: what it does not trap is not seen at all.
    let trapped = rows.iter().filter(|row| row.alone.debugger).count();
    Ok(trapped >= 4 && rows.iter().all(Row::is_as_it_should_be))
}

fn print(rows: &[Row]) {
    say!("{:<28} {:<12} beside a runtime", "", "alone");
    say!(
        "{:<28} {:<12} {:<12} debugger",
        "fault",
        "debugger",
        "runtime"
    );
    for row in rows {
        let stops = |seen: Seen| if seen.debugger { "stops" } else { "-" };
        let runtime = match row.beside {
            Seen { runtime: true, .. } => "handles",
            Seen { asked: true, .. } => "declines",
            _ => "-",
        };
        let (alone, beside) = (stops(row.alone), stops(row.beside));
        say!("{:<28} {alone:<12} {runtime:<12} {beside}", row.fault);
    }
}

/// Takes each fault, and looks at what saw it.
fn take_all() -> Vec<(Fault, Seen)> {
    let counts = || [&DEBUGGER, &ASKED, &RUNTIME].map(|counter| counter.load(Ordering::SeqCst));
    let take = |fault: Fault| {
        let before = counts();
        // SAFETY: the debugger or the runtime moves the thread behind the instruction.
        unsafe { fault.take() };
        let after = counts();
        let [debugger, asked, runtime] = [0, 1, 2].map(|index| after[index] > before[index]);
        let seen = Seen {
            debugger,
            asked,
            runtime,
        };
        (fault, seen)
    };
    Fault::skippable().into_iter().map(take).collect()
}

/// The debugger's handler: continues the thread behind the instruction.
fn debug(exception: Exception<'_>) -> Answered {
    DEBUGGER.fetch_add(1, Ordering::SeqCst);
    let Ok(mut state) = exception.registers() else {
        return exception.decline();
    };
    go_on(&mut state);
    // SAFETY: the function that faulted goes on there.
    unsafe { exception.resume_with(&state) }
}

/// The runtime's filter: accesses to the lowest page are null pointers.
fn is_null_store(exception: &Exception<'_>) -> bool {
    ASKED.fetch_add(1, Ordering::SeqCst);
    let address = exception.meaning().address();
    exception.exception_type().mask() == ExceptionMask::BAD_ACCESS
        && address.is_some_and(|address| address < system::page_size() as u64)
}

/// The runtime's handler. A real one would raise a condition.
///
/// # Safety
/// For null stores of [`take_all`].
unsafe extern "C" fn handle(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    RUNTIME.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the trampoline hands over its own structure, and nothing else refers to it.
    go_on(unsafe { (*context).registers_mut() });
}
