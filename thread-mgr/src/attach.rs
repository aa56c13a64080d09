//! Attaches threads that the manager did not start.

use crate::error::AttachError;
use crate::exit::{self, Managed};
use crate::inner::Inner;
use crate::report::ShutdownReport;
use crate::shutdown::Running;
use crate::take_in::take_in;
use core::fmt;
use core::marker::PhantomData;
use exc_server::Server;
use mach_sys::kernel::system::{self, FaultReadiness};
use std::sync::Arc;

/// Keeps the calling thread attached to a manager. Detaching puts back what the thread had: its exception ports, alternate signal stack and
/// signal mask. Dropping detaches. A thread that exits while it is attached is shut down in the same order as a started one.
///
/// ```
/// # use core::ffi::c_int;
/// # use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
/// use thread_mgr::Manager;
/// # unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
/// # let manager = Manager::builder(unsafe { thread_mgr::signal_redirect::Entry::new(handler) }).build()?;
///
/// let attached = manager.attach()?;
/// // Here the thread's faults are sent to the manager's handler.
/// let report = attached.detach().ok_or("the thread has exited already")?;
/// println!("previous exception ports: {}", report.restored?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The value cannot be sent to another thread:
///
/// ```compile_fail,E0277
/// # fn moved(attached: thread_mgr::Attached) {
/// std::thread::spawn(move || drop(attached));
/// # }
/// ```
#[must_use = "dropping it detaches the thread"]
pub struct Attached {
    /// The thread's earlier signal state; `None` once it was put back.
    ready: Option<FaultReadiness>,
    /// Keeps the value on its thread.
    not_send: PhantomData<*const ()>,
}

impl Attached {
    pub(crate) fn new(inner: &Arc<Inner>) -> Result<Self, AttachError> {
        if !inner.process.is_current() {
            return Err(AttachError::Forked);
        }
        if Server::is_server_thread() {
            return Err(AttachError::ServerThread);
        }
        if exit::with_current(|_| ()).is_some() {
            return Err(AttachError::Already);
        }
        if exit::is_exiting() {
            return Err(AttachError::Exiting);
        }
        // Before the first kernel call, so that what that call changes is undone too.
        let ready = system::prepare_for_faults();
        let adopted = take_in(inner, None, false)
            .and_then(|running| exit::adopt(Managed::attached(running)).map_err(AttachError::Hook));
        match adopted {
            Ok(place) => {
                let id = system::thread_id();
                if inner.registry.leave(id, place.expose_provenance()) {
                    // From now on the server checks whether the thread is gone.
                    inner.server.wake();
                }
                Ok(Self {
                    ready: Some(ready),
                    not_send: PhantomData,
                })
            }
            Err(error) => {
                ready.undo();
                Err(error)
            }
        }
    }

    /// Detaches the thread, and returns the report of its shutdown. Returns `None` if the thread was shut down before, because one of its
    /// last destructors owns this value, and in the child of a fork, which has none of the ports.
    pub fn detach(mut self) -> Option<ShutdownReport> {
        let report = self.let_go();
        core::mem::forget(self);
        report
    }

    /// Detaches the thread. Returns `None` if it was shut down before, and in the child of a fork.
    fn let_go(&mut self) -> Option<ShutdownReport> {
        let managed = exit::disown()?;
        let report = managed.take_end().and_then(Running::detach);
        if let Some(ready) = self.ready.take() {
            ready.undo();
        }
        report
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.let_go();
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").finish_non_exhaustive()
    }
}
