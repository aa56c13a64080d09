//! The start, while other threads fault, and what it leaves of the thread that started.

use crate::context;
use crate::faults::Kind;
use crate::isolated::report_skipped;
use crate::registers::{self, assert_kept};
use crate::support::{install, isolated, on_raw_thread, registered_stack, test_name};
use mach_sys::emulated::{self, Config};
use mach_sys::rights::ThreadRight;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use test_support::flag::SetWhenDropped;
use test_support::sandbox::refuse;

static SKIPPED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn skip(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    SKIPPED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, Kind::Access.skip()) };
}

isolated! {
    fn faults_of_other_threads_during_the_start_go_to_the_handler_from_before() {
        install(libc::SIGSEGV, skip as *const (), libc::SA_SIGINFO, &[]);
        let over = AtomicBool::new(false);
        let (raised, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let ending = SetWhenDropped(&over);
            for _ in 0..3 {
                scope.spawn(|| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    while !over.load(Ordering::SeqCst) {
                        Kind::Access.raise();
                        raised.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            while begun.load(Ordering::SeqCst) < 3 || raised.load(Ordering::SeqCst) < 100 {
                std::thread::yield_now();
            }
            let before = raised.load(Ordering::SeqCst);
            let outcome = emulated::start();
            while raised.load(Ordering::SeqCst) < before + 1000 {
                std::thread::yield_now();
            }
            drop(ending);
            outcome.expect("started");
        });
        assert_eq!(SKIPPED.load(Ordering::SeqCst), raised.load(Ordering::SeqCst));
    }
}

isolated! {
    /// The starting thread faults at the start, and may never make a kernel call.
    fn the_only_place_for_a_thread_is_not_the_starting_threads() {
        let mut config = Config::default();
        config.threads = 1;
        let stack = registered_stack();
        emulated::start_with(config).expect("started");
        assert_eq!(registered_stack().ss_sp, stack.ss_sp);
        on_raw_thread(|| {
            assert!(ThreadRight::current().is_ok(), "the first thread that makes a call has it");
        });
        assert_eq!(emulated::refused_threads(), 0);
    }
}

extern "C" fn ignored(_: i32) {}

/// Returns the process's address space in pages; 0 where the system does not say.
fn pages() -> u64 {
    let line = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let first = line.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(0)
}

/// Nor does it keep the address space that it reserved.
#[test]
fn a_start_that_fails_puts_the_handlers_from_before_back() {
    let name = test_name!(a_start_that_fails_puts_the_handlers_from_before_back);
    crate::support::passes(name, || {
        let action = |signal| {
            // SAFETY: the action goes to a local variable.
            unsafe {
                let mut action: libc::sigaction = core::mem::zeroed();
                libc::sigaction(signal, core::ptr::null(), &mut action);
                (action.sa_sigaction, action.sa_flags)
            }
        };
        install(
            libc::SIGILL,
            ignored as *const (),
            libc::SA_NODEFER,
            &[libc::SIGUSR1],
        );
        let signals = [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
        ];
        let before = signals.map(action);
        // No thread can be started: not the one that watches.
        if !refuse(&[libc::SYS_clone, libc::SYS_clone3]) {
            return report_skipped(name, "this system has no filters of system calls");
        }
        let reserved = pages();
        let error = emulated::start().expect_err("no thread can be started");
        assert_eq!(error.code(), 0x2103, "{error}");
        // The threads' slots alone are 512 MiB, 131 072 pages.
        let left = pages().saturating_sub(reserved);
        assert!(left < 16_384, "{left} pages of address space are left");
        assert_eq!(signals.map(action), before);
        assert_eq!(before[2].0, ignored as *const () as usize);
    });
}

isolated! {
    /// The test at the start is a fault of a thread like any other: what it leaves does not show in the first one afterwards.
    fn the_first_fault_after_the_start_keeps_every_register() {
        emulated::start().expect("started");
        let server = registers::server();
        server.route_task();
        assert_kept(4);
        on_raw_thread(|| assert_kept(4));
        assert_eq!(server.stop(), 8);
    }
}
