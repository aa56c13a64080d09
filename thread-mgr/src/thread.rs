//! The builder that configures and starts threads.

use crate::error::SpawnError;
use crate::handle::Handle;
use crate::inner::Inner;
use crate::outcome::Shared;
use crate::start::{Start, create};
use std::sync::Arc;

/// A builder that configures and starts a thread.
///
/// ```
/// # use core::ffi::c_int;
/// # use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
/// use thread_mgr::Manager;
/// # unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
/// # let manager = Manager::builder(unsafe { thread_mgr::signal_redirect::Entry::new(handler) }).build()?;
///
/// let thread = manager.thread().name("compiler").stack_size(8 << 20).spawn(|| 1 + 1)?;
/// assert_eq!(thread.join()?.exit.returned(), Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "it does nothing until the thread is spawned"]
#[derive(Clone, Debug)]
pub struct ThreadBuilder<'m> {
    inner: &'m Arc<Inner>,
    name: Option<String>,
    stack_size: Option<usize>,
}

impl<'m> ThreadBuilder<'m> {
    pub(crate) fn new(inner: &'m Arc<Inner>) -> Self {
        Self {
            inner,
            name: None,
            stack_size: None,
        }
    }

    /// Sets the thread's name in the registry. Any string is accepted.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the size of the thread's stack in bytes, at least 128 KiB; by default that of
    /// [`ManagerBuilder::thread_stack_size`](crate::ManagerBuilder::thread_stack_size). The C library's own share of a stack, such as a
    /// program's static thread-local variables, is added, and the sum is rounded up to whole pages. A size that the system cannot provide
    /// makes [`spawn`](Self::spawn) fail.
    #[doc(alias = "pthread_attr_setstacksize")]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the thread. Returns once it runs and its exceptions are routed.
    ///
    /// # Errors
    /// - [`SpawnError::Create`]: the system could not create the thread.
    /// - [`SpawnError::StackSize`]: the system cannot provide a stack of this size.
    /// - [`SpawnError::Attach`]: the thread could not be attached, and has exited without running its body.
    /// - [`SpawnError::Forked`]: the calling process is the child of a fork.
    #[doc(alias = "pthread_create")]
    pub fn spawn<T, F>(self, body: F) -> Result<Handle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if !self.inner.process.is_current() {
            return Err(SpawnError::Forked);
        }
        let shared = Arc::new(Shared::new());
        let start = Box::new(Start {
            body,
            name: self.name,
            inner: Arc::clone(self.inner),
            shared: Arc::clone(&shared),
        });
        let thread = create(self.stack_size.or(self.inner.thread_stack_size), start)?;
        let started = shared.wait_for_start();
        let id = started.as_ref().copied().unwrap_or(0);
        let handle = Handle::new(thread, id, shared, self.inner.process);
        match started {
            Ok(_) => Ok(handle),
            Err(error) => {
                // The thread exits without running its body; wait until it is gone.
                let _ = handle.join();
                Err(error.into())
            }
        }
    }
}
