//! The state that a server, its thread and its routes share: opens and closes routes.

use crate::error::{InstallError, RouteError};
use crate::local::Local;
use crate::registration::install::{Installation, Restored};
use crate::registration::previous::Registration;
use crate::registration::target::Target;
use crate::request::deferrals::Deferrals;
use crate::route::id::RouteId;
use crate::route::table::{CAPACITY, Opening, Table};
use crate::server::routing::Routing;
use crate::stats::{Counters, Stats};
use core::time::Duration;
use mach_sys::rights::{Name, PortSet, ReceiveRight, Right};
use mach_sys::types::MACH_PORT_NULL;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The state that a server, its thread and its routes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) set: PortSet,
    pub(crate) table: Arc<Table>,
    pub(crate) counters: Counters,
    pub(crate) deferrals: Deferrals,
    pub(crate) stopping: AtomicBool,
    /// `true` if the handler's `look_around` must be called.
    pub(crate) woken: AtomicBool,
    /// Number of messages in flight to the control port that only wake the thread.
    pub(crate) wakes: AtomicU32,
    /// The identifier of the server's thread; 0 before it runs.
    pub(crate) thread_id: AtomicU64,
    /// The name of the thread's port; null before it runs.
    pub(crate) thread_port: AtomicU32,
    /// The routes. Locked to open and close routes, never while an exception is handled.
    routes: Mutex<Routes>,
    /// Number of threads that are closing all routes now.
    closing: AtomicU32,
}

/// The ports of the open routes, and the free records.
#[derive(Debug, Default)]
struct Routes {
    /// The ports, by the index of their record.
    open: Vec<Option<Port>>,
    /// The indices of free records.
    free: Vec<u32>,
    /// `true` once all routes were closed for good.
    closed: bool,
}

/// The port of an open route. Its installation is in the table.
#[derive(Debug)]
struct Port {
    id: RouteId,
    port: ReceiveRight,
    /// `true` once it was removed from the port set, and its messages are stale.
    silent: bool,
}

impl Port {
    fn new(id: RouteId, port: ReceiveRight) -> Self {
        Self {
            id,
            port,
            silent: false,
        }
    }
}

/// The time between two checks of a condition that another thread is about to fulfil.
pub(crate) const PAUSE: Duration = Duration::from_micros(50);

impl Shared {
    pub(crate) fn new(set: PortSet, deferrals: Deferrals) -> Self {
        Self {
            set,
            table: Arc::new(Table::new()),
            counters: Counters::default(),
            deferrals,
            stopping: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            wakes: AtomicU32::new(0),
            thread_id: AtomicU64::new(0),
            thread_port: AtomicU32::new(MACH_PORT_NULL),
            routes: Mutex::new(Routes::default()),
            closing: AtomicU32::new(0),
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        // No panic under this lock leaves the routes half changed.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the server's counters.
    pub(crate) fn stats(&self) -> Stats {
        let counted = self.counters.read();
        let slots = self.deferrals.slots();
        Stats {
            expired: slots.expired(),
            unwanted: counted.unwanted.saturating_add(slots.unwanted()),
            ..counted
        }
    }

    /// Opens a route: makes a port with the route's context, adds it to the port set, and registers it.
    fn open_here(
        &self,
        target: Target<'_>,
        routing: &Routing,
    ) -> Result<(RouteId, Name), RouteError> {
        let task = match target {
            Target::Task(task) if !routing.anonymous_task => Some(task.name()),
            _ => None,
        };
        let id = self.reserve(Opening {
            task,
            tag: routing.tag,
        })?;
        let (port, send) = match ReceiveRight::with_context(id.to_context()) {
            Ok(made) => made,
            Err(error) => {
                self.table.close(id);
                self.give_back(id);
                return Err(RouteError::Port(error));
            }
        };
        port.mark_route();
        let name = port.name();
        self.table.note_port(id, name);
        let wanted = Registration::of(routing.mask, &send, routing.delivery);
        let installed = self
            .set
            .insert(&port)
            .map_err(RouteError::Port)
            .and_then(|()| Ok(Installation::with_port(target, wanted, send)?));
        match installed {
            Ok(installation) => self.table.put(id, Box::new(installation)),
            Err(error) => {
                self.close(Port::new(id, port));
                self.give_back(id);
                return Err(error);
            }
        }
        self.publish(Port::new(id, port))?;
        Ok((id, name))
    }

    /// Takes a free record in the table, and opens a route in it.
    fn reserve(&self, opening: Opening) -> Result<RouteId, RouteError> {
        let mut routes = self.routes();
        if routes.closed {
            return Err(RouteError::Stopped);
        }
        // Nearly always the last one. A record is taken only if all requests of its former route are answered.
        let free = routes
            .free
            .iter()
            .rposition(|index| self.table.is_free(*index));
        let index = match free {
            Some(at) => routes.free.swap_remove(at),
            None => routes.open.len() as u32,
        };
        let id = self
            .table
            .open(index, opening)
            .ok_or(RouteError::Full(CAPACITY))?;
        if free.is_none() {
            routes.open.push(None);
            // Room for all of them: closing a route, also at a thread's exit, allocates nothing.
            let missing = routes.open.len() - routes.free.len();
            routes.free.reserve(missing);
        }
        Ok(id)
    }

    /// Stores the port of a route that is ready; closes it if the server was closed meanwhile.
    fn publish(&self, port: Port) -> Result<(), RouteError> {
        let mut routes = self.routes();
        if routes.closed {
            drop(routes);
            self.close(port);
            return Err(RouteError::Stopped);
        }
        let index = port.id.index as usize;
        if let Some(place) = routes.open.get_mut(index) {
            *place = Some(port);
        }
        Ok(())
    }

    /// Gives a route's record back.
    fn give_back(&self, id: RouteId) {
        let mut routes = self.routes();
        if !routes.closed {
            routes.free.push(id.index);
        }
    }

    /// Returns whether a message that only wakes the thread was expected on the control port, and counts it as received.
    pub(crate) fn take_wake(&self) -> bool {
        let less = |wakes: u32| wakes.checked_sub(1);
        let before = self
            .wakes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        before.is_ok()
    }

    /// Counts a message that is not a request, unless it is one of the control port's, which only wake the thread.
    pub(crate) fn note_malformed(&self) {
        if !self.stopping.load(Ordering::Acquire) && !self.take_wake() {
            self.counters.malformed();
        }
    }

    /// Removes the port from the port set, and makes its messages stale, unless that was done.
    fn silence(&self, port: &mut Port) {
        if core::mem::replace(&mut port.silent, true) {
            return;
        }
        // Fails if the port is not in the set: it was removed before, was never added, or other code destroyed it.
        let _ = self.set.remove(&port.port);
        self.table.close(port.id);
    }

    /// Closes a route's port, and declines its queued and deferred exceptions.
    fn close(&self, mut port: Port) {
        // Uninstalls a route that was not detached. A thread that is gone has nothing to put back.
        drop(self.table.take(port.id));
        self.silence(&mut port);
        // The route is stale now: exceptions deferred before are found here, and later ones are refused.
        self.deferrals.slots().decline_route(port.id.to_context());
        self.table.forget_port(port.id);
        drop(port);
    }
}

/// The operations of a server and its routes. In the child of a fork they do nothing: the names belong to the parent, the server's thread
/// does not exist, and a lock may be held forever.
impl Local<Shared> {
    /// Opens a route.
    pub(crate) fn open(
        &self,
        target: Target<'_>,
        routing: &Routing,
    ) -> Result<(RouteId, Name), RouteError> {
        if !self.is_here() {
            return Err(RouteError::Stopped);
        }
        self.open_here(target, routing)
    }

    /// Puts the previous handlers back. If the server is closing the route, waits until that is done.
    pub(crate) fn unroute(&self, id: RouteId) -> Result<Restored, InstallError> {
        if !self.is_here() {
            return Ok(Restored::Clean);
        }
        if let Some(installation) = self.table.take(id) {
            return installation.uninstall();
        }
        while self.closing.load(Ordering::Acquire) != 0 {
            std::thread::sleep(PAUSE);
        }
        Ok(Restored::Clean)
    }

    /// Stops the delivery of the route's messages to the handler.
    pub(crate) fn stop_delivery(&self, id: RouteId) {
        if !self.is_here() {
            return;
        }
        let mut routes = self.routes();
        let place = routes
            .open
            .get_mut(id.index as usize)
            .and_then(Option::as_mut);
        if let Some(port) = place.filter(|port| port.id == id) {
            self.silence(port);
        }
    }

    /// Closes the port: removes it from the set, makes its messages stale, and destroys it.
    pub(crate) fn close_port(&self, id: RouteId) {
        if !self.is_here() {
            return;
        }
        let port = {
            let mut routes = self.routes();
            let place = routes.open.get_mut(id.index as usize);
            place.and_then(|place| place.take_if(|port| port.id == id))
        };
        if let Some(port) = port {
            self.close(port);
            // Given back only now: another route in this record raises the generation.
            self.give_back(id);
        }
    }

    /// Closes all routes for good: no route can be opened afterwards.
    pub(crate) fn close_all(&self) {
        if !self.is_here() {
            return;
        }
        self.closing.fetch_add(1, Ordering::AcqRel);
        let open = {
            let mut routes = self.routes();
            routes.closed = true;
            core::mem::take(&mut routes.open)
        };
        for port in open.into_iter().flatten() {
            self.close(port);
        }
        // Declines exceptions that no open route had: a handler deferred them while their route closed.
        self.deferrals.slots().close();
        self.closing.fetch_sub(1, Ordering::AcqRel);
    }
}
