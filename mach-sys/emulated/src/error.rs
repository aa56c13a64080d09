//! Errors of the start and the stop of the emulated kernel.
//!
//! Each error has a stable numeric `code`, unique in this crate and between 0x2000 and 0x2fff.

use std::io;

/// The emulated Mach could not be started in this process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system refused address space for the kernel's tables.
    #[error(transparent)]
    Memory(#[from] ReserveError),
    /// The kernel's tables have no room for the task.
    #[error("the emulated kernel has no room for a task")]
    Full,
    /// The system refused a signal handler, a hook, a thread, a system call, or memory for the threads' slots.
    #[error(transparent)]
    System(#[from] SystemError),
    /// This process is a child of the one that the emulated kernel was started in: of a `fork`, a `vfork` or a `clone`. The threads
    /// that would answer are not in it.
    #[error("the emulated kernel does not outlive a fork: this process is the child of one")]
    Forked,
    /// The calling thread is not registered, and [`Config::threads`](crate::Config::threads) threads are already.
    #[error("the emulated kernel has no room for another thread")]
    Threads,
    /// A signal handler interrupted the start on the same thread, and made a kernel call. The start goes on when the handler returns.
    #[error(
        "the emulated kernel is being started by the code that this signal handler interrupted"
    )]
    Starting,
    /// A signal handler made the first kernel call on an alternate signal stack with too little room for the start: 64 KiB are enough.
    #[error(
        "the emulated kernel cannot be started on an alternate signal stack with so little room"
    )]
    SmallStack,
    /// This system does not treat signal frames as Linux does: valgrind, for example. Programs would misbehave silently. The signal handlers
    /// that were installed before the start are installed again.
    #[error(
        "the emulated kernel does not run on a system whose signal frames are not Linux's, such as valgrind: {0}"
    )]
    SignalFrame(SignalFrameError),
}

impl StartError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Memory(error) => error.code(),
            Self::System(error) => error.code(),
            Self::Full => 0x2002,
            Self::Forked => 0x2003,
            Self::Threads => 0x2004,
            Self::Starting => 0x2005,
            Self::SmallStack => 0x2006,
            Self::SignalFrame(_) => 0x2007,
        }
    }
}

/// A difference between this system's signal frames and Linux's, found by the self-test at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalFrameError {
    /// A fault did not reach the handler.
    #[error("a fault did not reach the signal handler")]
    Unseen,
    /// The frame or the `siginfo_t` of a fault names another program counter or another address than that of the fault.
    #[error("the frame of a fault shows another program counter or address than the fault had")]
    Location,
    /// The frame of a fault has another value in a register than the thread had.
    #[error("the frame of a fault shows another value than {register} had")]
    Shown {
        /// The register's name.
        register: &'static str,
    },
    /// A register was written to the frame that a handler returned from, and the thread went on with another value.
    #[error(
        "{register} was written to the frame of a fault, and the thread went on with another value{}",
        if *.copied { " (the handler returned from a copy of the frame)" } else { "" }
    )]
    Ignored {
        /// The register's name.
        register: &'static str,
        /// True if the handler returned from a copy of the frame.
        copied: bool,
    },
    /// The system has something of its own behind the frame, which a copy of the frame would lack.
    #[error("the system keeps {bytes} bytes behind the frame of a fault")]
    Behind {
        /// Number of bytes.
        bytes: usize,
    },
    /// The alternate signal stack was not what the frame said after the return from it.
    #[error("the alternate signal stack in the frame of a fault is ignored")]
    AlternateStack,
    /// The signal mask in the frame is not that of the thread, or was not restored.
    #[error("the signal mask in the frame of a fault is not the thread's, or is ignored")]
    Mask,
    /// A copy of memory that may not be read did not end with an error.
    #[error("a copy of memory that cannot be read does not end with an error")]
    Copy,
}

/// The emulated Mach was not stopped: it runs on, and nothing was changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// This process is a child of the one that the emulated kernel was started in.
    #[error("the emulated kernel belongs to the parent of this process")]
    Forked,
    /// The call was made in a signal handler, on an alternate signal stack or above a kernel call.
    #[error("the emulated kernel cannot be stopped in a signal handler")]
    SignalHandler,
    /// Threads of exception servers run, or the calling thread is one.
    #[error("{count} threads of exception servers still run")]
    Servers {
        /// Number of those threads.
        count: u32,
    },
    /// Threads need the emulation: they were made ready for faults, as attached threads are, they wait for the answer to a fault, or they are
    /// other threads than the calling one and have an alternate signal stack of the emulation's.
    #[error("{count} threads still need the emulated kernel")]
    Threads {
        /// Number of those threads.
        count: u32,
    },
}

impl StopError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Forked => 0x2201,
            Self::SignalHandler => 0x2202,
            Self::Servers { .. } => 0x2203,
            Self::Threads { .. } => 0x2204,
        }
    }
}

/// The system refused something that the emulated kernel needs. The source is the system's error, with its `errno`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// Address space for the threads' slots.
    #[error(transparent)]
    Memory(#[from] ReserveError),
    /// A signal handler: `sigaction` failed.
    #[error("the fault handler could not be installed")]
    Handler(#[source] io::Error),
    /// A hook at the end of threads or at `fork`: `pthread_key_create` or `pthread_atfork` failed.
    #[error("the hooks for thread exit and fork could not be registered")]
    Hook(#[source] io::Error),
    /// The thread that watches for the end of others.
    #[error("the thread that watches for the end of others could not be started")]
    Watcher(#[source] io::Error),
    /// A system call that every fault needs: a sandbox refuses it.
    #[error("the system call {name} is refused")]
    Call {
        /// The call's name.
        name: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl SystemError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Memory(error) => error.code(),
            Self::Handler(_) => 0x2101,
            Self::Hook(_) => 0x2102,
            Self::Watcher(_) => 0x2103,
            Self::Call { .. } => 0x2104,
        }
    }
}

/// The system refused to reserve address space: `mmap` failed. The source is its error, with its `errno`.
#[derive(Debug, thiserror::Error)]
#[error(
    "{bytes} bytes of address space could not be reserved for {purpose} of the emulated kernel"
)]
#[non_exhaustive]
pub struct ReserveError {
    /// Purpose of the reservation, for example `"the table of ports"`.
    pub purpose: &'static str,
    /// Size of the reservation in bytes.
    pub bytes: usize,
    /// The system's error.
    pub source: io::Error,
}

impl ReserveError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        0x2001
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::error::Error;

    fn refused() -> io::Error {
        io::Error::from_raw_os_error(12)
    }

    fn no_memory() -> ReserveError {
        ReserveError {
            purpose: "a test",
            bytes: 4096,
            source: refused(),
        }
    }

    fn all() -> [(StartError, u32); 12] {
        [
            (no_memory().into(), 0x2001),
            (SystemError::from(no_memory()).into(), 0x2001),
            (StartError::Full, 0x2002),
            (StartError::Forked, 0x2003),
            (StartError::Threads, 0x2004),
            (StartError::Starting, 0x2005),
            (StartError::SmallStack, 0x2006),
            (StartError::SignalFrame(SignalFrameError::Unseen), 0x2007),
            (SystemError::Handler(refused()).into(), 0x2101),
            (SystemError::Hook(refused()).into(), 0x2102),
            (SystemError::Watcher(refused()).into(), 0x2103),
            (
                SystemError::Call {
                    name: "gettid",
                    source: refused(),
                }
                .into(),
                0x2104,
            ),
        ]
    }

    #[test]
    fn codes_are_stable() {
        for (error, code) in all() {
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn codes_of_stopping_are_stable() {
        let all = [
            (StopError::Forked, 0x2201),
            (StopError::SignalHandler, 0x2202),
            (StopError::Servers { count: 1 }, 0x2203),
            (StopError::Threads { count: 2 }, 0x2204),
        ];
        for (error, code) in all {
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn the_systems_error_is_the_source_and_is_printed_once() {
        for (error, _) in all() {
            let Some(source) = error.source() else {
                continue;
            };
            let host = source.downcast_ref::<io::Error>().expect("the system's");
            assert_eq!(host.raw_os_error(), Some(12));
            assert!(!error.to_string().contains(&host.to_string()));
            assert!(source.source().is_none());
        }
    }
}
