//! A debugger at the task level beside a runtime at the thread level (G5.9): each has what is its own.
#![allow(unsafe_code)]

use core::time::Duration;
use exc_server::{Answered, Delivery, Exception, Route, Routing, Server, Target};
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::kernel::system::capabilities;
use mach_sys::rights::TaskRight;
use mach_sys::thread_state::{NativeState, Registers};
use signal_redirect::Entry;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use tests::faults::{breakpoint, registers, skip, store_to};
use tests::isolated::isolated;
use tests::watchdog::abort_after;
use thread_mgr::Manager;

/// The runtime's handler: skips the instruction.
unsafe extern "C" fn runtime(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the context is the redirect's, and this handler's alone.
    step_over(unsafe { registers(context) });
}

/// Moves a stopped thread behind its fault; a breakpoint of x86_64 is behind it already.
fn step_over(state: &mut NativeState) {
    // SAFETY: the program counter is at code of this program.
    let stopped_behind =
        cfg!(target_arch = "x86_64") && unsafe { *((state.pc() - 1) as *const u8) } == 0xcc;
    if !stopped_behind {
        skip(state);
    }
}

fn entry() -> Entry {
    // SAFETY: the handler is async-signal-safe and does not unwind.
    unsafe { Entry::new(runtime) }
}

static BREAKPOINTS: AtomicU64 = AtomicU64::new(0);
static STEPS: AtomicU64 = AtomicU64::new(0);
static OTHERS: AtomicU64 = AtomicU64::new(0);
const STEPS_WANTED: u64 = 3;

/// The debugger's handler.
fn debug(exception: Exception<'_>) -> Answered {
    let Ok(mut state) = exception.registers() else {
        return exception.decline();
    };
    let [code, _] = exception.codes();
    if exception.exception_type() != ExceptionType::BREAKPOINT {
        OTHERS.fetch_add(1, Ordering::Relaxed);
        skip(&mut state);
    } else if cfg!(target_arch = "x86_64") && code == 1 {
        if STEPS.fetch_add(1, Ordering::Relaxed) + 1 == STEPS_WANTED {
            end_steps(&mut state);
        }
    } else {
        BREAKPOINTS.fetch_add(1, Ordering::Relaxed);
        step_over(&mut state);
    }
    // SAFETY: the thread goes on behind an instruction that did nothing.
    unsafe { exception.resume_with(&state) }
}

#[cfg(target_arch = "x86_64")]
fn end_steps(state: &mut NativeState) {
    const TRAP_FLAG: u64 = 1 << 8;
    state.rflags &= !TRAP_FLAG;
}

#[cfg(target_arch = "aarch64")]
fn end_steps(_: &mut NativeState) {}

/// Steps as a debugger lets a thread step: x86_64 has a flag for it, arm64 leaves it to the system.
fn step() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: only the trap flag changes; the debugger clears it again.
    unsafe {
        core::arch::asm!(
            "pushfq",
            "or qword ptr [rsp], 0x100",
            "popfq",
            "nop",
            "nop",
            "nop",
            "nop"
        );
    }
}

fn debugger(server: &Server) -> Route {
    let task = TaskRight::current().expect("the own task");
    let mask = Manager::DEFAULT_MASK | ExceptionMask::BREAKPOINT;
    server
        .route(
            Target::Task(&task),
            &Routing::new(mask, Delivery::for_task(&capabilities())),
        )
        .expect("a route")
}

#[test]
fn g5_9_breakpoints_and_single_steps_are_the_debuggers_and_null_stores_the_runtimes() {
    isolated(
        "g5_9_breakpoints_and_single_steps_are_the_debuggers_and_null_stores_the_runtimes",
        || {
            abort_after(Duration::from_secs(60));
            let manager = Manager::builder(entry()).build().expect("a manager");
            let server = Server::start(debug).expect("a server");
            let route = debugger(&server);
            let work = || {
                for _ in 0..10 {
                    store_to(0x28);
                    breakpoint();
                }
                step();
                store_to(0x28);
            };
            let ended = manager.spawn(work).expect("a thread").join();
            assert!(ended.expect("its end").exit.returned().is_some());
            drop(route);
            assert_eq!(manager.redirect_stats().entered, 11);
            assert_eq!(BREAKPOINTS.load(Ordering::Relaxed), 10);
            let steps = if cfg!(target_arch = "x86_64") {
                STEPS_WANTED
            } else {
                0
            };
            assert_eq!(STEPS.load(Ordering::Relaxed), steps);
            assert_eq!(OTHERS.load(Ordering::Relaxed), 0);
        },
    );
}

/// The runtime's own breakpoint, in a routine of its own so that its filter knows the place.
#[inline(never)]
fn own_trap() {
    breakpoint();
}

#[test]
fn g5_9_a_runtime_that_asks_for_breakpoints_leaves_the_debugger_what_its_filter_declines() {
    isolated(
        "g5_9_a_runtime_that_asks_for_breakpoints_leaves_the_debugger_what_its_filter_declines",
        || {
            abort_after(Duration::from_secs(60));
            let own = own_trap as *const () as u64;
            let manager = Manager::builder(entry())
                .mask(Manager::DEFAULT_MASK | ExceptionMask::BREAKPOINT)
                .only_if(move |exception| {
                    let near = own..own + 64;
                    exception.exception_type() != ExceptionType::BREAKPOINT
                        || exception
                            .registers()
                            .is_ok_and(|state| near.contains(&state.pc()))
                })
                .build()
                .expect("a manager");
            let server = Server::start(debug).expect("a server");
            let route = debugger(&server);
            let work = || {
                own_trap();
                breakpoint();
                store_to(0x28);
            };
            let ended = manager.spawn(work).expect("a thread").join();
            assert!(ended.expect("its end").exit.returned().is_some());
            drop(route);
            let stats = manager.redirect_stats();
            assert_eq!((stats.entered, stats.filtered), (2, 1));
            assert_eq!(BREAKPOINTS.load(Ordering::Relaxed), 1);
            assert_eq!(OTHERS.load(Ordering::Relaxed), 0);
        },
    );
}
