//! Configuring the emulated kernel, on every host.

#[cfg(target_vendor = "apple")]
use super::apple as host;
#[cfg(not(target_vendor = "apple"))]
use mach_emulated::system as host;

#[doc(inline)]
pub use mach_emulated::{Config, Generation, StartError, WhenDisplaced};

/// Starts the emulated kernel with a configuration. Has no effect where it is running already, and none on Apple's systems, so that
/// a portable program calls it without a `cfg`. Without this call the first kernel call starts it with `Config::default()`.
///
/// # Errors
/// What the host refused. Every later kernel call then fails with `KERN_RESOURCE_SHORTAGE`.
pub fn configure(config: Config) -> Result<(), &'static StartError> {
    host::configure(config)
}
