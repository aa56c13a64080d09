//! The main job: faults of runtime threads are caught, redirected into a signal-style handler, returned from, and the threads
//! end without a leak.
//!
//! ```console
//! $ cargo run --release
//! $ cargo run --release -- --threads 20000
//! $ cargo run --release -- --old-way
//! ```
//!
//! Threads start the way a Lisp's `process-run-function` starts them. Each takes every kind of fault on real hardware traps; its
//! handler checks the signal, the fault's address and every register, repairs something, and returns to the interrupted code, which
//! checks that every other register, general and vector, is as it was. At the end a table says what happened and what is left in the
//! task's name space. The exit code is not 0 if anything is off.
//!
//! `--old-way` shows beforehand what it was like: a handler on the raw calls that serves `EXCEPTION_DEFAULT` and forgets the rights
//! that each message brings, and threads that just end.
#![allow(unsafe_code)]

#[path = "main-job/handler.rs"]
mod handler;

use clap::Parser;
use core::time::Duration;
use examples::old_way::OldWay;
use examples::pages::{Access, Pages};
use examples::program::exit_code;
use examples::say;
use examples::traps::{Kind, Registers};
use handler::{Note, handle};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::{KERNEL, system};
use mach_sys::machine::Machine;
use mach_sys::rights::{Census, Change, Right, Source, ThreadRight};
use signal_redirect::Entry;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use thread_mgr::{Audit, Difference, Ended, Handle, Manager, Normalization, SurplusPromise};

/// The main job, end to end.
#[derive(Debug, Parser)]
struct Options {
    /// Threads to start, one after the other in groups.
    #[arg(long, default_value_t = 500)]
    threads: u64,
    /// Faults of each kind that a thread takes.
    #[arg(long, default_value_t = 4)]
    faults: u64,
    /// Threads that live at once.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// Shows first the leak that CCL and SBCL fixed in 2011: rights forgotten, names left behind.
    #[arg(long)]
    old_way: bool,
}

/// Counts over all threads.
#[derive(Debug, Default)]
struct Tally {
    taken: [AtomicU64; Kind::ALL.len()],
    handled: [AtomicU64; Kind::ALL.len()],
    wrong: AtomicU64,
    dropped: AtomicU64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    exit_code("main-job", run(&options))
}

fn run(options: &Options) -> Result<bool, Box<dyn std::error::Error>> {
    say!(
        "{} threads on {}, kernel: {KERNEL:?}",
        options.threads,
        Machine::NATIVE
    );
    say!("this process: {}", system::capabilities());
    if options.old_way {
        show_old_way(options.threads.min(64))?;
    }
    // SAFETY: nothing in this program releases a reference on a thread's name after that thread's end: what is forgotten below is
    // forgotten for good.
    let promise = unsafe { SurplusPromise::new() };
    // SAFETY: the handler calls nothing but one system call, and does not unwind.
    let entry = unsafe { Entry::new(handle) };
    // Breakpoints are a debugger's by default. Here they are one of the kinds of fault that are shown.
    let manager = Manager::builder(entry)
        .mask(Manager::DEFAULT_MASK | ExceptionMask::BREAKPOINT)
        .trim_surplus(promise)
        .build()?;
    let tally = Arc::new(Tally::default());
    let audit = Audit::start()?;
    let start = Instant::now();
    let mut running: Vec<Handle<()>> = Vec::new();
    let mut in_order = true;
    for number in 0..options.threads {
        if running.len() >= options.at_once.max(1) {
            in_order &= finish(running.remove(0).join()?, &tally);
        }
        let (tally, faults) = (Arc::clone(&tally), options.faults);
        running.push(manager.spawn(move || process(number, faults, &tally))?);
    }
    for handle in running {
        in_order &= finish(handle.join()?, &tally);
    }
    let took = start.elapsed();
    let left = audit.settle(Duration::from_secs(20).into())?;
    print_table(&tally, took);
    print_left(&left);
    say!(
        "normalization released {} user references: one in ten of the {} threads forgets one, on purpose",
        tally.dropped.load(Ordering::Relaxed),
        options.threads
    );
    let wrong = tally.wrong.load(Ordering::Relaxed);
    let complete = (0..Kind::ALL.len()).all(|kind| {
        tally.taken[kind].load(Ordering::Relaxed) == tally.handled[kind].load(Ordering::Relaxed)
    });
    let good = wrong == 0 && complete && in_order && left.is_leak_free();
    say!(
        "{}",
        if good {
            "no difference"
        } else {
            "A DIFFERENCE, OR A WRONG FAULT"
        }
    );
    Ok(good)
}

/// Runs threads the old way and prints what they leave.
fn show_old_way(threads: u64) -> Result<(), Box<dyn std::error::Error>> {
    say!("the old way: EXCEPTION_DEFAULT, rights forgotten, no normalization");
    let old_way = OldWay::start()?;
    say!("{:>8}  {}", 0, Census::take()?);
    let mut done = 0;
    while done < threads {
        let group = (threads - done).min(16);
        old_way.run(group, 10)?;
        done += group;
        say!("{done:>8}  {}", Census::take()?);
    }
    old_way.stop()?;
    say!("what is left there stays: every later figure is compared with it");
    Ok(())
}

/// The body of a runtime's thread.
fn process(number: u64, faults: u64, tally: &Tally) {
    for round in 0..faults {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            if !kind.traps() {
                continue;
            }
            tally.taken[index].fetch_add(1, Ordering::Relaxed);
            match take_fault(kind, number * 1000 + round) {
                Ok(true) => {
                    tally.handled[index].fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => {
                    tally.wrong.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    eprintln!("thread {number}: {error}");
                    tally.wrong.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
    // Now and then a reference is forgotten, as other code does: normalization finds it.
    if number % 10 == 0 {
        if let Ok(thread) = ThreadRight::current() {
            let _ = thread.into_name();
        }
    }
}

/// Takes one fault and checks what the handler saw, what it did, and that nothing else changed.
fn take_fault(kind: Kind, seed: u64) -> std::io::Result<bool> {
    let target = Pages::new(1, Access::ReadWrite)?;
    let guarded = Pages::new(1, Access::None)?;
    let address = match kind {
        Kind::WriteGuarded => guarded.address() + 8 * (seed % 64),
        // Low addresses are never mapped.
        _ => 0x10 + 8 * (seed % 64),
    };
    let value = match kind {
        Kind::WriteUnmapped => target.address() + 16,
        _ => seed ^ 0x5a5a_5a5a,
    };
    let mut note = Note::new(kind, address, value);
    let before =
        Registers::pattern(seed, core::ptr::from_mut(&mut note) as u64).aimed(kind, address);
    note.expect(before);
    // SAFETY: the manager's handler handles the fault as the kind says, and stores end up in this function's own pages.
    let after = unsafe { kind.run(&before) };
    let read = |at: u64| {
        // SAFETY: an address in one of this function's own pages, open for reading by now.
        unsafe { (at as *const u64).read_volatile() }
    };
    let stored = match kind {
        Kind::WriteUnmapped => read(value) == before.stored(),
        Kind::WriteGuarded => read(address) == before.stored(),
        _ => true,
    };
    Ok(note.was_right() && stored && after.same(&before.repaired(kind, value)))
}

/// Looks at a thread that is gone. `false` if its end was not in order.
fn finish(ended: Ended<()>, tally: &Tally) -> bool {
    match ended.report.and_then(|report| report.normalization) {
        Some(Normalization::AlreadyOne) => true,
        Some(Normalization::Dropped(count)) => {
            tally.dropped.fetch_add(count.into(), Ordering::Relaxed);
            true
        }
        other => {
            eprintln!("a thread's end: {other:?}");
            false
        }
    }
}

/// Prints what is left in the task's name space: first the sources whose growth is a leak, then what the system's libraries made and
/// keep, which decides nothing: a thread's reply port, the semaphore of its first park.
fn print_left(left: &Difference) {
    say!("{:<28} {:>8} {:>11}", "increase", "names", "references");
    for &source in Source::ALL {
        let change = left.of(source);
        if source.is_leak() || change != Change::default() {
            let kept = if source.is_leak() {
                ""
            } else {
                "  (not counted as a leak)"
            };
            say!(
                "{source:<28} {:>8} {:>11}{kept}",
                change.names,
                change.references
            );
        }
    }
    say!("{left}");
}

fn print_table(tally: &Tally, took: Duration) {
    say!("{:<28} {:>8} {:>8}", "fault", "taken", "handled");
    let mut sum = 0;
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        if kind.traps() {
            let taken = tally.taken[index].load(Ordering::Relaxed);
            let handled = tally.handled[index].load(Ordering::Relaxed);
            sum += handled;
            say!("{kind:<28} {taken:>8} {handled:>8}");
        } else {
            say!("{kind:<28} no such trap on this machine");
        }
    }
    say!("{sum} faults in {took:.2?}");
}
