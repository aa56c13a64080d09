//! Registers of suspended, running and waiting threads (A9).

use crate::spin::{self, PATTERN, Spin};
use crate::support::{Name, assert_never, get, own_name, resume, set, suspend, thread};
use mach_sys::kern_return::KernReturn;
use mach_sys::thread_state::{NativeState, Registers};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use test_support::isolated::isolated;
use test_support::wait::wait_for;

fn spinning(sp: Option<usize>) -> (Arc<Spin>, Name, std::thread::JoinHandle<()>) {
    let spin = Arc::new(Spin::default());
    let (name, handle) = thread({
        let spin = Arc::clone(&spin);
        move || spin::run(&spin, sp)
    });
    spin.wait_for_rounds();
    (spin, name, handle)
}

/// The loop's own register.
fn own_register(state: &NativeState) -> u64 {
    #[cfg(target_arch = "x86_64")]
    return state.rbx;
    #[cfg(target_arch = "aarch64")]
    return state.x[19];
}

fn set_own_register(state: &mut NativeState, value: u64) {
    #[cfg(target_arch = "x86_64")]
    {
        state.rbx = value;
    }
    #[cfg(target_arch = "aarch64")]
    {
        state.x[19] = value;
    }
}

#[test]
fn a9_1_a_suspended_thread_shows_the_registers_it_goes_on_with_and_takes_others() {
    isolated(
        "registers::a9_1_a_suspended_thread_shows_the_registers_it_goes_on_with_and_takes_others",
        || {
            let (spin, name, handle) = spinning(None);
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            let mut state = get(name).expect("a state");
            assert_eq!(own_register(&state), PATTERN);
            set_own_register(&mut state, 0x4711);
            assert_eq!(set(name, &state), KernReturn::SUCCESS);
            assert_eq!(get(name).map(|state| own_register(&state)), Ok(0x4711));
            assert_eq!(spin.seen.load(Ordering::SeqCst), PATTERN);
            assert_eq!(resume(name), KernReturn::SUCCESS);
            wait_for("the register to show", || {
                spin.seen.load(Ordering::SeqCst) == 0x4711
            });
            spin.end();
            handle.join().expect("it went on");
        },
    );
}

#[test]
fn a9_1_a_running_thread_is_stopped_for_a_get_and_a_set_and_runs_on() {
    isolated(
        "registers::a9_1_a_running_thread_is_stopped_for_a_get_and_a_set_and_runs_on",
        || {
            let (spin, name, handle) = spinning(None);
            for round in 1..100 {
                let mut state = get(name).expect("a state");
                set_own_register(&mut state, round);
                // The thread has run since the get: the set takes it back to there.
                assert_eq!(set(name, &state), KernReturn::SUCCESS);
                wait_for("the register to show", || {
                    spin.seen.load(Ordering::SeqCst) == round
                });
            }
            assert_eq!(resume(name), KernReturn::FAILURE, "it is not suspended");
            spin.end();
            handle.join().expect("it went on");
        },
    );
}

#[test]
fn a9_6_every_flavor_of_a_suspended_thread_is_read() {
    isolated(
        "registers::a9_6_every_flavor_of_a_suspended_thread_is_read",
        || {
            let (spin, name, handle) = spinning(None);
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            #[cfg(target_arch = "x86_64")]
            let flavors = [4, 5, 6, 7, 8, 9, 11, 12];
            #[cfg(target_arch = "aarch64")]
            let flavors = [1, 6, 7, 15, 17];
            for flavor in flavors {
                let mut words = [0_u32; 1296];
                let read = mach_sys::kernel::system::read_thread_state(name, flavor, &mut words);
                assert!(read.is_ok_and(|count| count > 0), "{flavor}: {read:?}");
            }
            spin.end();
            assert_eq!(resume(name), KernReturn::SUCCESS);
            handle.join().expect("it went on");
        },
    );
}

#[test]
fn a9_5_a_thread_reads_its_own_registers() {
    isolated("registers::a9_5_a_thread_reads_its_own_registers", || {
        let here = 0_u64;
        let state = get(own_name()).expect("the own state");
        let distance = (core::ptr::from_ref(&here) as u64).abs_diff(state.sp());
        assert!(
            distance < 64 << 10,
            "the stack pointer is in this thread's stack: {distance}"
        );
    });
}

#[test]
fn a9_1_a_thread_that_waits_in_mach_msg_is_read_and_waits_on() {
    isolated(
        "registers::a9_1_a_thread_that_waits_in_mach_msg_is_read_and_waits_on",
        || {
            let handler = Arc::new(crate::support::Handler::new());
            let (name, handle) = thread({
                let handler = Arc::clone(&handler);
                move || {
                    assert!(
                        handler
                            .receive_within(std::time::Duration::from_millis(1500))
                            .is_none()
                    )
                }
            });
            std::thread::sleep(std::time::Duration::from_millis(20));
            for _ in 0..10 {
                let state = get(name).expect("a state");
                assert_ne!(state.sp(), 0);
            }
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            assert_never("it is suspended", || handle.is_finished());
            assert_eq!(resume(name), KernReturn::SUCCESS);
            handle.join().expect("it timed out, and nothing else");
        },
    );
}
