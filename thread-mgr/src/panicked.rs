//! The panic of a thread's body.

use crate::report::ShutdownReport;
use core::any::Any;
use core::fmt;
use std::sync::{Mutex, PoisonError};

/// The panic of a thread's body. [`Handle::join`](crate::Handle::join) returns it as an error, so that a panic is not lost in code that
/// uses only the thread's value or report.
///
/// ```
/// # use core::ffi::c_int;
/// # use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
/// use thread_mgr::{JoinError, Manager};
/// # unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
/// # let manager = Manager::builder(unsafe { thread_mgr::signal_redirect::Entry::new(handler) }).build()?;
///
/// let refused = manager.spawn(|| { if true { panic!("out of cheese") } })?.join();
/// let Err(JoinError::Panicked(panicked)) = refused else { unreachable!() };
/// assert_eq!(panicked.message().as_deref(), Some("out of cheese"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Panicked {
    /// Under a lock, because an error should be `Sync`, and a payload need not be.
    payload: Mutex<Box<dyn Any + Send>>,
    report: Option<ShutdownReport>,
}

impl Panicked {
    pub(crate) fn new(payload: Box<dyn Any + Send>, report: Option<ShutdownReport>) -> Self {
        Self {
            payload: Mutex::new(payload),
            report,
        }
    }

    /// Returns the panic's message, if the payload is a string.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        let text = payload.downcast_ref::<&str>().map(|text| (*text).into());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
    }

    /// Returns the report of the thread's shutdown; `None` if the system did not run its last destructors.
    #[must_use]
    pub const fn report(&self) -> Option<&ShutdownReport> {
        self.report.as_ref()
    }

    /// Returns the panic's payload, for example for [`resume_unwind`](std::panic::resume_unwind).
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "the thread panicked: {message}"),
            None => f.write_str("the thread panicked"),
        }
    }
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panicked")
            .field("message", &self.message())
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

impl core::error::Error for Panicked {}
