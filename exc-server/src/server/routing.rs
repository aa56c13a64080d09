//! What a route is opened with.

use crate::delivery::Delivery;
use mach_sys::exception::ExceptionMask;

/// The exceptions to route, and their delivery.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Routing {
    pub(crate) mask: ExceptionMask,
    pub(crate) delivery: Delivery,
    pub(crate) tag: u64,
    pub(crate) anonymous_task: bool,
}

impl Routing {
    /// Routes the exception types in `mask` with `delivery`.
    #[must_use]
    pub const fn new(mask: ExceptionMask, delivery: Delivery) -> Self {
        Self {
            mask,
            delivery,
            tag: 0,
            anonymous_task: false,
        }
    }

    /// Sets a number that comes back as [`Exception::tag`](crate::Exception::tag).
    #[must_use]
    pub const fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// Allows behaviors that do not name the task at task level: children inherit the registration (B6.3), and their exceptions look
    /// like the task's own. Exceptions of other tasks are handled too; without this they are declined.
    #[must_use]
    pub const fn accept_child_tasks(mut self) -> Self {
        self.anonymous_task = true;
        self
    }
}
