//! Gives back the process's resources that the crate took.
#![allow(unsafe_code)]

use crate::{exit, inner, waiting};
use mach_sys::kernel::{self, StopError, Stopped};

/// Gives back the resources that this crate and the emulated kernel took from the process: the key of thread-specific data, a table, and those that
/// [`kernel::stop`] lists. Call it once all managers are dropped and their threads have exited. Afterwards a shared library that contains
/// this crate can be unloaded ([`Stopped::can_be_unloaded`]). Before that, on the emulated kernel, `dlclose` does not unload it. The next
/// manager starts everything again.
///
/// ```
/// # use core::ffi::c_int;
/// # use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
/// use thread_mgr::Manager;
/// # unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
///
/// # let entry = unsafe { thread_mgr::signal_redirect::Entry::new(handler) };
/// let manager = Manager::builder(entry).build()?;
/// manager.spawn(|| ())?.join()?;
/// drop(manager);
/// // SAFETY: no other thread of this program uses the crates.
/// let stopped = unsafe { thread_mgr::stop() }?;
/// assert!(stopped.can_be_unloaded());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// - [`StopError::Servers`]: there is a manager, or another exception server.
/// - [`StopError::Threads`], [`StopError::SignalHandler`], [`StopError::Forked`]: as described for [`kernel::stop`].
///
/// After an error nothing has changed.
///
/// # Safety
/// The contract of [`kernel::stop`] holds: during this call no other thread runs or calls a function of this workspace's crates, faults, or
/// is exiting after it did either. Threads that were managed have exited or were detached.
#[doc(alias = "dlclose")]
pub unsafe fn stop() -> Result<Stopped, StopError> {
    match inner::running() {
        0 => {}
        count => return Err(StopError::Servers { count }),
    }
    // SAFETY: the caller's promise.
    unsafe {
        let stopped = kernel::stop()?;
        exit::delete_key();
        waiting::free();
        Ok(stopped)
    }
}
