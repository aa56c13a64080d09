//! Threads that the suspension signal does not reach at once: they block it, wait for it, or it has another handler (G4.6).

use crate::spin::{self, Spin};
use crate::support::{assert_never, get, resume, suspend, thread};
use mach_sys::emulated::{UnreachableReason, take_unreachable};
use mach_sys::kern_return::KernReturn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use test_support::isolated::{isolated, report_skipped};
use test_support::wait::wait_for;

/// Blocks every signal in the calling thread.
fn block_all() {
    // SAFETY: a local set.
    unsafe {
        let mut all: libc::sigset_t = core::mem::zeroed();
        libc::sigfillset(&mut all);
        for signal in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
        ] {
            libc::sigdelset(&mut all, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, core::ptr::null_mut());
    }
}

#[test]
fn g4_6_a_server_thread_is_stopped_in_and_out_of_kernel_calls() {
    isolated(
        "blocked::g4_6_a_server_thread_is_stopped_in_and_out_of_kernel_calls",
        || {
            let stop = Arc::new(AtomicBool::new(false));
            let rounds = Arc::new(AtomicUsize::new(0));
            let (name, handle) = thread({
                let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
                move || {
                    mach_sys::kernel::system::enter_server_thread();
                    while !stop.load(Ordering::SeqCst) {
                        drop(mach_sys::rights::ReceiveRight::new().expect("a port"));
                        rounds.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
            for round in 0..200 {
                assert_eq!(suspend(name), KernReturn::SUCCESS, "{round}");
                let before = rounds.load(Ordering::SeqCst);
                // The kernel's lock is free: calls of this thread go on.
                for _ in 0..20 {
                    drop(mach_sys::rights::ReceiveRight::new().expect("a port"));
                }
                std::thread::sleep(Duration::from_micros(200));
                // In a kernel call that was under way it ends that call and nothing else.
                assert!(rounds.load(Ordering::SeqCst) <= before, "{round}");
                assert!(get(name).is_ok(), "{round}");
                assert_eq!(resume(name), KernReturn::SUCCESS);
            }
            stop.store(true, Ordering::SeqCst);
            handle.join().expect("it went on");
        },
    );
}

/// Suspends a thread with every signal blocked, and asserts that it stops, shows its registers, and has them blocked still when it goes on.
fn blocked_thread_is_stopped() {
    let spin = Arc::new(Spin::default());
    let (name, handle) = thread({
        let spin = Arc::clone(&spin);
        move || {
            block_all();
            spin::run(&spin, None);
            for signal in 36..60 {
                assert!(is_blocked(signal), "{signal}");
            }
        }
    });
    for round in 0..5 {
        spin.wait_for_rounds();
        let code = suspend(name);
        assert_eq!(
            code,
            KernReturn::SUCCESS,
            "{round}: {:?}",
            take_unreachable()
        );
        let stopped = spin.rounds();
        assert!(get(name).is_ok());
        assert_never("it runs", || spin.rounds() != stopped);
        assert_eq!(resume(name), KernReturn::SUCCESS);
    }
    spin.wait_for_rounds();
    spin.end();
    handle.join().expect("it went on, with its mask");
}

/// Returns whether a signal is blocked in the calling thread.
fn is_blocked(signal: i32) -> bool {
    // SAFETY: a local set.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &mut set);
        libc::sigismember(&set, signal) == 1
    }
}

/// Returns whether this system lets a child trace this process.
fn may_trace() -> bool {
    // SAFETY: a child that makes one system call and ends.
    unsafe {
        let this = libc::getpid();
        libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
        let child = libc::fork();
        if child == 0 {
            let refused = libc::ptrace(0x4206, this, 0, 0) != 0;
            libc::_exit(i32::from(refused));
        }
        let mut status = 0;
        libc::waitpid(child, &mut status, 0) == child && status == 0
    }
}

#[test]
fn g4_6_a_thread_that_blocks_every_signal_is_stopped() {
    const NAME: &str = "blocked::g4_6_a_thread_that_blocks_every_signal_is_stopped";
    isolated(NAME, || match may_trace() {
        true => blocked_thread_is_stopped(),
        false => report_skipped(NAME, "this system lets no child trace its parent"),
    });
}

#[test]
fn g4_6_a_thread_in_sigwait_is_stopped_and_gets_no_signal() {
    const NAME: &str = "blocked::g4_6_a_thread_in_sigwait_is_stopped_and_gets_no_signal";
    isolated(NAME, || {
        if !may_trace() {
            return report_skipped(NAME, "this system lets no child trace its parent");
        }
        let got = Arc::new(AtomicI32::new(0));
        let pthread = Arc::new(AtomicUsize::new(0));
        let (name, handle) = thread({
            let (got, pthread) = (Arc::clone(&got), Arc::clone(&pthread));
            move || {
                block_all();
                // SAFETY: local variables.
                unsafe {
                    pthread.store(libc::pthread_self() as usize, Ordering::SeqCst);
                    let mut all: libc::sigset_t = core::mem::zeroed();
                    libc::sigfillset(&mut all);
                    let mut signal = 0;
                    assert_eq!(libc::sigwait(&all, &mut signal), 0);
                    got.store(signal, Ordering::SeqCst);
                }
                assert!(is_blocked(50));
            }
        });
        wait_for("the thread", || pthread.load(Ordering::SeqCst) != 0);
        std::thread::sleep(Duration::from_millis(20));
        for _ in 0..5 {
            let code = suspend(name);
            assert_eq!(code, KernReturn::SUCCESS, "{:?}", take_unreachable());
            assert!(get(name).is_ok());
            assert_eq!(resume(name), KernReturn::SUCCESS);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(suspend(name), KernReturn::SUCCESS);
        let pthread = pthread.load(Ordering::SeqCst) as libc::pthread_t;
        // SAFETY: the thread lives, and waits for the signal.
        assert_eq!(unsafe { libc::pthread_kill(pthread, libc::SIGUSR2) }, 0);
        assert_never("it is suspended", || got.load(Ordering::SeqCst) != 0);
        assert_eq!(resume(name), KernReturn::SUCCESS);
        handle.join().expect("it went on");
        assert_eq!(got.load(Ordering::SeqCst), libc::SIGUSR2);
    });
}

#[test]
fn g4_6_a_thread_that_no_signal_and_no_tracer_reaches_is_an_error_that_names_it() {
    const NAME: &str =
        "blocked::g4_6_a_thread_that_no_signal_and_no_tracer_reaches_is_an_error_that_names_it";
    isolated(NAME, || {
        if !test_support::sandbox::refuse(&[libc::SYS_ptrace]) {
            return report_skipped(NAME, "this system has no filters of system calls");
        }
        let spin = Arc::new(Spin::default());
        let id = Arc::new(AtomicUsize::new(0));
        let (name, handle) = thread({
            let (spin, id) = (Arc::clone(&spin), Arc::clone(&id));
            move || {
                id.store(
                    mach_sys::kernel::system::thread_id() as usize,
                    Ordering::SeqCst,
                );
                block_all();
                spin::run(&spin, None);
            }
        });
        spin.wait_for_rounds();
        let begin = Instant::now();
        assert_eq!(suspend(name), KernReturn::OPERATION_TIMED_OUT);
        assert!(begin.elapsed() < Duration::from_secs(20));
        let unreachable = take_unreachable().expect("the reason");
        assert_eq!(unreachable.reason, UnreachableReason::Blocked);
        assert_eq!(unreachable.thread_id, id.load(Ordering::SeqCst) as u64);
        assert!(unreachable.to_string().contains("blocked"));
        assert_eq!(take_unreachable(), None);
        // Nothing was suspended.
        spin.wait_for_rounds();
        assert_eq!(resume(name), KernReturn::FAILURE);
        spin.end();
        handle.join().expect("it went on");
    });
}

#[test]
fn g4_6_a_displaced_handler_is_an_error_that_says_so() {
    isolated(
        "blocked::g4_6_a_displaced_handler_is_an_error_that_says_so",
        || {
            let mut config = mach_sys::kernel::Config::default();
            config.suspension_signal = Some(45);
            mach_sys::kernel::configure(config).expect("started");
            let spin = Arc::new(Spin::default());
            let (name, handle) = thread({
                let spin = Arc::clone(&spin);
                move || spin::run(&spin, None)
            });
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            assert_eq!(resume(name), KernReturn::SUCCESS);
            // One that is still parked is stopped without a signal.
            spin.wait_for_rounds();
            extern "C" fn other(_: i32) {}
            // SAFETY: a handler that does nothing.
            unsafe { libc::signal(45, other as *const () as usize) };
            assert_eq!(suspend(name), KernReturn::OPERATION_TIMED_OUT);
            let unreachable = take_unreachable().expect("the reason");
            assert_eq!(unreachable.reason, UnreachableReason::Displaced);
            spin.wait_for_rounds();
            spin.end();
            handle.join().expect("it went on");
        },
    );
}
