//! The handle of a started thread.
#![allow(unsafe_code)]

use crate::error::JoinError;
use crate::outcome::{Ended, Shared};
use crate::panicked::Panicked;
use crate::waiting::Waiting;
use core::fmt;
use exc_server::Server;
use mach_sys::kernel::system::Origin;
use std::io;
use std::sync::Arc;

/// An owned, started thread, to join. Dropping the handle detaches the thread; its result and report are lost. In the child of a fork
/// dropping it does nothing.
#[must_use = "dropping it detaches the thread"]
pub struct Handle<T> {
    thread: libc::pthread_t,
    id: u64,
    shared: Arc<Shared<T>>,
    process: Origin,
    /// `true` once the thread was joined: then `thread` must not be used any more.
    joined: bool,
}

impl<T> Handle<T> {
    /// Takes over a thread that was created joinable, and that nothing else joins or detaches.
    pub(crate) fn new(
        thread: libc::pthread_t,
        id: u64,
        shared: Arc<Shared<T>>,
        process: Origin,
    ) -> Self {
        Self {
            thread,
            id,
            shared,
            process,
            joined: false,
        }
    }

    /// Returns the thread's 64-bit identifier.
    #[doc(alias = "pthread_threadid_np")]
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns whether the thread belongs to the calling process, also after the kernel was stopped.
    fn is_here(&self) -> bool {
        self.process.id() == Origin::current().id()
    }

    /// Waits until the thread has exited, and returns its result and report. Its kernel port may keep its name a moment longer.
    ///
    /// # Errors
    /// - [`JoinError::Panicked`]: the thread's body panicked. The error has the payload and the report.
    /// - [`JoinError::NoResult`]: the thread exited without a result.
    /// - [`JoinError::Itself`]: the calling thread is the thread to join.
    /// - [`JoinError::Deadlock`]: the thread to join is waiting for the calling thread, directly or through other threads.
    /// - [`JoinError::ServerThread`]: the calling thread belongs to an exception server.
    /// - [`JoinError::System`]: the system refused to join the thread.
    /// - [`JoinError::Forked`]: the calling process is the child of a fork, and does not have the thread.
    ///
    /// After `Itself`, `Deadlock` and `ServerThread` the thread is detached, as if the handle had been dropped.
    #[doc(alias = "pthread_join")]
    pub fn join(mut self) -> Result<Ended<T>, JoinError> {
        if !self.is_here() {
            return Err(JoinError::Forked);
        }
        if Server::is_server_thread() {
            return Err(JoinError::ServerThread);
        }
        // SAFETY: no preconditions.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: the thread was created joinable, was not joined, and is not detached while the handle lives.
        if unsafe { libc::pthread_equal(self.thread, this) } != 0 {
            return Err(JoinError::Itself);
        }
        let waiting = Waiting::begin(this, self.thread).ok_or(JoinError::Deadlock)?;
        // SAFETY: as above.
        let error = unsafe { libc::pthread_join(self.thread, core::ptr::null_mut()) };
        drop(waiting);
        // Only a deadlock leaves the thread joinable: dropping the handle detaches it. After any other error the identifier can be neither
        // joined nor detached.
        self.joined = error != libc::EDEADLK;
        match error {
            0 => {}
            libc::EDEADLK => return Err(JoinError::Deadlock),
            error => return Err(JoinError::System(io::Error::from_raw_os_error(error))),
        }
        let left = self.shared.exit.take().ok_or(JoinError::NoResult)?;
        let report = self.shared.report.take();
        match left {
            Ok(exit) => Ok(Ended { exit, report }),
            Err(payload) => Err(JoinError::Panicked(Box::new(Panicked::new(
                payload, report,
            )))),
        }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        if !self.joined && self.is_here() {
            // SAFETY: a joinable thread that was not joined; nothing uses the identifier afterwards.
            unsafe { libc::pthread_detach(self.thread) };
        }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
