//! Futexes as Linux has them: a thread looks at the word and begins to wait in one step, those that wait for a word are woken in the order in
//! which they came, and no more than were asked for.

use super::sync::{AtomicU32, Ordering};
use core::time::Duration;
use loom::sync::{Condvar, Mutex};

/// Result of a wait. The model's never time out, and no signal arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Woken,
    Changed,
    TimedOut,
    Interrupted,
}

/// The threads that wait: the word's address, and a number of its own for each.
#[derive(Default)]
struct Waiting {
    threads: Vec<(usize, u64)>,
    next: u64,
}

loom::lazy_static! {
    static ref WAITING: Mutex<Waiting> = Mutex::new(Waiting::default());
    static ref CHANGED: Condvar = Condvar::new();
}

/// Waits while `word` has the value `expected`.
pub(crate) fn wait(word: &AtomicU32, expected: u32, _timeout: Option<Duration>) -> Wait {
    let mut waiting = WAITING.lock().expect("no panic");
    if word.load(Ordering::SeqCst) != expected {
        return Wait::Changed;
    }
    let own = waiting.next;
    waiting.next += 1;
    waiting
        .threads
        .push((core::ptr::from_ref(word) as usize, own));
    while waiting.threads.iter().any(|(_, number)| *number == own) {
        waiting = CHANGED.wait(waiting).expect("no panic");
    }
    Wait::Woken
}

/// Wakes up to `count` threads that wait on `word`.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    let mut waiting = WAITING.lock().expect("no panic");
    let at = core::ptr::from_ref(word) as usize;
    let mut left = count;
    waiting.threads.retain(|(address, _)| {
        let woken = *address == at && left > 0;
        left -= u32::from(woken);
        !woken
    });
    CHANGED.notify_all();
}
