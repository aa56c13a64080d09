//! What can go wrong: each error says what was attempted, on what, and what the kernel answered.

use mach_sys::exception::Behavior;
#[cfg(feature = "receiver")]
use mach_sys::exception::ExceptionMask;
#[cfg(feature = "receiver")]
use mach_sys::kern_return::KernReturn;
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
    Mismatch(#[from] mach_sys::thread_state::StateError),
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
    NoRoom(KernReturn),
    /// Anything else.
    #[error("mach_msg, receiving an exception: {0}")]
    Kernel(KernReturn),
}

/// A reply that did not leave, or a forwarded question that brought no answer.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The thread does not wait any more.
    #[error("the faulting thread is gone, or waits no longer")]
    NobodyWaits,
    /// The reply could not be written.
    #[error("encoding the reply: {0}")]
    Encode(#[from] mig::EncodeError),
    /// Anything else.
    #[error("mach_msg, sending the reply: {0}")]
    Kernel(KernReturn),
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
    TargetGone(KernReturn),
    /// Anything else.
    #[error("registering {mask} with {behavior}: {code}")]
    Kernel {
        /// For which exceptions.
        mask: ExceptionMask,
        /// With which behavior.
        behavior: Behavior,
        /// The kernel's answer.
        code: KernReturn,
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
    /// The server was shut down.
    #[error("the server was shut down")]
    Stopped,
    /// The exception port could not be made.
    #[error("making the exception port: {0}")]
    Port(KernReturn),
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
    /// Its ports could not be made.
    #[error("making the server's ports: {0}")]
    Port(KernReturn),
    /// Its thread could not be created.
    #[error("starting the server's thread")]
    Thread(#[source] std::io::Error),
}
