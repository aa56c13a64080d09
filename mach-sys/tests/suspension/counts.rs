//! Counts and codes (A8.5).

use crate::spin::{self, Spin};
use crate::support::{abort, abort_safely, assert_never, own_name, resume, suspend, thread};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::system;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use test_support::isolated::isolated;
use test_support::wait::wait_for;

#[test]
fn a8_5_counts_nest_and_a_resume_at_zero_fails() {
    isolated(
        "counts::a8_5_counts_nest_and_a_resume_at_zero_fails",
        || {
            let spin = Arc::new(Spin::default());
            let (name, handle) = thread({
                let spin = Arc::clone(&spin);
                move || spin::run(&spin, None)
            });
            assert_eq!(resume(name), KernReturn::FAILURE);
            spin.wait_for_rounds();
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            // From the call's return on the thread runs nothing.
            let stopped = spin.rounds();
            assert_never("it runs", || spin.rounds() != stopped);
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            assert_eq!(resume(name), KernReturn::SUCCESS);
            assert_never("one suspension is left", || spin.rounds() != stopped);
            assert_eq!(resume(name), KernReturn::SUCCESS);
            spin.wait_for_rounds();
            assert_eq!(resume(name), KernReturn::FAILURE);
            spin.end();
            handle.join().expect("the thread went on");
        },
    );
}

#[test]
fn a8_5_a8_2_a8_3_bad_names_have_their_codes() {
    isolated("counts::a8_5_a8_2_a8_3_bad_names_have_their_codes", || {
        let (gone, handle) = thread(|| {});
        handle.join().expect("it ended");
        wait_for("the thread's port to die", || {
            suspend(gone) == KernReturn::SEND_INVALID_DEST
        });
        let table = [
            (0, KernReturn::SEND_INVALID_DEST),
            (0xdead03, KernReturn::SEND_INVALID_DEST),
            (gone, KernReturn::SEND_INVALID_DEST),
            (system::task_self(), KernReturn::INVALID_ARGUMENT),
        ];
        for (name, code) in table {
            for call in [suspend, resume, abort, abort_safely] {
                assert_eq!(call(name), code, "{name:#x}");
            }
        }
    });
}

#[test]
fn a8_5_a_thread_that_suspends_itself_stops_in_the_call() {
    isolated(
        "counts::a8_5_a_thread_that_suspends_itself_stops_in_the_call",
        || {
            let went_on = Arc::new(AtomicBool::new(false));
            let code = Arc::new(AtomicU32::new(u32::MAX));
            let (name, handle) = thread({
                let (went_on, code) = (Arc::clone(&went_on), Arc::clone(&code));
                move || {
                    let outcome = suspend(own_name());
                    code.store(outcome.raw() as u32, Ordering::SeqCst);
                    went_on.store(true, Ordering::SeqCst);
                }
            });
            assert_never("it goes on by itself", || went_on.load(Ordering::SeqCst));
            wait_for("its suspension", || resume(name) == KernReturn::SUCCESS);
            handle.join().expect("it went on");
            assert!(went_on.load(Ordering::SeqCst));
            assert_eq!(code.load(Ordering::SeqCst), 0);
        },
    );
}

#[test]
fn a8_5_a_thread_with_every_signal_blocked_suspends_itself() {
    isolated(
        "counts::a8_5_a_thread_with_every_signal_blocked_suspends_itself",
        || {
            let (name, handle) = thread(|| {
                // SAFETY: a local set.
                unsafe {
                    let mut all: libc::sigset_t = core::mem::zeroed();
                    libc::sigfillset(&mut all);
                    libc::pthread_sigmask(libc::SIG_SETMASK, &all, core::ptr::null_mut());
                    assert_eq!(suspend(own_name()), KernReturn::SUCCESS);
                    let mut after: libc::sigset_t = core::mem::zeroed();
                    libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &mut after);
                    for signal in 36..60 {
                        assert_eq!(libc::sigismember(&after, signal), 1, "{signal}");
                    }
                }
            });
            wait_for("its suspension", || resume(name) == KernReturn::SUCCESS);
            handle.join().expect("it went on, with its mask");
        },
    );
}
