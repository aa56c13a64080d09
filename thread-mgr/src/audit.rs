//! Compares the task's port names before and after.

use core::fmt;
use core::time::Duration;
use mach_sys::rights::{Census, CensusError, ThreadRight};
use std::time::Instant;

/// Remembers a census of the task's port names, to compare with later.
///
/// Compare with the start, never with absolute numbers: the main thread's and the task's own names may start with two references.
///
/// ```
/// use std::time::Duration;
/// use thread_mgr::Audit;
///
/// let audit = Audit::start()?;
/// // Start and join threads here.
/// let left = audit.settle(Duration::from_secs(1))?;
/// assert!(left.is_zero(), "{left}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("mach_port_names", "mach_port_space_info"))]
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    start: Census,
}

/// Tells how many more names and references there are than at the start; fewer, if a number is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Port names of any kind.
    pub names: i64,
    /// User references on send rights.
    pub send_references: i64,
    /// Dead names.
    pub dead_names: i64,
    /// User references on dead names.
    pub dead_references: i64,
    /// Of the references on send rights and dead names, those that rights of mach-sys own. The others are owned by other code, by the
    /// kernel, or by nothing.
    pub owned_references: i64,
}

impl Difference {
    /// Returns whether every number is 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:+} names, {:+} send references, {:+} dead names, {:+} dead references, {:+} of them owned",
            self.names,
            self.send_references,
            self.dead_names,
            self.dead_references,
            self.owned_references
        )
    }
}

impl Audit {
    /// Takes the census to compare with.
    ///
    /// # Errors
    /// [`CensusError`]: the kernel could not list the names.
    pub fn start() -> Result<Self, CensusError> {
        // The calling thread's own name, which the emulated kernel makes when it first hears of the thread, belongs to the start.
        let itself = ThreadRight::current();
        drop(itself);
        Census::take().map(|start| Self { start })
    }

    /// Returns the census at the start.
    #[must_use]
    pub fn before(&self) -> Census {
        self.start
    }

    /// Returns what is different now.
    ///
    /// # Errors
    /// [`CensusError`]: the kernel could not list the names.
    pub fn difference(&self) -> Result<Difference, CensusError> {
        let now = Census::take()?;
        let count = |now: u64, then: u64| now as i64 - then as i64;
        Ok(Difference {
            names: count(now.names.into(), self.start.names.into()),
            send_references: count(now.send_references, self.start.send_references),
            dead_names: count(now.dead_names.into(), self.start.dead_names.into()),
            dead_references: count(now.dead_references, self.start.dead_references),
            owned_references: count(now.owned_references, self.start.owned_references),
        })
    }

    /// Waits until nothing is different, at most `limit`, and returns the last difference. After a thread was joined, the name of its port
    /// may live on for a moment. A limit that no clock reaches waits without limit.
    ///
    /// # Errors
    /// [`CensusError`]: the kernel could not list the names.
    pub fn settle(&self, limit: Duration) -> Result<Difference, CensusError> {
        // A limit that no clock can tell is none.
        let deadline = Instant::now().checked_add(limit);
        loop {
            let difference = self.difference()?;
            if difference.is_zero() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(difference);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
