//! Threads that somebody else made.
#![allow(unsafe_code)]

use crate::emergency::EmergencyStack;
use crate::error::AttachError;
use crate::exit::{self, Managed};
use crate::manager::{Inner, ThreadInfo};
use crate::shutdown::{Parts, Running, ShutdownReport};
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use exc_server::{Routing, Target};
use mach_sys::kernel::system;
use mach_sys::rights::{Right, ThreadRight};
use std::sync::{Arc, Mutex};

/// The calling thread, taken in. Detaching gives it back as it was: its exception ports, alternate signal stack and signal mask.
/// Dropping detaches; a thread that ends while it is attached ends in the one order, as a started one does.
#[must_use = "dropping it detaches the thread"]
pub struct Attached {
    before: HostState,
    /// It belongs to the thread that it stands for.
    not_send: PhantomData<*const ()>,
}

impl Attached {
    pub(crate) fn new(inner: &Arc<Inner>) -> Result<Self, AttachError> {
        // Looked at before the first kernel call: what that changes is put back too.
        let before = HostState::read();
        if exit::with_current(|_| ()).is_some() {
            return Err(AttachError::Already);
        }
        let running = take_in(inner, None, false)?;
        let managed = Managed::new(running, None, Arc::new(Mutex::new(None)));
        if let Err(error) = exit::adopt(Box::new(managed)) {
            before.put_back();
            return Err(AttachError::Hook(error));
        }
        Ok(Self {
            before,
            not_send: PhantomData,
        })
    }

    /// Lets the thread go, and says what was found.
    pub fn detach(self) -> Option<ShutdownReport> {
        let report = self.let_go();
        core::mem::forget(self);
        report
    }

    /// `None` when the thread's end came first.
    fn let_go(&self) -> Option<ShutdownReport> {
        let managed = exit::disown()?;
        let report = managed.take_end().map(Running::detach);
        self.before.put_back();
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
    let stack = EmergencyStack::new().map_err(AttachError::Stack)?;
    let record = inner.records.open(stack.range()).ok_or(AttachError::Full)?;
    let routing = Routing::new(inner.mask, inner.delivery).tag(u64::from(record));
    let route = match inner.server.route(Target::Thread(&thread), &routing) {
        Ok(route) => route,
        Err(error) => {
            inner.records.close(record);
            return Err(error.into());
        }
    };
    let port = thread.name().raw();
    let id = system::thread_id();
    inner.registry.insert(ThreadInfo {
        id,
        port,
        name,
        spawned,
    });
    Ok(Running::new(Parts {
        inner: Arc::clone(inner),
        name: port,
        id,
        route,
        record,
        stack,
    }))
}

/// What a thread has of its host: its alternate signal stack and its signal mask.
struct HostState {
    stack: MaybeUninit<libc::stack_t>,
    mask: MaybeUninit<libc::sigset_t>,
}

impl HostState {
    fn read() -> Self {
        let mut state = Self {
            stack: MaybeUninit::zeroed(),
            mask: MaybeUninit::zeroed(),
        };
        // SAFETY: both calls only write what they are asked for; neither can fail with these arguments.
        unsafe {
            libc::sigaltstack(core::ptr::null(), state.stack.as_mut_ptr());
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                core::ptr::null(),
                state.mask.as_mut_ptr(),
            );
        }
        state
    }

    fn put_back(&self) {
        // SAFETY: a stack that was registered when the thread was taken in, whose owner keeps it as long as it is; and a mask of
        // the thread's own. A thread that runs on its alternate stack just now keeps what it has: the kernel refuses.
        unsafe {
            libc::sigaltstack(self.stack.as_ptr(), core::ptr::null_mut());
            libc::pthread_sigmask(libc::SIG_SETMASK, self.mask.as_ptr(), core::ptr::null_mut());
        }
    }
}
