//! The end of the crate's own use of the process.
#![allow(unsafe_code)]

use crate::{exit, inner};
use mach_sys::kernel::{self, StopError, Stopped};

/// Gives back what this crate and the emulated kernel took from the process, once all managers are dropped and their threads have exited:
/// the key of thread-specific data, and what [`kernel::stop`] names. A shared library that contains this crate can be unloaded afterwards
/// ([`Stopped::can_be_unloaded`]), and not before: until then it stays loaded on the emulated kernel, whatever `dlclose` is called. The next
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
/// Nothing was changed then.
/// - [`StopError::Servers`]: there is a manager, or another exception server.
/// - [`StopError::Threads`], [`StopError::SignalHandler`], [`StopError::Forked`]: as [`kernel::stop`].
///
/// # Safety
/// As for [`kernel::stop`]: from the beginning of this call to its end, no other thread calls a function of this workspace's crates or is
/// in one, faults, or is ending after it did; threads that were managed have ended or were detached.
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
        Ok(stopped)
    }
}
