//! Routes from targets to a server.

use crate::clock;
use crate::error::{InFlight, InstallError};
use crate::local::Local;
use crate::registration::install::{Installation, Restored};
use crate::registration::previous::Previous;
use crate::route::id::RouteId;
use crate::server::shared::{PAUSE, Shared};
use crate::timeout::Timeout;
use mach_sys::rights::Name;
use std::sync::Arc;

/// A route from one target to the server: an exception port of its own, registered for the target.
///
/// ```
/// use exc_server::mach_sys::{exception::ExceptionMask, rights::ThreadRight};
/// use exc_server::{Delivery, Restored, Routing, Server, Target, Timeout};
///
/// let server = Server::start(|exception| exception.decline())?;
/// let thread = ThreadRight::current()?;
/// let routing = Routing::new(ExceptionMask::ARITHMETIC, Delivery::THREAD).tag(7);
/// let route = server.route(Target::Thread(&thread), &routing)?;
/// // In steps: stop new exceptions, wait for those in flight, close the port.
/// let (detached, restored) = route.unroute();
/// assert_eq!(restored?, Restored::Clean);
/// detached.stop_delivery();
/// detached.wait_idle(Timeout::Never)?;
/// detached.close_port();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping the route puts the previous handlers back, declines queued and deferred exceptions, and destroys the port. Dropping the server
/// first does the same for all its routes. In the child of a fork a route is inert.
#[must_use = "dropping a route closes it"]
#[derive(Debug)]
pub struct Route {
    shared: Arc<Local<Shared>>,
    id: RouteId,
    port: Name,
    /// `true` once a [`DetachedRoute`] has taken over.
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

    /// Returns the handlers that were registered before, with new references on the ports that still live. Returns `None` if the server was
    /// dropped, and in the child of a fork.
    #[must_use]
    pub fn previous(&self) -> Option<Previous> {
        if !self.shared.is_here() {
            return None;
        }
        let look = |installation: &Installation| installation.previous().duplicate();
        self.shared.table.look(self.id, look)
    }

    /// Returns the number of requests of this route that were received and are not answered yet, including deferred ones.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.shared.table.in_flight(self.id)
    }

    /// Waits until no request of this route is in flight, including deferred ones. Returns at once in the child of a fork.
    ///
    /// # Errors
    /// [`InFlight`]: requests were still in flight at the limit.
    pub fn wait_idle(&self, limit: Timeout) -> Result<(), InFlight> {
        wait_idle(&self.shared, self.id, limit)
    }

    /// Puts the previous handlers back: no new exception arrives on this route. Queued exceptions are still served.
    ///
    /// The second value is the result of putting them back: an [`InstallError`] if the kernel refused, for example because the thread has
    /// exited. The route is detached in either case.
    pub fn unroute(mut self) -> (DetachedRoute, Result<Restored, InstallError>) {
        self.passed_on = true;
        let detached = DetachedRoute {
            shared: Arc::clone(&self.shared),
            id: self.id,
        };
        let restored = detached.shared.unroute(detached.id);
        (detached, restored)
    }

    /// Closes the route in one step: puts the previous handlers back, and closes the port.
    ///
    /// # Errors
    /// [`InstallError`]: the previous handlers could not be put back. The route is closed nevertheless.
    pub fn close(self) -> Result<Restored, InstallError> {
        let (detached, restored) = self.unroute();
        detached.close_port();
        restored
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
    /// Waits until no request of this route is in flight, including deferred ones. Returns at once in the child of a fork.
    ///
    /// # Errors
    /// [`InFlight`]: requests were still in flight at the limit.
    pub fn wait_idle(&self, limit: Timeout) -> Result<(), InFlight> {
        wait_idle(&self.shared, self.id, limit)
    }

    /// Removes the port from the server's port set, and makes its late messages stale. After this no further request reaches the handler,
    /// and [`wait_idle`](Self::wait_idle) waits for all that did.
    pub fn stop_delivery(&self) {
        self.shared.stop_delivery(self.id);
    }

    /// Removes the port from the server's port set, makes its late messages stale, declines deferred exceptions, and destroys the port,
    /// which declines the queued ones.
    pub fn close_port(self) {
        drop(self);
    }
}

impl Drop for DetachedRoute {
    fn drop(&mut self) {
        self.shared.close_port(self.id);
    }
}

fn wait_idle(shared: &Local<Shared>, id: RouteId, limit: Timeout) -> Result<(), InFlight> {
    if !shared.is_here() || shared.table.in_flight(id) == 0 {
        return Ok(());
    }
    let deadline = limit.deadline(clock::now());
    loop {
        match shared.table.in_flight(id) {
            0 => return Ok(()),
            count if clock::now() >= deadline => return Err(InFlight { count }),
            _ => std::thread::sleep(PAUSE),
        }
    }
}
