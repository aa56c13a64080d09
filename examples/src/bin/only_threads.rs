//! `thread-mgr` alone: threads that fault, and the reports of their ends.
//!
//! ```console
//! $ cargo run --release --bin only_threads
//! ```
//!
//! What to look at: the last column. The first thread ends with one reference on its own name, which the kernel releases. The second
//! forgot references, as other code does: the manager dropped them. The third panicked and the fourth left in the middle of its
//! work, and both ended in the same order. One dependency is enough: `thread_mgr` re-exports the crates whose types it uses.
#![allow(unsafe_code)]

use clap::Parser;
use std::error::Error;
use std::ffi::c_int;
use std::io::{self, Write};
use std::process::ExitCode;
use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
use thread_mgr::mach_sys::rights::{Right, ThreadRight};
use thread_mgr::mach_sys::thread_state::Registers;
use thread_mgr::signal_redirect::Entry;
use thread_mgr::{Exit, Handle, JoinError, Manager, SurplusPromise, Timeout, exit_now};

/// Shows how managed threads end.
#[derive(Debug, Parser)]
struct Options {
    /// References that the second thread forgets.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    forget: u32,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reason is the last of an error's sources.
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                text.push_str(&format!(": {error}"));
                source = error.source();
            }
            let _ = writeln!(io::stderr(), "only_threads: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let forget = Options::parse().forget;
    // SAFETY: the handler changes the program counter only, and the only faults are the stores below.
    let entry = unsafe { Entry::new(skip) };
    // SAFETY: what is forgotten here is forgotten for good: nothing releases it later.
    let promise = unsafe { SurplusPromise::new() };
    let manager = Manager::builder(entry).trim_surplus(promise).build()?;
    let audit = thread_mgr::Audit::start()?;
    writeln!(
        io::stdout(),
        "{:<12} {:<12} references on its own name at its end",
        "thread",
        "ended"
    )?;

    show("ordinary", manager.spawn(store)?)?;
    show(
        "forgetful",
        manager.spawn(move || {
            store();
            for _ in 0..forget {
                let _ = ThreadRight::current().map(Right::into_name);
            }
        })?,
    )?;
    // The panic's message is the report's to print.
    std::panic::set_hook(Box::new(|_| ()));
    show(
        "panicking",
        manager.spawn(|| {
            store();
            panic!("on purpose")
        })?,
    )?;
    show(
        "hasty",
        manager.spawn(|| {
            store();
            // SAFETY: no frame of this thread has anything to drop.
            let _ = unsafe { exit_now(7) };
        })?,
    )?;

    writeln!(io::stdout(), "{:?}", manager.end_stats())?;
    writeln!(io::stdout(), "{:?}", manager.redirect_stats())?;
    let left = audit.settle(Timeout::After(std::time::Duration::from_secs(5)))?;
    writeln!(io::stdout(), "{left}")?;
    if left.is_leak_free() {
        Ok(())
    } else {
        Err("names are left".into())
    }
}

fn show(name: &str, thread: Handle<()>) -> Result<(), Box<dyn Error>> {
    let (ended, report) = match thread.join() {
        Ok(ended) => match ended.exit {
            Exit::Exited(value) => (format!("exit {value}"), ended.report),
            _ => ("returned".to_owned(), ended.report),
        },
        Err(JoinError::Panicked(panicked)) => ("panicked".to_owned(), panicked.report().cloned()),
        Err(error) => return Err(error.into()),
    };
    match report.and_then(|report| report.normalization) {
        Some(normalization) => writeln!(io::stdout(), "{name:<12} {ended:<12} {normalization:?}")?,
        None => writeln!(io::stdout(), "{name:<12} {ended:<12} not looked at")?,
    }
    Ok(())
}

/// Stores to address 8.
fn store() {
    // SAFETY: nothing is stored; the handler skips the instruction.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("mov [rdi], eax", in("rdi") 8_u64);
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("str wzr, [x0]", in("x0") 8_u64);
    }
}

/// Continues behind the store: 2 bytes on x86_64, 4 on arm64.
unsafe extern "C" fn skip(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: a redirect hands over its own structures, and nothing else refers to them.
    let registers = unsafe { (*context).registers_mut() };
    registers.set_pc(registers.pc() + if cfg!(target_arch = "x86_64") { 2 } else { 4 });
}
