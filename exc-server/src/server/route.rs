//! Routes: one target's way to a server.

use crate::delivery::Delivery;
use crate::error::{InFlight, InstallError};
use crate::install::{Installation, Restored};
use crate::registration::Previous;
use crate::shared::{PAUSE, Shared};
use crate::table::RouteId;
use core::time::Duration;
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::Name;
use std::sync::Arc;
use std::time::Instant;

/// What is routed, and how.
#[derive(Clone, Copy, Debug)]
pub struct Routing {
    pub(crate) mask: ExceptionMask,
    pub(crate) delivery: Delivery,
    pub(crate) tag: u64,
    pub(crate) anonymous_task: bool,
}

impl Routing {
    /// Routes the exceptions of the mask, delivered so.
    #[must_use]
    pub const fn new(mask: ExceptionMask, delivery: Delivery) -> Self {
        Self {
            mask,
            delivery,
            tag: 0,
            anonymous_task: false,
        }
    }

    /// A number of the caller's that comes back as [`Exception::tag`](crate::Exception::tag).
    #[must_use]
    pub const fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// Allows behaviors that do not name the task at task level: children inherit the registration (B6.3), and their exceptions look
    /// like the task's own. Exceptions of other tasks are taken too; without this they are declined.
    #[must_use]
    pub const fn children_need_not_be_told_apart(mut self) -> Self {
        self.anonymous_task = true;
        self
    }
}

/// One target's way to the server. Dropping it puts the previous handlers back, declines what is still queued, and destroys the
/// port. A server that is dropped first does the same for all its routes.
#[must_use = "dropping a route closes it"]
#[derive(Debug)]
pub struct Route {
    shared: Arc<Shared>,
    id: RouteId,
    port: Name,
    /// Whether the next step has taken over.
    passed_on: bool,
}

impl Route {
    pub(crate) fn new(shared: Arc<Shared>, id: RouteId, port: Name) -> Self {
        Self {
            shared,
            id,
            port,
            passed_on: false,
        }
    }

    /// The route's exception port.
    #[must_use]
    pub fn port(&self) -> Name {
        self.port
    }

    /// The handlers that were there before, with references of their own on the ports that still live; `None` when the server is gone.
    #[must_use]
    pub fn previous(&self) -> Option<Previous> {
        let look = |installation: &Installation| installation.previous().duplicate();
        self.shared.table.look(self.id, look)
    }

    /// Requests of this route that were received and are not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.shared.table.in_flight(self.id)
    }

    /// Waits until no request of this route is being answered.
    ///
    /// # Errors
    /// Some still were when the time was over.
    pub fn wait_idle(&self, limit: Duration) -> Result<(), InFlight> {
        wait_idle(&self.shared, self.id, limit)
    }

    /// Puts the previous handlers back: no new exception comes this way. What is queued is still served.
    ///
    /// # Errors
    /// The kernel's refusal, such as for a thread that is gone. The route is closed all the same.
    pub fn unroute(mut self) -> Result<(Unrouted, Restored), InstallError> {
        self.passed_on = true;
        let unrouted = Unrouted {
            shared: Arc::clone(&self.shared),
            id: self.id,
        };
        let restored = unrouted.shared.unroute(unrouted.id)?;
        Ok((unrouted, restored))
    }

    /// All steps at once.
    ///
    /// # Errors
    /// As [`unroute`](Self::unroute).
    pub fn close(self) -> Result<Restored, InstallError> {
        let (unrouted, restored) = self.unroute()?;
        unrouted.close_port();
        Ok(restored)
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        if !self.passed_on {
            let _ = self.shared.unroute(self.id);
            self.shared.close_port(self.id);
        }
    }
}

/// A route whose target's exceptions go elsewhere again; its port is still open.
#[must_use = "dropping it closes the port"]
#[derive(Debug)]
pub struct Unrouted {
    shared: Arc<Shared>,
    id: RouteId,
}

impl Unrouted {
    /// Waits until no request of this route is being answered.
    ///
    /// # Errors
    /// Some still were when the time was over.
    pub fn wait_idle(&self, limit: Duration) -> Result<(), InFlight> {
        wait_idle(&self.shared, self.id, limit)
    }

    /// Takes the port out of the server's set, and makes its late messages stale: from here on none of them reaches the handler, and
    /// [`wait_idle`](Self::wait_idle) sees all that did.
    pub fn stop_delivery(&self) {
        self.shared.stop_delivery(self.id);
    }

    /// Takes the port out of the server's set, makes its late messages stale, and destroys it, which declines what is queued.
    pub fn close_port(self) {
        drop(self);
    }
}

impl Drop for Unrouted {
    fn drop(&mut self) {
        self.shared.close_port(self.id);
    }
}

fn wait_idle(shared: &Shared, id: RouteId, limit: Duration) -> Result<(), InFlight> {
    // A limit that no clock reaches is none.
    let deadline = Instant::now().checked_add(limit);
    loop {
        match shared.table.in_flight(id) {
            0 => return Ok(()),
            count if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                return Err(InFlight { count });
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
}
