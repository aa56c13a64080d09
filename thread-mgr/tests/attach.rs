//! R5: a thread that is taken in again is served as it was the first time, and let go as its owner has it by then.
#![allow(unsafe_code)]

mod support;

use core::mem::MaybeUninit;
use std::sync::atomic::Ordering;
use support::{HANDLED, in_own_process, reporting, undefined_instruction};

/// The signals that a thread's own faults raise.
const FAULTS: [i32; 5] = [
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGFPE,
    libc::SIGBUS,
    libc::SIGSEGV,
];

fn block(signals: &[i32]) {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is initialised before it is used.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        let error = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), core::ptr::null_mut());
        assert_eq!(error, 0);
    }
}

fn blocked(signal: i32) -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the call fills the set.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, core::ptr::null(), set.as_mut_ptr());
        libc::sigismember(set.as_ptr(), signal) == 1
    }
}

#[test]
fn r5_faults_whose_signals_the_owner_blocks_are_served_in_every_round() {
    in_own_process(
        "r5_faults_whose_signals_the_owner_blocks_are_served_in_every_round",
        || {
            let manager = reporting();
            block(&FAULTS);
            for round in 1..=10 {
                let attached = manager.attach().expect("attached");
                undefined_instruction();
                drop(attached);
                assert_eq!(HANDLED.load(Ordering::Relaxed), round);
                for signal in FAULTS {
                    assert!(blocked(signal), "{signal} in round {round}");
                }
            }
        },
    );
}
