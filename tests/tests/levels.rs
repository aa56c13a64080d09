//! The levels below the manager's: the task's handler, then the Unix handler that was there before, then the default action.
#![allow(unsafe_code)]

use core::time::Duration;
use exc_server::{Delivery, Exception, Routing, Server, Target};
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system::capabilities;
use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::rights::TaskRight;
use mach_sys::thread_state::Registers;
use signal_redirect::Entry;
use std::ffi::c_int;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use tests::faults::{LENGTH, breakpoint, skip, store_to, undefined};
use tests::isolated::{exit_status, isolated, report_skipped};
use tests::watchdog::abort_after;
use thread_mgr::Manager;

unsafe extern "C" fn never(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {
    std::process::abort();
}

/// A manager that wants nothing.
fn declining() -> Manager {
    // SAFETY: the handler is async-signal-safe and does not unwind.
    let entry = unsafe { Entry::new(never) };
    Manager::builder(entry)
        .only_if(|_| false)
        .build()
        .expect("a manager")
}

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);
static THREAD: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Offset of the program counter in the host's context.
const PC: usize = if cfg!(target_arch = "x86_64") {
    168
} else {
    440
};

/// A Unix handler in the host's own layout.
extern "C" fn unix_handler(signal: c_int, info: *mut libc::c_void, context: *mut libc::c_void) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    SIGNAL.store(signal, Ordering::Relaxed);
    THREAD.store(mach_sys::kernel::system::thread_id(), Ordering::Relaxed);
    // SAFETY: the kernel's siginfo and context: code at 8, address at 16; the program counter.
    unsafe {
        CODE.store(*info.byte_add(8).cast(), Ordering::Relaxed);
        ADDRESS.store(*info.byte_add(16).cast(), Ordering::Relaxed);
        let pc: *mut u64 = context.byte_add(PC).cast();
        *pc += LENGTH;
    }
}

/// Installs it, before the emulated Mach is set up.
fn install_unix_handler() {
    for signal in [libc::SIGILL, libc::SIGSEGV] {
        // SAFETY: zeroes are a valid action; the handler has three arguments.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = unix_handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
        }
    }
}

/// Returns whether the kernel is emulated; reports the test as skipped if not, because it looks at the emulation's host level.
fn is_emulated(name: &str) -> bool {
    let emulated = KERNEL == Kernel::Emulated;
    if !emulated {
        report_skipped(name, "it looks at the emulation's host level");
    }
    emulated
}

#[test]
fn a1_1_what_no_exception_handler_accepts_reaches_the_signal_fallback() {
    let name = "a1_1_what_no_exception_handler_accepts_reaches_the_signal_fallback";
    if !is_emulated(name) {
        return;
    }
    isolated(name, || {
        abort_after(Duration::from_secs(60));
        install_unix_handler();
        let manager = declining();
        // The task level hears of it first, and declines too.
        let server =
            Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
        let task = TaskRight::current().expect("the own task");
        let mask = ExceptionMask::BAD_INSTRUCTION | ExceptionMask::BAD_ACCESS;
        let routing = Routing::new(mask, Delivery::for_task(&capabilities()));
        let route = server
            .route(Target::Task(&task), &routing)
            .expect("a route");
        let handle = manager
            .spawn(|| {
                store_to(0x28);
                let seen = (
                    SIGNAL.load(Ordering::Relaxed),
                    CODE.load(Ordering::Relaxed),
                    ADDRESS.load(Ordering::Relaxed),
                );
                assert_eq!(seen, (libc::SIGSEGV, 1, 0x28));
                undefined();
                assert_eq!(SIGNAL.load(Ordering::Relaxed), libc::SIGILL);
                assert_eq!(
                    THREAD.load(Ordering::Relaxed),
                    mach_sys::kernel::system::thread_id()
                );
            })
            .expect("a thread");
        let ended = handle.join().expect("a thread");
        assert!(ended.exit.returned().is_some());
        assert_eq!(CALLS.load(Ordering::Relaxed), 2);
        assert_eq!(server.stats().declined, 2);
        assert_eq!(manager.redirect_stats().filtered, 2);
        drop(route);
    });
}

#[test]
fn a1_9_the_task_level_takes_what_the_manager_declines() {
    isolated(
        "a1_9_the_task_level_takes_what_the_manager_declines",
        || {
            abort_after(Duration::from_secs(60));
            let manager = declining();
            let server = Server::start(|mut exception: Exception<'_>| {
                let Ok(mut state) = exception.registers() else {
                    return exception.decline();
                };
                skip(&mut state);
                assert_ne!(state.sp(), 0);
                // SAFETY: the next instruction expects nothing of the one that is skipped.
                match unsafe { exception.set_state(&state) } {
                    Ok(()) => exception.resume(),
                    Err(_) => exception.decline(),
                }
            })
            .expect("a server");
            let task = TaskRight::current().expect("the own task");
            let routing = Routing::new(
                ExceptionMask::BAD_INSTRUCTION,
                Delivery::for_task(&capabilities()),
            );
            let _route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            let handle = manager.spawn(undefined).expect("a thread");
            handle
                .join()
                .expect("a thread")
                .exit
                .returned()
                .expect("it went on");
            assert_eq!(server.stats().resumed, 1);
        },
    );
}

/// The child dies of `signal` by its default action.
fn dies(name: &str, signal: i32, fault: fn()) {
    if !is_emulated(name) {
        return;
    }
    let ended = exit_status(name, || {
        abort_after(Duration::from_secs(60));
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            // Rust's runtime has a handler of its own there, for stack overflows.
            // SAFETY: the default action is always valid.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        let manager = declining();
        let _attached = manager.attach().expect("attached");
        fault();
    });
    if let Some((status, text)) = ended {
        assert_eq!(status.signal(), Some(signal), "{status}\n{text}");
    }
}

#[test]
fn g3_1_with_the_default_action_below_an_undefined_instruction_kills() {
    dies(
        "g3_1_with_the_default_action_below_an_undefined_instruction_kills",
        libc::SIGILL,
        undefined,
    );
}

#[test]
fn g3_1_with_the_default_action_below_a_bad_access_kills() {
    dies(
        "g3_1_with_the_default_action_below_a_bad_access_kills",
        libc::SIGSEGV,
        || store_to(8),
    );
}

#[test]
fn g3_2_with_the_default_action_below_a_breakpoint_kills() {
    dies(
        "g3_2_with_the_default_action_below_a_breakpoint_kills",
        libc::SIGTRAP,
        breakpoint,
    );
}
