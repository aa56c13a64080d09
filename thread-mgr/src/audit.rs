//! Compares the task's port names before and after.

use core::time::Duration;
use exc_server::Timeout;
use mach_sys::rights::{Census, CensusError, Difference, ThreadRight};
use std::time::Instant;

/// A census of the task's port names, to compare with later ones.
///
/// Compare with the start, never with absolute numbers: the names of the main thread and of the task may start with two references. Judge
/// by [`Difference::is_leak_free`], not by the number of names: the system's libraries make names that they keep, such as the reply
/// port of a thread that lives on (G6.1), or the semaphore of its first park (G6.2). The difference lists those apart.
///
/// ```
/// use std::time::Duration;
/// use thread_mgr::{Audit, Timeout};
///
/// let audit = Audit::start()?;
/// // Start and join threads here.
/// let left = audit.settle(Timeout::After(Duration::from_secs(1)))?;
/// assert!(left.is_leak_free(), "{left}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("mach_port_names", "mach_port_space_info"))]
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    start: Census,
}

impl Audit {
    /// Takes the census to compare with.
    ///
    /// # Errors
    /// [`CensusError`]: the kernel could not list the names.
    pub fn start() -> Result<Self, CensusError> {
        // The calling thread's own name belongs to the start. The emulated kernel makes it at the thread's first call.
        let itself = ThreadRight::current();
        drop(itself);
        Census::take().map(|start| Self { start })
    }

    /// Returns the census at the start.
    #[must_use]
    pub fn before(&self) -> Census {
        self.start
    }

    /// Returns the difference between now and the start.
    ///
    /// # Errors
    /// [`CensusError`]: the kernel could not list the names.
    pub fn difference(&self) -> Result<Difference, CensusError> {
        Ok(Census::take()?.since(&self.start))
    }

    /// Waits until the difference is [free of leaks](Difference::is_leak_free), at most `limit`, and returns the last difference. After a
    /// thread was joined, the name of its port may live on for a moment. A limit beyond the clock's range waits without limit.
    ///
    /// # Errors
    /// [`CensusError`]: the kernel could not list the names.
    pub fn settle(&self, limit: Timeout) -> Result<Difference, CensusError> {
        // A limit beyond the clock's range is no limit.
        let deadline = limit
            .duration()
            .and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let difference = self.difference()?;
            if difference.is_leak_free()
                || deadline.is_some_and(|deadline| Instant::now() >= deadline)
            {
                return Ok(difference);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
