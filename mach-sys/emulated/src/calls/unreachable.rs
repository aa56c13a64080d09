//! Threads that could not be stopped: which, and why.

use crate::host::suspend::reach::Unreachable;
use core::cell::Cell;
use mach_wire::kern_return::KernReturn;

/// The reason why a thread could not be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnreachableReason {
    /// There is no suspension signal, because all that the emulation tries had a handler at the start; or another component installed a
    /// handler for it since.
    #[error("the suspension signal has another handler")]
    Displaced,
    /// The thread has the suspension signal blocked, or waits for signals, and the system lets no tracer reach it (`ptrace`).
    #[error("the thread has the suspension signal blocked, and cannot be traced")]
    Blocked,
    /// The system refused to send the signal, as a sandbox may.
    #[error("the system refused to send the suspension signal")]
    Refused,
    /// The thread did not stop within ten seconds.
    #[error("the thread did not stop in time")]
    TimedOut,
}

/// A thread that could not be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("thread {thread_id:#x} cannot be stopped: {reason}")]
#[non_exhaustive]
pub struct UnreachableThread {
    /// The thread's 64-bit identifier, as `thread_id` of `mach_sys::kernel::system` returns it. The low half is the system's identifier.
    pub thread_id: u64,
    /// The reason why it could not be stopped.
    pub reason: UnreachableReason,
}

thread_local! {
    /// Constant and without a destructor: nothing is allocated for it. No code of the fault handler comes here.
    static LAST: Cell<Option<UnreachableThread>> = const { Cell::new(None) };
}

/// Notes that a thread could not be stopped. Returns the error of the call.
pub(super) fn note(thread_id: u64, reason: Unreachable) -> KernReturn {
    let reason = match reason {
        Unreachable::Displaced => UnreachableReason::Displaced,
        Unreachable::Blocked => UnreachableReason::Blocked,
        Unreachable::Refused => UnreachableReason::Refused,
        Unreachable::TimedOut => UnreachableReason::TimedOut,
    };
    LAST.set(Some(UnreachableThread { thread_id, reason }));
    KernReturn::OPERATION_TIMED_OUT
}

/// Returns the last thread that a call of the calling thread could not stop, and forgets it. `None` if there was none since the last time.
///
/// `thread_suspend`, `thread_terminate`, and `thread_get_state` and `thread_set_state` of a running thread return
/// `KERN_OPERATION_TIMED_OUT` then, which XNU never does: it stops every thread. They change nothing.
#[must_use]
pub fn take_unreachable() -> Option<UnreachableThread> {
    LAST.take()
}
