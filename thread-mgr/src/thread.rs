//! Configures and starts threads.

use crate::error::SpawnError;
use crate::handle::Handle;
use crate::inner::Inner;
use crate::outcome::Shared;
use crate::start::{Start, create};
use std::sync::Arc;

/// Configures a thread.
#[must_use]
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

    /// Sets the size of its stack in bytes, rounded up to whole pages, and to 128 KiB if it is less. The default is the system's. A size
    /// that the host cannot provide makes [`spawn`](Self::spawn) fail.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the thread. Returns once it runs and its faults are routed.
    ///
    /// # Errors
    /// The host refused the thread or its stack size, the thread could not be taken in, or this is the child of a fork.
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
        let thread = create(self.stack_size, start)?;
        let started = shared.wait_for_start();
        let id = started.as_ref().copied().unwrap_or(0);
        let handle = Handle::new(thread, id, shared, self.inner.process);
        match started {
            Ok(_) => Ok(handle),
            Err(error) => {
                // It ran for nothing, and is gone when this returns.
                let _ = handle.join();
                Err(error.into())
            }
        }
    }
}
