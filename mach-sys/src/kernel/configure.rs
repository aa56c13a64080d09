//! Configuring the emulated kernel, on every host.

#[cfg(target_vendor = "apple")]
use super::apple as host;
#[cfg(not(target_vendor = "apple"))]
use mach_emulated::system as host;

#[doc(inline)]
pub use mach_emulated::{Config, Generation, HostError, ReserveError, StartError, WhenDisplaced};

/// Starts the emulated kernel with a configuration. Has no effect where it is running already, and none on Apple's systems, so that
/// a portable program calls it without a `cfg`. Without this call the first kernel call starts it with [`Config::default`].
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
/// - [`StartError::Memory`]: no address space for the kernel's tables.
/// - [`StartError::Host`]: the host refused a signal handler, a hook, a thread, or memory for the threads' slots.
/// - [`StartError::Full`]: the kernel's tables have no room for a task.
/// - [`StartError::Forked`]: the process is the child of one in which the kernel was started.
///
/// After each of these every later kernel call fails with `KERN_RESOURCE_SHORTAGE`.
pub fn configure(config: Config) -> Result<(), &'static StartError> {
    host::configure(config)
}
