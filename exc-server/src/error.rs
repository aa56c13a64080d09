//! Errors. Each says what was attempted, on what, and what the kernel answered; each has a number, which a caller in C can be given.

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

/// A delivery that the kernel cannot make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// There is no message for this behavior.
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
    /// A 64-bit thread of this machine has no state of the flavor (A4.2): the kernel accepts it or not, and never sends it.
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

/// A request's state was asked for, or set, as something that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The behavior sends none.
    #[error("the request carries no thread state")]
    Absent,
    /// It is of another flavor or size.
    #[error(transparent)]
    Mismatch(#[from] StateMismatch),
    /// It is a state of another machine, whose flavors are other states here.
    #[error("{flavor} is a thread state of {}, not of {machine}", flavor.machine, machine = Machine::NATIVE)]
    Foreign {
        /// The flavor, with its machine.
        flavor: Flavor,
    },
    /// The deferred exception was answered before.
    #[error("the deferred exception was already answered")]
    Answered,
    /// The new state is larger than any reply.
    #[error("a thread state of {words} words does not fit into a reply")]
    TooLarge {
        /// Its size in words of 32 bits.
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

/// A reply that did not leave.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
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
    #[error("the reply could not be written")]
    Encode(#[from] mig::EncodeError),
    /// Anything else.
    #[error("mach_msg, sending the reply: {0}")]
    Kernel(KernError),
    /// The state to resume with could not be set. The exception was declined.
    #[error("the exception was declined: its new state could not be set")]
    State(#[source] StateError),
}

#[cfg(feature = "receiver")]
impl AnswerError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::NobodyWaits => 0x4301,
            Self::AlreadyDeclined => 0x4302,
            Self::Encode(_) => 0x4303,
            Self::Kernel(_) => 0x4304,
            Self::State(_) => 0x4305,
        }
    }
}

/// No other handler handled the exception.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// No handler was registered for the exception type before, or its port has died, or the route is closed.
    #[error("no other handler is registered for the exception")]
    NoHandler,
    /// The handler's port is the receiver's own, or a member of its set: it would wait for itself.
    #[error("the handler is the receiver of this exception")]
    OwnPort,
    /// The handler waits for the answer to this exception: it is among those that forwarded it here. Or it waits for this one about
    /// another exception, and cannot serve meanwhile.
    #[error("the handler waits for the answer to this exception")]
    Circle,
    /// The handler has declined this exception, when it was forwarded before, here or by a handler that it was forwarded to.
    #[error("the handler has declined this exception before")]
    AlreadyDeclined,
    /// This is the child of a fork, where no thread waits.
    #[error("the exception is the parent process's")]
    Forked,
    /// The handler's behavior has no message, or needs what the request lacks: the thread's right, or a token.
    #[error("the handler's {0} needs what the request lacks")]
    Behavior(Behavior),
    /// A state of the thread could not be read for the handler, or set from its reply.
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
    /// The handler's reply is none.
    #[error("the handler's reply is malformed")]
    Malformed(#[source] mig::ReplyError),
    /// Anything else.
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

    /// Returns whether the handler left, and may have done so without an answer.
    #[cfg(feature = "std")]
    pub(crate) fn is_of_the_dead(&self) -> bool {
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
#[error("room for {capacity} deferred exceptions was asked for; {max} are the most")]
#[non_exhaustive]
pub struct CapacityError {
    /// The capacity that was asked for.
    pub capacity: usize,
    /// The largest.
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
    /// A policy forbids the behavior for this target (B5.3): `EXCEPTION_STATE` or a protected one may be allowed. Where the policy is this
    /// process's own, the kernel is not called, since it would end the process (B5.4).
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
    /// `EXC_CRASH` of this task, or of the calling thread, with a port that this task receives from: the kernel would skip it, since
    /// the task cannot answer for itself then (A1.7). Another process can.
    #[error(
        "EXC_CRASH of this task is never delivered to a port that the task itself receives from"
    )]
    OwnCrash,
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
    /// be told from the task's own.
    /// [`Routing::accept_child_tasks`](crate::Routing::accept_child_tasks) allows it.
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

#[cfg(feature = "std")]
impl RouteError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning. [`Install`](Self::Install) has that of its [`InstallError`].
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

/// Requests of a route that were received and not answered in time.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} request(s) of the route are still being answered")]
#[non_exhaustive]
pub struct InFlight {
    /// How many.
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
    /// The emulated kernel could not be started. The source says what the host refused.
    #[error("starting the emulated kernel")]
    Kernel(#[source] &'static StartError),
    /// Its ports could not be made, or the emulated kernel has no room for its thread: `KERN_RESOURCE_SHORTAGE`.
    #[error("making the server's ports: {0}")]
    Port(KernError),
    /// Its thread could not be created.
    #[error("starting the server's thread")]
    Thread(#[source] std::io::Error),
}

#[cfg(feature = "std")]
impl ServerStartError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning. [`Deferrals`](Self::Deferrals) has that of its [`CapacityError`],
    /// [`Kernel`](Self::Kernel) that of its [`StartError`].
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

    // The others are held by a test of the public interface, which cannot make this one.
    #[test]
    fn the_code_of_requests_in_flight_never_changes() {
        assert_eq!(InFlight { count: 1 }.code(), 0x4901);
    }
}
