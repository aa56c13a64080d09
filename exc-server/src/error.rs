//! What can go wrong: each error says what was attempted, on what, and what the kernel answered.

use mach_sys::exception::Behavior;
#[cfg(feature = "receiver")]
use mach_sys::exception::ExceptionMask;
#[cfg(feature = "receiver")]
use mach_sys::kern_return::KernError;
#[cfg(feature = "receiver")]
use mach_sys::mig;
use mach_sys::thread_state::Flavor;

/// A delivery that the kernel cannot make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// There is no message for this behavior.
    #[error("the kernel has no message for behavior {0}")]
    Behavior(Behavior),
    /// A state-carrying behavior needs a flavor that a thread of this machine has.
    #[error("{behavior} needs the flavor of a thread state, not {flavor}")]
    Flavor {
        /// The behavior.
        behavior: Behavior,
        /// The flavor.
        flavor: Flavor,
    },
}

/// A request's state was asked for, or set, as something that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The behavior sends none.
    #[error("the request carries no thread state")]
    Absent,
    /// It is of another flavor or size.
    #[error(transparent)]
    Mismatch(#[from] mach_sys::thread_state::StateMismatch),
    /// The deferred exception was answered before.
    #[error("the deferred exception was already answered")]
    Answered,
    /// The new state is larger than any reply.
    #[error("a thread state of {words} words does not fit into a reply")]
    TooLarge {
        /// Its size.
        words: usize,
    },
}

/// No exception was received.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Nothing arrived in time.
    #[error("no exception arrived in time")]
    TimedOut,
    /// The port or set was destroyed.
    #[error("the exception port is gone")]
    PortGone,
    /// A message that is no exception request: answered with the MIG error that Apple's servers answer, its rights released.
    #[error("a message with id {id} was refused: {reason}")]
    Malformed {
        /// Its id.
        id: i32,
        /// What is wrong with it.
        reason: mig::DecodeError,
    },
    /// A message larger than any request: the kernel destroyed it, and its sender knows.
    #[error("a message larger than any exception request was destroyed")]
    TooLarge,
    /// A message whose rights the task had no room for (C11.11): what came of it was destroyed, and its sender knows.
    #[error("a message whose rights there was no room for was destroyed: {0}")]
    NoRoom(KernError),
    /// Anything else.
    #[error("mach_msg, receiving an exception: {0}")]
    Kernel(KernError),
}

/// A reply that did not leave.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The thread does not wait any more.
    #[error("the faulting thread is gone, or waits no longer")]
    NobodyWaits,
    /// The deferred exception was declined before: its route, server or table was closed, or its deadline passed. Also in the child of
    /// a fork, where no thread waits.
    #[error(
        "the deferred exception was already declined: its route or server closed, or its deadline passed"
    )]
    AlreadyDeclined,
    /// The reply could not be written.
    #[error("encoding the reply: {0}")]
    Encode(#[from] mig::EncodeError),
    /// Anything else.
    #[error("mach_msg, sending the reply: {0}")]
    Kernel(KernError),
}

/// An exception could not be deferred.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeferError {
    /// The receiver was lent no table of deferred exceptions.
    #[error("the receiver has no table for deferred exceptions")]
    NoTable,
    /// As many exceptions are deferred as the table has room for.
    #[error("{capacity} exception(s) are deferred, and there is no room for more")]
    Full {
        /// The table's capacity.
        capacity: usize,
    },
    /// The route, the server or the table was closed meanwhile, or this is the child of a fork.
    #[error("the exception's route or server was closed")]
    Closed,
}

/// A table for deferred exceptions could not be made.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("room for {capacity} deferred exceptions was asked for; {max} are the most")]
pub struct CapacityError {
    /// The capacity that was asked for.
    pub capacity: usize,
    /// The largest.
    pub max: usize,
}

/// Exception ports could not be registered or put back.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// A policy forbids the behavior for this target (B5.3): a protected one may be allowed.
    #[error("registering {behavior} is forbidden here; a protected behavior may be allowed")]
    Denied {
        /// The behavior.
        behavior: Behavior,
    },
    /// The thread or task is gone.
    #[error("registering exception ports: the thread or task is gone ({0})")]
    TargetGone(KernError),
    /// Anything else.
    #[error("registering {mask} with {behavior}: {code}")]
    Kernel {
        /// For which exceptions.
        mask: ExceptionMask,
        /// With which behavior.
        behavior: Behavior,
        /// The kernel's answer.
        code: KernError,
    },
}

/// A route could not be opened.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The behavior does not name the task: at task level the exceptions of children, which inherit the registration (B6.3), cannot
    /// be told from the task's own.
    /// [`Routing::children_need_not_be_told_apart`](crate::Routing::children_need_not_be_told_apart) allows it.
    #[error("{behavior} at task level cannot tell a child's exceptions from the task's own")]
    AnonymousTask {
        /// The behavior.
        behavior: Behavior,
    },
    /// All places for routes are taken.
    #[error("the server has {0} routes, and no room for more")]
    Full(u32),
    /// The target is the server's own thread: a fault there would wait for itself.
    #[error("the server's own thread cannot answer its own exceptions")]
    ServerThread,
    /// The server was shut down, or this is the child of a fork, where no server thread runs.
    #[error("the server was shut down")]
    Stopped,
    /// The exception port could not be made.
    #[error("making the exception port: {0}")]
    Port(KernError),
    /// The port could not be registered.
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// Requests of a route that were received and not answered in time.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} request(s) of the route are still being answered")]
pub struct InFlight {
    /// How many.
    pub count: u32,
}

/// The server did not start.
#[cfg(feature = "std")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A thread's name ends at its first NUL.
    #[error("the server's thread cannot be named {name:?}: the name contains a NUL")]
    Name {
        /// The name.
        name: String,
    },
    /// The stack is too small to serve on, or too large for any system.
    #[error("a stack of {bytes} bytes was asked for; it must have {min} to {max}")]
    StackSize {
        /// The size that was asked for.
        bytes: usize,
        /// The smallest.
        min: usize,
        /// The largest.
        max: usize,
    },
    /// More room for deferred exceptions was asked for than a table has.
    #[error(transparent)]
    Deferrals(#[from] CapacityError),
    /// Its ports could not be made.
    #[error("making the server's ports: {0}")]
    Port(KernError),
    /// Its thread could not be created.
    #[error("starting the server's thread")]
    Thread(#[source] std::io::Error),
}
