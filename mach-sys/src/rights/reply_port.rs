//! The port on which a thread waits for MIG's replies.

use super::label::{self, Label};
use super::name::Name;
use crate::kernel;
use crate::kernel::system::{Origin, own_thread_port};
use core::marker::PhantomData;

/// Tells censuses that a thread's MIG reply port is that thread's, until it is dropped. The port itself belongs to the system's library,
/// and lives until the thread ends (G6.1).
///
/// A thread's first call of a MIG routine makes its reply port: one receive right more in the task, and nothing has leaked. A long-lived
/// thread calls [`of_this_thread`](Self::of_this_thread) before anything is counted, so that the port is there from the start.
///
/// ```
/// use mach_sys::rights::{Census, ReplyPort, Source};
///
/// let reply_port = ReplyPort::of_this_thread();
/// let before = Census::take()?;
/// assert_eq!(before.of(Source::ReplyPort).names, 1);
/// # drop(reply_port);
/// # Ok::<(), mach_sys::rights::CensusError>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it makes the port one of unknown source"]
#[doc(alias("mig_get_reply_port", "mach_reply_port"))]
pub struct ReplyPort {
    name: Option<Name>,
    origin: Origin,
    /// It is about the thread that made it.
    thread_bound: PhantomData<*const ()>,
}

impl ReplyPort {
    /// Makes the calling thread's reply port, unless it has one.
    pub fn of_this_thread() -> Self {
        let origin = Origin::current();
        // SAFETY: no arguments.
        let name = Name::new(unsafe { kernel::mig_get_reply_port() });
        if let Some(name) = name {
            label::set(name, origin, Label::ReplyPort(own_thread_port()));
        }
        Self {
            name,
            origin,
            thread_bound: PhantomData,
        }
    }

    /// Returns the port's name; `None` if the kernel had no room for one.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        self.name
    }
}

impl Drop for ReplyPort {
    fn drop(&mut self) {
        if let Some(name) = self.name {
            label::clear(name, self.origin);
        }
    }
}
