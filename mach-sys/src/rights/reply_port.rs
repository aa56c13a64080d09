//! The port on which a thread receives the replies of MIG routines.

use super::label::{self, Label};
use super::name::Name;
use crate::kernel;
use crate::kernel::system::{Origin, own_thread_port};
use core::marker::PhantomData;

/// A label of a thread's MIG reply port, by which censuses recognize it until the value is dropped. The system's library owns the port
/// itself, which lives until the thread exits (G6.1).
///
/// A thread's first call of a MIG routine creates its reply port: the task has one more receive right, and nothing has leaked. A
/// long-lived thread calls [`of_this_thread`](Self::of_this_thread) before the first census, so that every census counts the port.
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
#[must_use = "dropping it removes the label"]
#[doc(alias("mig_get_reply_port", "mach_reply_port"))]
pub struct ReplyPort {
    name: Option<Name>,
    origin: Origin,
    /// Makes the value stay on its thread.
    thread_bound: PhantomData<*const ()>,
}

impl ReplyPort {
    /// Labels the calling thread's reply port. Creates the port if the thread has none.
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

    /// Returns the port's name; `None` if the kernel could not create the port.
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
