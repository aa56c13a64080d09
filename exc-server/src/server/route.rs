//! Routes: one target's way to a server.

use crate::error::{InFlight, InstallError};
use crate::local::Local;
use crate::registration::install::{Installation, Restored};
use crate::registration::previous::Previous;
use crate::route::id::RouteId;
use crate::server::shared::{PAUSE, Shared};
use core::time::Duration;
use mach_sys::rights::Name;
use std::sync::Arc;
use std::time::Instant;

/// One target's way to the server. Dropping it puts the previous handlers back, declines what is queued or deferred, and destroys
/// the port. A server that is dropped first does the same for all its routes. In the child of a fork it is inert.
#[must_use = "dropping a route closes it"]
#[derive(Debug)]
pub struct Route {
    shared: Arc<Local<Shared>>,
    id: RouteId,
    port: Name,
    /// Whether the next step has taken over.
    passed_on: bool,
}

impl Route {
    pub(crate) fn new(shared: Arc<Local<Shared>>, id: RouteId, port: Name) -> Self {
        Self {
            shared,
            id,
            port,
            passed_on: false,
        }
    }

    /// Returns the route's exception port.
    #[must_use]
    pub fn port(&self) -> Name {
        self.port
    }

    /// Returns the handlers that were registered before, with references of their own on the ports that still live; `None` when the
    /// server was dropped, and in the child of a fork.
    #[must_use]
    pub fn previous(&self) -> Option<Previous> {
        if !self.shared.is_here() {
            return None;
        }
        let look = |installation: &Installation| installation.previous().duplicate();
        self.shared.table.look(self.id, look)
    }

    /// Returns how many requests of this route were received and are not answered yet, deferred ones included.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.shared.table.in_flight(self.id)
    }

    /// Waits until no request of this route is in flight, deferred ones included. In the child of a fork none is.
    ///
    /// # Errors
    /// Some still were when the limit was over.
    pub fn wait_idle(&self, limit: Duration) -> Result<(), InFlight> {
        wait_idle(&self.shared, self.id, limit)
    }

    /// Puts the previous handlers back: no new exception arrives here. What is queued is still served.
    ///
    /// # Errors
    /// The kernel's refusal, such as for a thread that has exited. The route is closed all the same.
    pub fn unroute(mut self) -> Result<(DetachedRoute, Restored), InstallError> {
        self.passed_on = true;
        let detached = DetachedRoute {
            shared: Arc::clone(&self.shared),
            id: self.id,
        };
        let restored = detached.shared.unroute(detached.id)?;
        Ok((detached, restored))
    }

    /// Closes the route, all steps at once.
    ///
    /// # Errors
    /// As [`unroute`](Self::unroute).
    pub fn close(self) -> Result<Restored, InstallError> {
        let (detached, restored) = self.unroute()?;
        detached.close_port();
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

/// A route whose previous handlers are registered again; its port is still open.
#[must_use = "dropping it closes the port"]
#[derive(Debug)]
pub struct DetachedRoute {
    shared: Arc<Local<Shared>>,
    id: RouteId,
}

impl DetachedRoute {
    /// Waits until no request of this route is in flight, deferred ones included. In the child of a fork none is.
    ///
    /// # Errors
    /// Some still were when the limit was over.
    pub fn wait_idle(&self, limit: Duration) -> Result<(), InFlight> {
        wait_idle(&self.shared, self.id, limit)
    }

    /// Takes the port out of the server's set, and makes its late messages stale: after this none of them reaches the handler, and
    /// [`wait_idle`](Self::wait_idle) sees all that did.
    pub fn stop_delivery(&self) {
        self.shared.stop_delivery(self.id);
    }

    /// Takes the port out of the server's set, makes its late messages stale, and destroys it, which declines what is queued; declines
    /// what is deferred.
    pub fn close_port(self) {
        drop(self);
    }
}

impl Drop for DetachedRoute {
    fn drop(&mut self) {
        self.shared.close_port(self.id);
    }
}

fn wait_idle(shared: &Local<Shared>, id: RouteId, limit: Duration) -> Result<(), InFlight> {
    if !shared.is_here() {
        return Ok(());
    }
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
