//! Threads that the manager did not start.

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

/// The attached calling thread. Detaching gives it back as it was: its exception ports, alternate signal stack and signal mask.
/// Dropping detaches; a thread that ends while it is attached ends in the one order, as a started one does.
#[must_use = "dropping it detaches the thread"]
pub struct Attached {
    /// `None` once it is undone.
    ready: Option<FaultReadiness>,
    /// It belongs to the thread that it stands for.
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
        // Before the first kernel call: what that changes is undone too.
        let ready = system::prepare_for_faults();
        let adopted = take_in(inner, None, false)
            .and_then(|running| exit::adopt(Managed::attached(running)).map_err(AttachError::Hook));
        match adopted {
            Ok(_) => Ok(Self {
                ready: Some(ready),
                not_send: PhantomData,
            }),
            Err(error) => {
                ready.undo();
                Err(error)
            }
        }
    }

    /// Detaches the thread, and returns what was found. `None` if the thread's end came first (its last destructors own this value), and
    /// in the child of a fork, which has none of the ports.
    pub fn detach(mut self) -> Option<ShutdownReport> {
        let report = self.let_go();
        core::mem::forget(self);
        report
    }

    /// `None` when the thread's end came first, and in the child of a fork.
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
