//! Why the emulated kernel could not be set up.

/// The emulated Mach could not be set up in this process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No address space for the kernel's tables.
    #[error(transparent)]
    Memory(#[from] ReserveError),
    /// The kernel's tables hold no task.
    #[error("the emulated kernel has no room for a task")]
    Full,
    /// The host refused a signal handler, a key or a thread.
    #[error(transparent)]
    Host(#[from] HostError),
    /// This process is a child of the one that the emulated kernel was started in: of a `fork`, a `vfork` or a `clone`. The threads
    /// that would answer are not in it.
    #[error("the emulated kernel does not outlive a fork: this process is the child of one")]
    Forked,
    /// As many threads are known as [`Config::threads`](crate::Config::threads) allows, and the calling thread is none of them.
    #[error("the emulated kernel knows as many threads as it is configured for")]
    Threads,
}

/// The host refused something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// No address space for the threads' slots.
    #[error(transparent)]
    Memory(#[from] ReserveError),
    /// `sigaction` failed.
    #[error("installing the fault handler failed with errno {0}")]
    Handler(i32),
    /// `pthread_key_create` or `pthread_atfork` failed.
    #[error("hooking the end of threads and fork failed with error {0}")]
    Hook(i32),
    /// The watching thread could not be created.
    #[error("starting the thread that watches for the end of others")]
    Watcher(#[source] std::io::Error),
}

/// The host refused to reserve address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "reserving {bytes} bytes of address space for the emulated kernel failed with errno {errno}"
)]
pub struct ReserveError {
    /// How much was asked for.
    pub bytes: usize,
    /// The host's error number.
    pub errno: i32,
}
