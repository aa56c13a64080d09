//! The crate's errors. Each names the attempted operation, its object and the kernel's error, and has a numeric code for callers in C.

use mach_sys::exception::Behavior;
#[cfg(feature = "receiver")]
use mach_sys::exception::ExceptionMask;
#[cfg(feature = "receiver")]
use mach_sys::kern_return::KernError;
#[cfg(feature = "std")]
use mach_sys::kernel::StartError;
use mach_sys::machine::Machine;
#[cfg(feature = "receiver")]
use mach_sys::mig;
use mach_sys::thread_state::{Flavor, StateMismatch};

/// A combination of behavior and flavor that the kernel cannot deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The kernel has no request for this behavior.
    #[error("the kernel has no message for behavior {0}")]
    Behavior(Behavior),
    /// The behavior carries a state, and no flavor is given.
    #[error("{behavior} needs the flavor of a thread state")]
    NoFlavor {
        /// The behavior.
        behavior: Behavior,
    },
    /// The behavior carries no state, and a flavor is given.
    #[error("{behavior} carries no thread state, so that {flavor} is never sent")]
    NeedlessFlavor {
        /// The behavior.
        behavior: Behavior,
        /// The flavor.
        flavor: Flavor,
    },
    /// A 64-bit thread of this machine has no state of the flavor (A4.2): the kernel may accept it, but never sends it.
    #[error("a 64-bit thread of {machine} has no state of flavor {flavor} (of {})", flavor.machine, machine = Machine::NATIVE)]
    Flavor {
        /// The behavior.
        behavior: Behavior,
        /// The flavor.
        flavor: Flavor,
    },
}

impl DeliveryError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Behavior(_) => 0x4001,
            Self::NoFlavor { .. } => 0x4002,
            Self::NeedlessFlavor { .. } => 0x4003,
            Self::Flavor { .. } => 0x4004,
        }
    }
}

/// A request's state could not be read or set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The behavior carries no state.
    #[error("the request carries no thread state")]
    Absent,
    /// The request's state has another flavor or size.
    #[error(transparent)]
    Mismatch(#[from] StateMismatch),
    /// The type is a state of another machine, whose flavors mean other states on this one.
    #[error("{flavor} is a thread state of {}, not of {machine}", flavor.machine, machine = Machine::NATIVE)]
    Foreign {
        /// The flavor, with its machine.
        flavor: Flavor,
    },
    /// The deferred exception was answered already.
    #[error("the deferred exception was already answered")]
    Answered,
    /// The new state is larger than any reply can carry.
    #[error("a thread state of {words} words does not fit into a reply")]
    TooLarge {
        /// The state's size in words of 32 bits.
        words: usize,
    },
}

impl StateError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Absent => 0x4101,
            Self::Mismatch(_) => 0x4102,
            Self::Foreign { .. } => 0x4103,
            Self::Answered => 0x4104,
            Self::TooLarge { .. } => 0x4105,
        }
    }

    #[cfg(feature = "receiver")]
    pub(crate) fn check_machine(flavor: Flavor) -> Result<(), Self> {
        if flavor.machine == Machine::NATIVE {
            Ok(())
        } else {
            Err(Self::Foreign { flavor })
        }
    }
}

/// No exception was received.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// No message arrived in time.
    #[error("no exception arrived in time")]
    TimedOut,
    /// The port or port set was destroyed.
    #[error("the exception port is gone")]
    PortGone,
    /// A message was not an exception request. It was answered with the MIG error that Apple's servers reply, and its rights were released.
    #[error("a message with id {id} was refused: {reason}")]
    Malformed {
        /// The message's id.
        id: i32,
        /// The reason for refusing it.
        reason: mig::DecodeError,
    },
    /// A message was larger than any request. The kernel destroyed it and notified its sender.
    #[error("a message larger than any exception request was destroyed")]
    TooLarge,
    /// The task had no room for a message's rights (C11.11). The received part was destroyed, and its sender notified.
    #[error("a message was destroyed, because the task had no room for its rights: {0}")]
    NoRoom(KernError),
    /// Another error of `mach_msg`.
    #[error("mach_msg, receiving an exception: {0}")]
    Kernel(KernError),
}

#[cfg(feature = "receiver")]
impl ReceiveError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::TimedOut => 0x4201,
            Self::PortGone => 0x4202,
            Self::Malformed { .. } => 0x4203,
            Self::TooLarge => 0x4204,
            Self::NoRoom(_) => 0x4205,
            Self::Kernel(_) => 0x4206,
        }
    }
}

/// A reply could not be delivered.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The thread is gone, or does not wait any more.
    #[error("the faulting thread is gone, or waits no longer")]
    Unwanted,
    /// The deferred exception was declined already: its route, server or table was closed, or its deadline passed. Returned also in the
    /// child of a fork, where no thread waits.
    #[error(
        "the deferred exception was already declined: its route or server closed, or its deadline passed"
    )]
    AlreadyDeclined,
    /// The reply could not be written.
    #[error("the reply could not be written")]
    Encode(#[from] mig::EncodeError),
    /// Another error of `mach_msg`.
    #[error("mach_msg, sending the reply: {0}")]
    Kernel(KernError),
    /// The state to resume with could not be set; the exception was declined.
    #[error("the exception was declined: its new state could not be set")]
    State(#[source] StateError),
}

#[cfg(feature = "receiver")]
impl AnswerError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Unwanted => 0x4301,
            Self::AlreadyDeclined => 0x4302,
            Self::Encode(_) => 0x4303,
            Self::Kernel(_) => 0x4304,
            Self::State(_) => 0x4305,
        }
    }
}

/// The exception could not be forwarded, or the other handler did not handle it.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// No handler was registered for the exception type before, its port has died, or the route is closed.
    #[error("no other handler is registered for the exception")]
    NoHandler,
    /// The handler's port is the receiver's own, or a member of its port set: the receiver would wait for itself.
    #[error("the handler is the receiver of this exception")]
    OwnPort,
    /// The handler waits for the answer to this exception, because it forwarded the exception here. Or it waits for this receiver's answer
    /// to another exception, and neither can serve meanwhile. Threads that receive from one port count as one.
    #[error("the handler waits for the answer to this exception")]
    Circle,
    /// The handler has declined this exception already, forwarded by this receiver or by another handler on its way.
    #[error("the handler has declined this exception before")]
    AlreadyDeclined,
    /// The calling process is the child of a fork, where no thread waits.
    #[error("the exception belongs to the parent process")]
    Forked,
    /// The handler's behavior has no request, or needs a right that this request lacks: the thread's port, or a token.
    #[error("the handler's behavior {0} has no request, or needs a right that this request lacks")]
    Behavior(Behavior),
    /// The thread's state could not be read for the handler, or set from its reply.
    #[error("getting or setting a state of the thread: {0}")]
    State(KernError),
    /// The request could not be written.
    #[error("the request could not be written")]
    Encode(#[from] mig::EncodeError),
    /// The handler did not take the request or did not reply in time.
    #[error("the handler did not reply in time")]
    TimedOut,
    /// The handler's port has died.
    #[error("the handler's port has died")]
    PortGone,
    /// The handler declined: it replied with this code.
    #[error("the handler declined: {0}")]
    Declined(KernError),
    /// The handler's reply is malformed.
    #[error("the handler's reply is malformed")]
    Malformed(#[source] mig::ReplyError),
    /// Another error of `mach_msg`.
    #[error("mach_msg, forwarding the exception: {0}")]
    Kernel(KernError),
}

#[cfg(feature = "receiver")]
impl ForwardError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::NoHandler => 0x4401,
            Self::OwnPort => 0x4402,
            Self::Forked => 0x4403,
            Self::Behavior(_) => 0x4404,
            Self::State(_) => 0x4405,
            Self::Encode(_) => 0x4406,
            Self::TimedOut => 0x4407,
            Self::PortGone => 0x4408,
            Self::Declined(_) => 0x4409,
            Self::Malformed(_) => 0x440a,
            Self::Kernel(_) => 0x440b,
            Self::Circle => 0x440c,
            Self::AlreadyDeclined => 0x440d,
        }
    }

    /// Returns whether the handler's port died, possibly before the handler answered.
    #[cfg(feature = "std")]
    pub(crate) fn is_dead_port(&self) -> bool {
        matches!(
            self,
            Self::PortGone | Self::Malformed(mig::ReplyError::ServerDied)
        )
    }

    pub(crate) fn of_exchange(code: KernError) -> Self {
        match code {
            KernError::SEND_TIMED_OUT | KernError::RCV_TIMED_OUT => Self::TimedOut,
            KernError::SEND_INVALID_DEST => Self::PortGone,
            code => Self::Kernel(code),
        }
    }
}

/// An exception could not be deferred.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeferError {
    /// The receiver has no table of deferred exceptions.
    #[error("the receiver has no table for deferred exceptions")]
    NoTable,
    /// The table of deferred exceptions is full.
    #[error("{capacity} exception(s) are deferred, and there is no room for more")]
    Full {
        /// The table's capacity.
        capacity: usize,
    },
    /// The route, the server or the table was closed meanwhile, or the calling process is the child of a fork.
    #[error("the exception's route or server was closed")]
    Closed,
}

#[cfg(feature = "receiver")]
impl DeferError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::NoTable => 0x4501,
            Self::Full { .. } => 0x4502,
            Self::Closed => 0x4503,
        }
    }
}

/// A table for deferred exceptions could not be made.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("room for {capacity} deferred exceptions is not possible: {max} is the maximum")]
#[non_exhaustive]
pub struct CapacityError {
    /// The requested capacity.
    pub capacity: usize,
    /// The largest capacity.
    pub max: usize,
}

#[cfg(feature = "receiver")]
impl CapacityError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        0x4601
    }
}

/// Exception ports could not be registered or put back.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// A policy forbids the behavior for this target (B5.3); `EXCEPTION_STATE` or a protected behavior may be allowed. If it is this
    /// process's own policy, the kernel is not called, since it would end the process (B5.4).
    #[error(
        "registering {behavior} is forbidden here; EXCEPTION_STATE or a protected behavior may be allowed"
    )]
    Denied {
        /// The behavior.
        behavior: Behavior,
    },
    /// The thread or task is gone.
    #[error("registering exception ports: the thread or task is gone ({0})")]
    TargetGone(KernError),
    /// The mask has `EXC_CRASH`, the target is this task or the calling thread, and this task receives from the port: the kernel would
    /// skip the handler, since the task cannot answer for itself then (A1.7). Another process can register for it.
    #[error(
        "EXC_CRASH of this task is never delivered to a port that the task itself receives from"
    )]
    OwnCrash,
    /// Another error of the kernel.
    #[error("registering {mask} with {behavior}: {code}")]
    Kernel {
        /// The exception types to register for.
        mask: ExceptionMask,
        /// The behavior.
        behavior: Behavior,
        /// The kernel's error.
        code: KernError,
    },
}

#[cfg(feature = "receiver")]
impl InstallError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Denied { .. } => 0x4701,
            Self::TargetGone(_) => 0x4702,
            Self::OwnCrash => 0x4703,
            Self::Kernel { .. } => 0x4704,
        }
    }
}

/// A route could not be opened.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The behavior does not name the task: at task level the exceptions of children, which inherit the registration (B6.3), cannot
    /// be told from the task's own. [`Routing::accept_child_tasks`](crate::Routing::accept_child_tasks) allows it.
    #[error("{behavior} at task level cannot tell a child's exceptions from the task's own")]
    AnonymousTask {
        /// The behavior.
        behavior: Behavior,
    },
    /// The server has as many routes as it can, this many.
    #[error("the server has {0} routes, and no room for more")]
    Full(u32),
    /// The target is the server's own thread: a fault there would wait for itself.
    #[error("the server's own thread cannot answer its own exceptions")]
    ServerThread,
    /// The server was shut down, or the calling process is the child of a fork, where no server thread runs.
    #[error("the server was shut down")]
    Stopped,
    /// The exception port could not be made.
    #[error("making the exception port: {0}")]
    Port(KernError),
    /// The port could not be registered.
    #[error(transparent)]
    Install(#[from] InstallError),
}

#[cfg(feature = "std")]
impl RouteError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning. [`Install`](Self::Install) has
    /// the code of its [`InstallError`].
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::AnonymousTask { .. } => 0x4801,
            Self::Full(_) => 0x4802,
            Self::Stopped => 0x4803,
            Self::Port(_) => 0x4804,
            Self::ServerThread => 0x4805,
            Self::Install(error) => error.code(),
        }
    }
}

/// Requests of a route that were received but not answered in time.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} request(s) of the route are still being answered")]
#[non_exhaustive]
pub struct InFlight {
    /// Number of requests in flight.
    pub count: u32,
}

#[cfg(feature = "std")]
impl InFlight {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        0x4901
    }
}

/// The server did not start.
#[cfg(feature = "std")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerStartError {
    /// The thread's name contains a NUL.
    #[error("the server's thread cannot be named {name:?}: the name contains a NUL")]
    Name {
        /// The name.
        name: String,
    },
    /// The stack is too small for the server, or too large for any system.
    #[error("a stack of {bytes} bytes is not possible: it must have {min} to {max}")]
    StackSize {
        /// The requested size in bytes.
        bytes: usize,
        /// The smallest size in bytes.
        min: usize,
        /// The largest size in bytes.
        max: usize,
    },
    /// The requested capacity for deferred exceptions is too large.
    #[error(transparent)]
    Deferrals(#[from] CapacityError),
    /// The emulated kernel could not be started. The source is the system's error.
    #[error("starting the emulated kernel")]
    Kernel(#[source] &'static StartError),
    /// The server's ports could not be made, or the emulated kernel has no room for its thread: `KERN_RESOURCE_SHORTAGE`.
    #[error("making the server's ports: {0}")]
    Port(KernError),
    /// The server's thread could not be created.
    #[error("starting the server's thread")]
    Thread(#[source] std::io::Error),
}

#[cfg(feature = "std")]
impl ServerStartError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning. [`Deferrals`](Self::Deferrals)
    /// has the code of its [`CapacityError`], and [`Kernel`](Self::Kernel) that of its [`StartError`].
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Name { .. } => 0x4a01,
            Self::StackSize { .. } => 0x4a02,
            Self::Port(_) => 0x4a03,
            Self::Thread(_) => 0x4a04,
            Self::Deferrals(error) => error.code(),
            Self::Kernel(error) => error.code(),
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    // A test of the public interface checks the other codes; it cannot construct this error.
    #[test]
    fn the_code_of_requests_in_flight_never_changes() {
        assert_eq!(InFlight { count: 1 }.code(), 0x4901);
    }
}
