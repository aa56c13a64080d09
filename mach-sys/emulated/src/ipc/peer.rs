//! The decision to spin: a thread that has just replied to the kernel spins for the next request only if the thread that it
//! replied to last ran on another CPU.

use core::cell::Cell;

thread_local! {
    /// Set by a sent reply, used up by the next receive. The fault handler uses neither of the two calls that reach it.
    static REPLIED_ELSEWHERE: Cell<bool> = const { Cell::new(false) };
}

/// Notes that the calling thread replied to one that last ran on another CPU, or on this one.
pub(super) fn note_reply(elsewhere: bool) {
    REPLIED_ELSEWHERE.with(|replied| replied.set(elsewhere));
}

/// Returns whether the calling thread's last act was a reply to a thread on another CPU.
pub(super) fn take_replied_elsewhere() -> bool {
    REPLIED_ELSEWHERE.with(|replied| replied.replace(false))
}
