//! A thread that forks, and is suspended all the time.

use crate::support::{resume, suspend, thread};
use mach_sys::kern_return::KernReturn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use test_support::isolated::{isolated, report_skipped};
use test_support::wait::wait_for;

#[test]
fn g4_3_a_thread_in_fork_is_suspended_and_its_children_run() {
    const NAME: &str = "fork::g4_3_a_thread_in_fork_is_suspended_and_its_children_run";
    if test_support::emulator::is_emulated() {
        return report_skipped(
            NAME,
            "qemu-user may hang in the child of a fork that a signal interrupts",
        );
    }
    isolated(NAME, || {
        let stop = Arc::new(AtomicBool::new(false));
        let children = Arc::new(AtomicUsize::new(0));
        let (name, handle) = thread({
            let (stop, children) = (Arc::clone(&stop), Arc::clone(&children));
            move || {
                while !stop.load(Ordering::SeqCst) {
                    // SAFETY: the child ends at once, by a call that needs nothing of other threads.
                    let child = unsafe { libc::fork() };
                    if child == 0 {
                        // SAFETY: ends the child.
                        unsafe { libc::_exit(7) };
                    }
                    assert!(child > 0);
                    let mut status = 0;
                    // SAFETY: the child is this process's.
                    while unsafe { libc::waitpid(child, &mut status, 0) } != child {}
                    assert_eq!(libc::WEXITSTATUS(status), 7);
                    children.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        for round in 0..300 {
            assert_eq!(suspend(name), KernReturn::SUCCESS, "{round}");
            let before = children.load(Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_micros(300));
            assert_eq!(children.load(Ordering::SeqCst), before, "{round}");
            assert_eq!(resume(name), KernReturn::SUCCESS, "{round}");
            std::thread::sleep(std::time::Duration::from_micros(100 * (round % 7)));
        }
        wait_for("children", || children.load(Ordering::SeqCst) > 10);
        stop.store(true, Ordering::SeqCst);
        handle.join().expect("it forked on");
    });
}
