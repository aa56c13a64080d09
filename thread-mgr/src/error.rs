//! The crate's errors. Each says what was attempted; its source is the system's error.

use crate::panicked::Panicked;
use exc_server::RouteError;
use mach_sys::exception::ExceptionMask;
use mach_sys::kern_return::KernError;
use std::io;

/// A manager could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The mask lacks the exception types that a handler needs to return.
    #[error("the mask {mask} lacks {needed}, which handlers need to return")]
    ReturnTrap {
        /// The exception types that handlers return by in this process ([`Rewriter::return_mask`](signal_redirect::Rewriter::return_mask)).
        needed: ExceptionMask,
        /// The mask that was set.
        mask: ExceptionMask,
    },
    /// The exception server did not start.
    #[error("the exception server did not start")]
    Server(#[from] exc_server::ServerStartError),
    /// The key whose destructor runs when a thread exits could not be created (`pthread_key_create`).
    #[error("the key for the exit destructor could not be created")]
    Key(#[source] io::Error),
}

/// A thread could not be attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The thread is managed already, by this manager or another.
    #[error("the thread is managed already")]
    Already,
    /// The thread is exiting, and could not be detached: the C library is in its last pass over the thread-specific-data destructors.
    #[error("the thread is exiting")]
    Exiting,
    /// The thread belongs to an exception server, this manager's or another: it cannot answer its own exceptions.
    #[error("the thread belongs to an exception server")]
    ServerThread,
    /// The calling process is a child, by fork, of the one that built the manager.
    #[error("the manager belongs to the parent process")]
    Forked,
    /// The thread's kernel port has no name.
    #[error("the thread's kernel port could not be named: {0}")]
    Right(KernError),
    /// The emergency stack could not be mapped (`mmap`, `mprotect`).
    #[error("the emergency stack could not be mapped")]
    Stack(#[source] io::Error),
    /// The manager has 65536 threads, its limit.
    #[error("the manager has 65536 threads, its limit")]
    Full,
    /// The thread's exceptions could not be routed to the server.
    #[error("the thread's exceptions could not be routed")]
    Route(#[from] RouteError),
    /// The exit destructor could not be registered (`pthread_setspecific`).
    #[error("the thread's exit destructor could not be registered")]
    Hook(#[source] io::Error),
}

/// A thread could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The system could not create the thread (`pthread_create`).
    #[error("the thread could not be created")]
    Create(#[source] io::Error),
    /// The system cannot provide a stack of this size.
    #[error("a stack of {size} bytes cannot be provided")]
    StackSize {
        /// The size that was set, in bytes.
        size: usize,
        /// The system's error.
        source: io::Error,
    },
    /// The calling process is a child, by fork, of the one that built the manager.
    #[error("the manager belongs to the parent process")]
    Forked,
    /// The thread ran, could not be attached, and exited without running its body.
    #[error("the new thread could not be attached")]
    Attach(#[from] AttachError),
}

/// A thread could not be joined, or its body panicked. In every case the handle is gone. A thread that still runs is detached, and its
/// resources are freed when it exits.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The thread's body panicked. The thread has exited, and [`Panicked`] has its payload and its report.
    #[error(transparent)]
    Panicked(Box<Panicked>),
    /// The calling thread is the thread to join.
    #[error("a thread cannot join itself")]
    Itself,
    /// The thread is waiting for the calling one to exit, directly or through other threads, so that all would wait forever.
    #[error("the thread is waiting for the calling one to exit")]
    Deadlock,
    /// The calling thread belongs to an exception server: the other thread may need it to answer an exception.
    #[error("an exception server's thread cannot join")]
    ServerThread,
    /// The system refused to join the thread (`pthread_join`).
    #[error("the thread could not be joined")]
    System(#[source] io::Error),
    /// The thread exited without a result, for example because its body called `pthread_exit`.
    #[error("the thread left no result")]
    NoResult,
    /// The calling process is a child, by fork, of the one that started the thread, and does not have that thread.
    #[error("the thread belongs to the parent process")]
    Forked,
}

/// The calling thread cannot be ended by [`exit_now`](crate::exit_now).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExitError {
    /// The calling thread is not managed.
    #[error("the calling thread is not managed")]
    NotManaged,
    /// The calling thread was attached by its manager, not started: only the code that started it can end it.
    #[error("the calling thread was attached, not started, by the manager")]
    Attached,
    /// The thread's body has returned; its destructors are running.
    #[error("the calling thread is exiting already")]
    Ending,
}

impl BuildError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::ReturnTrap { .. } => 0x6001,
            Self::Server(_) => 0x6002,
            Self::Key(_) => 0x6003,
        }
    }
}

impl AttachError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Already => 0x6101,
            Self::ServerThread => 0x6102,
            Self::Forked => 0x6103,
            Self::Right(_) => 0x6104,
            Self::Stack(_) => 0x6105,
            Self::Full => 0x6106,
            Self::Route(_) => 0x6107,
            Self::Hook(_) => 0x6108,
            Self::Exiting => 0x6109,
        }
    }
}

impl SpawnError {
    /// Returns the stable numeric code of this error, for callers in C. For [`Attach`](Self::Attach) it is the code of the cause. A code
    /// never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Create(_) => 0x6201,
            Self::StackSize { .. } => 0x6202,
            Self::Forked => 0x6203,
            Self::Attach(error) => error.code(),
        }
    }
}

impl JoinError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Panicked(_) => 0x6301,
            Self::Itself => 0x6302,
            Self::Deadlock => 0x6303,
            Self::ServerThread => 0x6304,
            Self::System(_) => 0x6305,
            Self::NoResult => 0x6306,
            Self::Forked => 0x6307,
        }
    }
}

impl ExitError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::NotManaged => 0x6401,
            Self::Attached => 0x6402,
            Self::Ending => 0x6403,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::error::Error;
    use exc_server::{Deferrals, InstallError, ServerStartError};
    use mach_sys::exception::Behavior;

    fn refused() -> io::Error {
        io::Error::from_raw_os_error(libc::EINVAL)
    }

    fn panicked() -> JoinError {
        JoinError::Panicked(Box::new(Panicked::new(Box::new("no more"), None)))
    }

    /// Returns every error with its code and the expected code.
    fn all() -> Vec<(Box<dyn Error>, u32, u32)> {
        let mask = ExceptionMask::BAD_ACCESS;
        let mut all: Vec<(Box<dyn Error>, u32, u32)> = Vec::new();
        macro_rules! push {
            ($($error:expr => $code:literal,)*) => {
                $({ let error = $error; let code = error.code(); all.push((Box::new(error), code, $code)); })*
            };
        }
        push! {
            BuildError::ReturnTrap { needed: mask, mask } => 0x6001,
            BuildError::Server(exc_server::ServerStartError::Thread(refused())) => 0x6002,
            BuildError::Key(refused()) => 0x6003,
            AttachError::Already => 0x6101,
            AttachError::ServerThread => 0x6102,
            AttachError::Forked => 0x6103,
            AttachError::Right(KernError::RESOURCE_SHORTAGE) => 0x6104,
            AttachError::Stack(refused()) => 0x6105,
            AttachError::Full => 0x6106,
            AttachError::Route(RouteError::Stopped) => 0x6107,
            AttachError::Hook(refused()) => 0x6108,
            AttachError::Exiting => 0x6109,
            SpawnError::Create(refused()) => 0x6201,
            SpawnError::StackSize { size: 1, source: refused() } => 0x6202,
            SpawnError::Forked => 0x6203,
            SpawnError::Attach(AttachError::Full) => 0x6106,
            panicked() => 0x6301,
            JoinError::Itself => 0x6302,
            JoinError::Deadlock => 0x6303,
            JoinError::ServerThread => 0x6304,
            JoinError::System(refused()) => 0x6305,
            JoinError::NoResult => 0x6306,
            JoinError::Forked => 0x6307,
            ExitError::NotManaged => 0x6401,
            ExitError::Attached => 0x6402,
            ExitError::Ending => 0x6403,
        }
        all
    }

    #[test]
    fn codes_never_change() {
        for (error, code, expected) in all() {
            assert_eq!(code, expected, "{error}");
        }
    }

    /// Returns every error of this crate that an error of the exception server causes.
    fn causes() -> Vec<Box<dyn Error>> {
        let code = KernError::RESOURCE_SHORTAGE;
        let behavior: Behavior = "EXCEPTION_DEFAULT".parse().expect("a name");
        let installs = [
            InstallError::Denied { behavior },
            InstallError::TargetGone(code),
            InstallError::Kernel {
                mask: ExceptionMask::BAD_ACCESS,
                behavior,
                code,
            },
        ];
        let routes = [
            RouteError::AnonymousTask { behavior },
            RouteError::Full(1),
            RouteError::ServerThread,
            RouteError::Stopped,
            RouteError::Port(code),
        ];
        let name = String::from("a\0name");
        let (bytes, min, max) = (1, 2, 3);
        let capacity = Deferrals::new(usize::MAX).expect_err("too many");
        let servers = [
            ServerStartError::Name { name },
            ServerStartError::StackSize { bytes, min, max },
            ServerStartError::Deferrals(capacity),
            ServerStartError::Port(code),
            ServerStartError::Thread(refused()),
        ];
        let routes = routes.into_iter();
        let routes = routes.chain(installs.into_iter().map(RouteError::Install));
        let attaches = routes.map(AttachError::Route).map(SpawnError::Attach);
        let attaches = attaches.map(|error| Box::new(error) as Box<dyn Error>);
        let servers = servers.into_iter().map(BuildError::Server);
        let servers = servers.map(|error| Box::new(error) as Box<dyn Error>);
        attaches.chain(servers).collect()
    }

    #[test]
    fn a_cause_is_the_source_and_not_in_the_text() {
        let mut with_cause = 0;
        let errors = all().into_iter().map(|(error, ..)| error);
        for error in errors.chain(causes()) {
            let mut error: &dyn Error = &*error;
            // Along the whole chain: a program that prints the chain must not print a cause twice.
            while let Some(cause) = error.source() {
                assert!(!error.to_string().contains(&cause.to_string()), "{error}");
                error = cause;
                with_cause += 1;
            }
        }
        assert!(with_cause > 20, "{with_cause}");
    }

    #[test]
    fn errors_travel_between_threads() {
        fn travels<T: Send + Sync + 'static>() {}
        travels::<BuildError>();
        travels::<AttachError>();
        travels::<SpawnError>();
        travels::<JoinError>();
        travels::<ExitError>();
    }
}
