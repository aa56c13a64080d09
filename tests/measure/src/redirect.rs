//! The cost of a fault whose thread runs a handler and returns, over one that a server skips.
#![allow(unsafe_code)]

use crate::bare::{install, repair};
use crate::effort::Effort;
use crate::faults::{self, KINDS, undefined};
use crate::line::{Line, Way};
use crate::rounds::{batch, medians};
use crate::served::{self, route};
use crate::{Error, cpus, machine};
use core::ffi::c_int;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::rights::ThreadRight;
use signal_redirect::Entry;
use thread_mgr::Manager;

/// The most that a redirect may take over a round trip, where handlers return without a trap.
const NO_TRAP: f64 = 1.1;
/// The same where handlers return by a trap.
const BY_A_TRAP: f64 = 2.1;

/// Skips the instruction, on the faulting thread.
unsafe extern "C" fn skip(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline hands over its own structure, and nothing else refers to it.
    faults::skip(unsafe { (*context).registers_mut() });
}

/// An entry whose handler skips the instruction.
#[must_use]
pub fn entry() -> Entry {
    // SAFETY: the handler changes one register, and does not unwind.
    unsafe { Entry::new(skip) }
}

/// Measures a redirect, with the round trip as its floor.
///
/// # Errors
/// The kernel's.
pub fn measure(effort: Effort) -> Result<Vec<Line>, Error> {
    machine::needs_emulation()?;
    if !cpus::apart() {
        cpus::together();
    }
    let manager = cpus::start_server(|| Manager::builder(entry()).build())?;
    let server = served::start(true)?;
    let own = ThreadRight::current()?;
    let times = effort.batch;
    let [bare, skipped, redirected] = medians(effort.rounds, || {
        let bare = {
            let _handler = install(KINDS[0].signal, repair);
            batch(times, undefined)
        };
        let skipped = {
            let _route = route(&server, &own)?;
            batch(10, undefined);
            batch(times, undefined)
        };
        let redirected = {
            let _attached = manager.attach()?;
            batch(10, undefined);
            batch(times, undefined)
        };
        Ok::<_, Error>([bare, skipped, redirected])
    })?
    .map(|nanoseconds| nanoseconds / 1e3);
    let target = if cfg!(target_arch = "x86_64") {
        NO_TRAP
    } else {
        BY_A_TRAP
    };
    let what = format!("redirect and return, {}", KINDS[0].name);
    let floor = Way::new("round trip", skipped);
    let line = Line::over_floor(&what, "µs", redirected, floor, target).or("sigaction", bare);
    Ok(vec![line])
}
