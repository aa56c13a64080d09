//! The parameters of a route.

use crate::delivery::Delivery;
use mach_sys::exception::ExceptionMask;

/// The exception types to route, their delivery, and the route's tag.
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

    /// Sets a number that [`Exception::tag`](crate::Exception::tag) returns; 0 by default.
    #[must_use]
    pub const fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// Accepts the exceptions of child tasks, and allows behaviors that do not name the task at task level. Children inherit the
    /// registration (B6.3), and with such a behavior their exceptions look like the task's own. By default the exceptions of other tasks
    /// are declined.
    #[must_use]
    pub const fn accept_child_tasks(mut self) -> Self {
        self.anonymous_task = true;
        self
    }
}
