//! Suspension: a thread that has stopped runs no code of the program until it is resumed, and then goes on.

use crate::host::stop::Words;
use crate::host::sync::{AtomicU32, Ordering};
use crate::run::Model;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "suspension: held once while it faults",
        preemptions: 6,
        body: || held(1),
    },
    Model {
        name: "suspension: held twice while it faults",
        preemptions: 4,
        body: || held(2),
    },
];

struct Thread {
    words: Words,
    /// The suspension signal, sent and not yet delivered.
    signal: AtomicU32,
    /// Value that the program's code changes. A thread that has stopped this one may read it, as its registers.
    program: UnsafeCell<u32>,
}

/// A thread that runs code of the program, faults once, runs it again, and ends; the suspension signal arrives in the program's code.
fn lives(thread: &Thread) {
    for _ in 0..2 {
        thread.words.enter_program();
        while thread.signal.swap(0, Ordering::SeqCst) != 0 {
            thread.words.leave_program();
            thread.words.enter_program();
        }
        thread.program.with_mut(|steps| {
            // SAFETY: the thread's own; loom checks that no other thread reads meanwhile.
            unsafe { *steps += 1 }
        });
        thread.words.leave_program();
    }
}

fn held(times: u32) {
    let held = Arc::new(Thread {
        words: Words::new(),
        signal: AtomicU32::new(0),
        program: UnsafeCell::new(0),
    });
    // A thread that begins is out of the program's code until it has looked.
    held.words.leave_program();
    let lives = {
        let held = Arc::clone(&held);
        thread::spawn(move || lives(&held))
    };
    for _ in 0..times {
        if held.words.hold() {
            held.signal.store(1, Ordering::SeqCst);
        }
        held.words.wait();
        let read = || {
            held.program.with(|steps| {
                // SAFETY: the thread has stopped; loom checks that it does not write.
                unsafe { *steps }
            })
        };
        let before = read();
        thread::yield_now();
        assert_eq!(read(), before, "it ran while it was held");
        held.words.release();
    }
    lives.join().expect("it goes on to its end");
    held.program.with(|steps| {
        // SAFETY: the thread has ended.
        assert_eq!(unsafe { *steps }, 2);
    });
}
