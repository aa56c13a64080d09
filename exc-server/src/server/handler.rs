//! What a server calls.

use crate::answer::Answered;
use crate::request::exception::Exception;

/// Answers exceptions, on the server's thread.
///
/// The faulting thread is stopped at an arbitrary instruction and may hold any lock, the allocator's included. A handler that locks
/// or allocates is not unsound, but can wait for the thread that waits for it.
///
/// While it runs, the server's thread has the signal mask of the thread that started the server, so that threads and processes that
/// it starts inherit that one; otherwise the thread has all signals blocked but those that its own faults raise.
pub trait Handler: Send + Sync + 'static {
    /// Answers one exception.
    fn handle(&self, exception: Exception<'_>) -> Answered;

    /// Returns whether [`handle`](Self::handle) never starts a thread or a process. It then runs with the server's own signal mask,
    /// which saves the system calls that change it.
    #[doc(hidden)]
    fn starts_nothing(&self) -> bool {
        false
    }
}

impl<F> Handler for F
where
    F: Fn(Exception<'_>) -> Answered + Send + Sync + 'static,
{
    fn handle(&self, exception: Exception<'_>) -> Answered {
        self(exception)
    }
}

/// The effect of a panic in the handler. In both cases the panic hook runs first, which writes and allocates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PanicPolicy {
    /// Declines the exception, counts it, and goes on serving.
    #[default]
    Decline,
    /// Aborts the process.
    Abort,
}
