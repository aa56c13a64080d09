//! Many threads at once.

use crate::spin::{self, Spin};
use crate::support::{assert_never, resume, thread};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::system;
use std::sync::Arc;
use test_support::emulator::is_emulated;
use test_support::isolated::isolated;

/// All threads are asked before the first is waited for: they stop in the time of the slowest.
#[test]
fn g4_2_a_hundred_computing_threads_stop_in_one_wait() {
    isolated(
        "many::g4_2_a_hundred_computing_threads_stop_in_one_wait",
        || {
            let count = if is_emulated() { 8 } else { 100 };
            let spins: Vec<_> = (0..count).map(|_| Arc::new(Spin::default())).collect();
            let threads: Vec<_> = spins
                .iter()
                .map(|spin| {
                    let spin = Arc::clone(spin);
                    thread(move || spin::run(&spin, None))
                })
                .collect();
            let names: Vec<_> = threads.iter().map(|(name, _)| *name).collect();
            for round in 0..3 {
                let mut results = vec![-1; count];
                system::suspend_threads(&names, &mut results);
                assert_eq!(results, vec![0; count], "{round}");
                let before: Vec<_> = spins.iter().map(|spin| spin.rounds()).collect();
                assert_never("one runs", || {
                    spins
                        .iter()
                        .zip(&before)
                        .any(|(spin, before)| spin.rounds() != *before)
                });
                for name in &names {
                    assert_eq!(resume(*name), KernReturn::SUCCESS);
                }
            }
            for spin in &spins {
                spin.wait_for_rounds();
                spin.end();
            }
            for (_, handle) in threads {
                handle.join().expect("it went on");
            }
        },
    );
}

/// A bad name among them is its own error, and no other's.
#[test]
fn a8_5_each_thread_of_many_has_its_own_result() {
    isolated("many::a8_5_each_thread_of_many_has_its_own_result", || {
        let spin = Arc::new(Spin::default());
        let (name, handle) = thread({
            let spin = Arc::clone(&spin);
            move || spin::run(&spin, None)
        });
        let mut results = [-1; 3];
        system::suspend_threads(&[0, name, system::task_self()], &mut results);
        let expected = [
            KernReturn::SEND_INVALID_DEST,
            KernReturn::SUCCESS,
            KernReturn::INVALID_ARGUMENT,
        ];
        assert_eq!(results.map(KernReturn::new), expected);
        assert_eq!(resume(name), KernReturn::SUCCESS);
        spin.end();
        handle.join().expect("it went on");
    });
}
