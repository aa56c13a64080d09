//! What can go wrong: each error says what was attempted and what the system answered.

use exc_server::RouteError;
use mach_sys::exception::ExceptionMask;
use mach_sys::kern_return::KernError;

/// A manager could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A redirected handler comes back by a trap, whose exception the mask must have.
    #[error("a handler that returns needs {needed} in the mask, which is {mask}")]
    ReturnTrap {
        /// What the way back needs on this machine.
        needed: ExceptionMask,
        /// What was asked for.
        mask: ExceptionMask,
    },
    /// The exception server did not start.
    #[error("starting the exception server")]
    Server(#[from] exc_server::StartError),
    /// The key that announces the end of threads could not be made.
    #[error("making the thread-specific-data key: error {0}")]
    Key(i32),
}

/// A thread could not be taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// It is managed already.
    #[error("the thread is managed already")]
    Already,
    /// It is the thread of an exception server, this manager's or another: it cannot answer its own exceptions.
    #[error("the thread is an exception server's own")]
    ServerThread,
    /// The calling process is a child of the one that made the manager, by fork.
    #[error("the manager belongs to the parent process")]
    Forked,
    /// Its kernel port could not be named.
    #[error("naming the thread's kernel port: {0}")]
    Right(KernError),
    /// No memory for its emergency stack.
    #[error("mapping the emergency stack: errno {0}")]
    Stack(i32),
    /// All places for managed threads are taken.
    #[error("the manager has as many threads as it can")]
    Full,
    /// Its exceptions could not be routed.
    #[error("routing the thread's exceptions")]
    Route(#[from] RouteError),
    /// The exit destructor could not be registered.
    #[error("registering the thread's exit destructor: error {0}")]
    Hook(i32),
}

/// A thread could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The host refused the thread.
    #[error("creating the thread: error {0}")]
    Create(i32),
    /// The stack size is not one that the host takes.
    #[error("a stack of {size} bytes: error {error}")]
    StackSize {
        /// What was asked for.
        size: usize,
        /// The host's answer.
        error: i32,
    },
    /// The calling process is a child of the one that made the manager, by fork.
    #[error("the manager belongs to the parent process")]
    Forked,
    /// The thread ran, could not be taken in, and ended without running its body.
    #[error("taking the new thread in")]
    Attach(#[from] AttachError),
}

/// A thread could not be joined. In every case the handle is gone; a thread that still runs is detached, and its resources are freed when
/// it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A thread cannot wait for its own end.
    #[error("a thread cannot join itself")]
    Itself,
    /// The thread is waiting for the calling one to end, directly or over other threads, so that all would wait for ever.
    #[error("the thread is waiting for the calling one to end")]
    Deadlock,
    /// An exception server's thread cannot wait: the other thread may need it to answer an exception.
    #[error("an exception server's thread cannot join")]
    ServerThread,
    /// The host refused with this error number.
    #[error("joining the thread: error {0}")]
    Host(i32),
    /// The thread ended and left no result.
    #[error("the thread left no result")]
    NoResult,
    /// The calling process is a child of the one that started the thread, by fork: the thread is not there.
    #[error("the thread belongs to the parent process")]
    Forked,
}

/// A thread cannot be ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExitError {
    /// The calling thread is not managed.
    #[error("the calling thread is not managed")]
    NotManaged,
    /// The manager did not start it: only its owner can end it.
    #[error("the calling thread was attached, not started, by the manager")]
    Attached,
    /// Its body has returned: the thread is in its destructors, on its way out.
    #[error("the calling thread is ending already")]
    Ending,
}
