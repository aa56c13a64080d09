//! R9: one thread calls `exit` while the main thread and others fault.
//!
//! Rust's runtime unmaps the alternate signal stack that it gave to the main thread, on whatever thread calls `exit`. A managed or
//! attached thread must not depend on it.
#![allow(unsafe_code)]

use core::time::Duration;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use signal_redirect::Entry;
use std::ffi::c_int;
use tests::faults::{registers, skip, store_to};
use tests::isolated::exit_status;
use tests::watchdog::abort_after;
use thread_mgr::Manager;

const STATUS: i32 = 7;
/// A store to this address ends the process.
const EXIT: u64 = 0x77;

unsafe extern "C" fn handler(_: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline's own structures.
    unsafe {
        if (*info).si_addr == EXIT {
            std::process::exit(STATUS);
        }
        skip(registers(context));
    }
}

/// The end of the process takes a moment, in which others fault.
extern "C" fn at_exit() {
    // SAFETY: no preconditions.
    unsafe { libc::usleep(50_000) };
}

/// Place at which `exit` is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// On a thread of std's that no manager knows.
    Unmanaged,
    /// On an attached one.
    Attached,
    /// In a handler that a fault was redirected to.
    Handler,
}

fn exit_while_others_fault(name: &str, caller: Caller) {
    for _ in 0..10 {
        // The child's test runs on its main thread, as it is the only one.
        let ended = exit_status(name, || {
            abort_after(Duration::from_secs(60));
            // SAFETY: the function is async-signal-safe and lives as long as the program.
            unsafe { libc::atexit(at_exit) };
            // SAFETY: `exit` in the handler is what this is about: the faults are at stores of this program, which hold nothing.
            let entry = unsafe { Entry::new(handler) };
            let manager = Manager::builder(entry).build().expect("a manager");
            let _attached = manager.attach().expect("attached");
            for _ in 0..3 {
                let fault = || {
                    loop {
                        store_to(0x10);
                    }
                };
                drop(manager.spawn(fault).expect("a thread"));
            }
            let other = manager.clone();
            std::thread::spawn(move || {
                let _attached =
                    (caller != Caller::Unmanaged).then(|| other.attach().expect("attached"));
                std::thread::sleep(Duration::from_millis(20));
                match caller {
                    Caller::Handler => store_to(EXIT),
                    _ => std::process::exit(STATUS),
                }
            });
            loop {
                store_to(0x10);
            }
        });
        if let Some((status, text)) = ended {
            assert_eq!(status.code(), Some(STATUS), "{status}\n{text}");
        }
    }
}

#[test]
fn r9_exit_on_a_thread_that_no_manager_knows() {
    exit_while_others_fault(
        "r9_exit_on_a_thread_that_no_manager_knows",
        Caller::Unmanaged,
    );
}

#[test]
fn r9_exit_on_an_attached_thread() {
    exit_while_others_fault("r9_exit_on_an_attached_thread", Caller::Attached);
}

#[test]
fn r9_exit_in_a_redirected_handler() {
    exit_while_others_fault("r9_exit_in_a_redirected_handler", Caller::Handler);
}
