//! Threads that somebody else made.

use crate::error::AttachError;
use crate::exit::{self, Managed};
use crate::manager::{Inner, ThreadInfo};
use crate::normalize::survey;
use crate::shutdown::{Parts, Running, ShutdownReport};
use core::fmt;
use core::marker::PhantomData;
use exc_server::{Routing, Target};
use mach_sys::kernel::system::{self, FaultReadiness};
use mach_sys::rights::{Right, ThreadRight};
use std::sync::Arc;

/// The calling thread, taken in. Detaching gives it back as it was: its exception ports, alternate signal stack and signal mask.
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

    /// Lets the thread go, and says what was found. `None` if the thread's end came first (its last destructors own this value), and
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

/// Takes the calling thread in: emergency stack, record, route, registry.
pub(crate) fn take_in(
    inner: &Arc<Inner>,
    name: Option<String>,
    spawned: bool,
) -> Result<Running, AttachError> {
    let thread = ThreadRight::current().map_err(AttachError::Right)?;
    let port = thread.name().raw();
    let references = match spawned {
        // Its own (D1.3).
        true => Some(1),
        // Without the one just taken.
        false => survey(port).seen().and_then(|seen| seen.checked_sub(1)),
    };
    let stack = inner.stacks.take().map_err(AttachError::Stack)?;
    let record = inner.records.open(stack.range()).ok_or(AttachError::Full)?;
    let routing = Routing::new(inner.mask, inner.delivery).tag(u64::from(record));
    let route = match inner.server.route(Target::Thread(&thread), &routing) {
        Ok(route) => route,
        Err(error) => {
            inner.records.close(record);
            return Err(error.into());
        }
    };
    let id = system::thread_id();
    inner.registry.insert(ThreadInfo {
        id,
        port,
        name,
        spawned,
    });
    Ok(Running::new(Parts {
        inner: Arc::clone(inner),
        process: std::process::id(),
        name: port,
        references,
        id,
        route,
        record,
        stack,
    }))
}
