//! Starting, configuring and stopping the emulated kernel, on every system.
#![allow(unsafe_code)]

#[cfg(target_vendor = "apple")]
use super::apple as host;
#[cfg(not(target_vendor = "apple"))]
use mach_emulated::system as host;

#[doc(inline)]
pub use mach_emulated::{
    Config, CrashPolicy, FallbackSignals, Generation, GuardPolicy, ReserveError, StartError,
    StopError, Stopped, SystemError, WhenDisplaced,
};

/// Starts the emulated kernel with a configuration. Has no effect if it is already running, and none on Apple's systems, so that a
/// portable program can call it without a `cfg`. Without this call the first kernel call starts it with [`Config::default`].
///
/// ```
/// use mach_sys::kernel::{self, Config};
///
/// let mut config = Config::default();
/// config.threads = 256;
/// kernel::configure(config)?;
/// # Ok::<(), &'static kernel::StartError>(())
/// ```
///
/// # Errors
/// - [`StartError::Memory`]: no address space for the emulated kernel's tables.
/// - [`StartError::System`]: the system refused a signal handler, a hook, a thread, or memory for the threads' slots.
/// - [`StartError::Full`]: the emulated kernel's tables have no room for a task.
/// - [`StartError::Forked`]: the process is the child of one in which the emulated kernel was started.
///
/// After each of these errors, every later kernel call fails with `KERN_RESOURCE_SHORTAGE`.
pub fn configure(config: Config) -> Result<(), &'static StartError> {
    host::configure(config)
}

/// Stops the emulated kernel, and gives back what it took from the process: signal handlers, where they are still its own, its key of
/// thread-specific data, its thread, its memory. A shared library that contains this crate can be unloaded afterwards
/// ([`Stopped::can_be_unloaded`]), and not before: until then the library stays loaded whatever `dlclose` is called. The next kernel call
/// starts the kernel again, empty. Does nothing where it does not run, and nothing on Apple's systems.
///
/// Rights and servers of the time before are then as in the child of a fork: dropping them does nothing.
///
/// ```
/// use mach_sys::kernel;
/// use mach_sys::rights::ReceiveRight;
///
/// let port = ReceiveRight::new()?;
/// // SAFETY: no other thread of this program makes kernel calls.
/// let stopped = unsafe { kernel::stop() }?;
/// assert!(stopped.can_be_unloaded());
/// // The name was one of a kernel that is gone, where it is not Apple's.
/// drop(port);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The kernel runs on then, and nothing was changed.
/// - [`StopError::Servers`]: an exception server runs, or this is its thread.
/// - [`StopError::Threads`]: threads are attached, wait for the answer to a fault, or have an alternate signal stack of the emulation's: a
///   thread without one of its own gets one with its first kernel call, and keeps it until it ends. Only the calling thread's is taken away.
/// - [`StopError::SignalHandler`]: this is a signal handler.
/// - [`StopError::Forked`]: this is the child of a fork.
///
/// # Safety
/// From the beginning of this call to its end, no other thread makes a kernel call or is in one, faults, or is ending after it made kernel
/// calls; the calls of this workspace's crates count as kernel calls. No other code keeps a pointer that the emulation gave out.
#[doc(alias = "dlclose")]
pub unsafe fn stop() -> Result<Stopped, StopError> {
    // SAFETY: the caller's promise.
    unsafe { host::stop() }
}
