//! Routes: one target's way to a server.

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

/// One target's way to the server.
///
/// ```
/// use exc_server::mach_sys::{exception::ExceptionMask, rights::ThreadRight};
/// use exc_server::{Delivery, Restored, Routing, Server, Target, Timeout};
///
/// let server = Server::start(|exception| exception.decline())?;
/// let thread = ThreadRight::current()?;
/// let routing = Routing::new(ExceptionMask::ARITHMETIC, Delivery::THREAD).tag(7);
/// let route = server.route(Target::Thread(&thread), &routing)?;
/// // In steps: no new exceptions, none in flight, the port.
/// let (detached, restored) = route.unroute();
/// assert_eq!(restored?, Restored::Clean);
/// detached.stop_delivery();
/// detached.wait_idle(Timeout::Never)?;
/// detached.close_port();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping it puts the previous handlers back, declines what is queued or deferred, and destroys
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
    /// [`InFlight`]: some still were when the limit was over.
    pub fn wait_idle(&self, limit: Timeout) -> Result<(), InFlight> {
        wait_idle(&self.shared, self.id, limit)
    }

    /// Puts the previous handlers back: no new exception arrives here. What is queued is still served.
    ///
    /// The second value says whether they are back. It is an [`InstallError`] when the kernel refused, such as for a thread that has
    /// exited; the route then goes on in the same steps.
    pub fn unroute(mut self) -> (DetachedRoute, Result<Restored, InstallError>) {
        self.passed_on = true;
        let detached = DetachedRoute {
            shared: Arc::clone(&self.shared),
            id: self.id,
        };
        let restored = detached.shared.unroute(detached.id);
        (detached, restored)
    }

    /// Closes the route, all steps at once.
    ///
    /// # Errors
    /// [`InstallError`]: the previous handlers could not be put back. The route is closed all the same.
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
    /// Waits until no request of this route is in flight, deferred ones included. In the child of a fork none is.
    ///
    /// # Errors
    /// [`InFlight`]: some still were when the limit was over.
    pub fn wait_idle(&self, limit: Timeout) -> Result<(), InFlight> {
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

fn wait_idle(shared: &Local<Shared>, id: RouteId, limit: Timeout) -> Result<(), InFlight> {
    if !shared.is_here() {
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
