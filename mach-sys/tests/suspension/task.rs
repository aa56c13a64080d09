//! Suspension of the whole task (A8.6), which another process has to end.

use crate::spin::{self, Spin};
use crate::support::{Handler, assert_never, own_name, thread};
use mach_sys::exception::EXC_MASK_BAD_INSTRUCTION;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::thread_state::Registers;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use test_support::emulator::is_emulated;
use test_support::instructions::{LENGTH, undefined};
use test_support::isolated::{isolated, report_skipped};

fn suspend(task: u32) -> KernReturn {
    // SAFETY: no pointers.
    KernReturn::new(unsafe { kernel::task_suspend(task) })
}

fn resume(task: u32) -> KernReturn {
    // SAFETY: no pointers.
    KernReturn::new(unsafe { kernel::task_resume(task) })
}

/// Waits until the process that started it stops, says the state of each of its threads, and continues it a little later.
const OBSERVER: &str = "
states() { sed 's/.*) \\(.\\).*/\\1/' /proc/$PPID/task/*/stat | tr -d '\\n'; }
tries=0
until [ \"$(states | tr -d T)\" = '' ] || [ $tries = 500 ]; do sleep 0.02; tries=$((tries + 1)); done
sleep 0.2
states
kill -CONT $PPID
";

/// A thread that computes, one that waits for the reply to its fault, and that fault's handler, which has the request.
#[test]
fn a8_6_a_suspended_task_stops_with_the_handler_of_its_exceptions() {
    const NAME: &str = "task::a8_6_a_suspended_task_stops_with_the_handler_of_its_exceptions";
    if is_emulated() {
        report_skipped(NAME, "the emulator's own threads are the process's");
        return;
    }
    isolated(NAME, || {
        let spin = Arc::new(Spin::default());
        let computing = std::thread::spawn({
            let spin = Arc::clone(&spin);
            move || spin::run(&spin, None)
        });
        let (handler, went_on) = (Arc::new(Handler::new()), Arc::new(AtomicBool::new(false)));
        let (_, victim) = thread({
            let (handler, went_on) = (Arc::clone(&handler), Arc::clone(&went_on));
            move || {
                handler.route_thread(EXC_MASK_BAD_INSTRUCTION);
                undefined();
                went_on.store(true, Ordering::SeqCst);
            }
        });
        let request = handler.receive();
        let answer = Arc::new(AtomicBool::new(false));
        let serving = std::thread::spawn({
            let (handler, answer) = (Arc::clone(&handler), Arc::clone(&answer));
            move || {
                while !answer.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
                let mut state = request.state;
                state.set_pc(state.pc() + LENGTH);
                handler.reply(&request, Some(&state))
            }
        });
        spin.wait_for_rounds();
        let mut observer = Command::new("sh");
        observer.args(["-c", OBSERVER]).stdout(Stdio::piped());
        let observer = observer.spawn().expect("a shell");
        assert_eq!(suspend(task_self()), KernReturn::SUCCESS);
        // Here it has been continued.
        let said = observer.wait_with_output().expect("it ended").stdout;
        let states = String::from_utf8(said).expect("letters");
        assert!(states.len() >= 5, "every thread: {states}");
        assert!(
            states.bytes().all(|state| state == b'T'),
            "all stopped: {states}"
        );
        assert_never("nothing answered it", || went_on.load(Ordering::SeqCst));
        answer.store(true, Ordering::SeqCst);
        assert_eq!(serving.join().expect("it went on"), KernReturn::SUCCESS);
        victim.join().expect("it went on");
        spin.wait_for_rounds();
        spin.end();
        computing.join().expect("it went on");
        // The process that continued it undid the suspension.
        assert_eq!(resume(task_self()), KernReturn::FAILURE);
    });
}

#[test]
fn a8_6_only_tasks_are_suspended_and_only_suspended_ones_resumed() {
    isolated(
        "task::a8_6_only_tasks_are_suspended_and_only_suspended_ones_resumed",
        || {
            for (what, task, code) in [
                ("null", 0, KernReturn::SEND_INVALID_DEST),
                ("absent", 0xdead03, KernReturn::SEND_INVALID_DEST),
                ("a thread", own_name(), KernReturn::INVALID_ARGUMENT),
            ] {
                assert_eq!(suspend(task), code, "{what}");
                assert_eq!(resume(task), code, "{what}");
            }
            assert_eq!(resume(task_self()), KernReturn::FAILURE);
        },
    );
}
