//! Whether spinning can win: a server thread that has just answered spins for the next exception only if the thread it answered
//! last ran on another CPU.

use core::cell::Cell;

thread_local! {
    /// Set by an answer, used up by the next receive. A server thread's own; no fault handler looks at it.
    static ANSWERED_ELSEWHERE: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread answered a thread that last ran on another CPU, or on this one.
pub(crate) fn note_answer(elsewhere: bool) {
    ANSWERED_ELSEWHERE.with(|answered| answered.set(elsewhere));
}

/// Whether the calling thread's last act was such an answer.
pub(crate) fn take_answered_elsewhere() -> bool {
    ANSWERED_ELSEWHERE.with(|answered| answered.replace(false))
}
