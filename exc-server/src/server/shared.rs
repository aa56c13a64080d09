//! What a server, its thread and its routes have in common: opening and closing routes.

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

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) set: PortSet,
    pub(crate) table: Arc<Table>,
    pub(crate) counters: Counters,
    pub(crate) deferrals: Deferrals,
    pub(crate) stopping: AtomicBool,
    /// Whether the handler is to look around.
    pub(crate) woken: AtomicBool,
    /// Messages under way to the control port that say so.
    pub(crate) wakes: AtomicU32,
    /// The server's thread, once it runs: its identifier, and the name of its port.
    pub(crate) thread_id: AtomicU64,
    pub(crate) thread_port: AtomicU32,
    /// Taken to open and close routes, never on the way of an exception.
    routes: Mutex<Routes>,
    /// How many are closing all routes just now.
    closing: AtomicU32,
}

#[derive(Debug, Default)]
struct Routes {
    open: Vec<Option<Port>>,
    free: Vec<u32>,
    closed: bool,
}

/// An open route's port. Its installation stands in the table.
#[derive(Debug)]
struct Port {
    id: RouteId,
    port: ReceiveRight,
}

/// Time between two looks at what another thread is about to finish.
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
        // Nothing under this lock leaves it half changed.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server did so far.
    pub(crate) fn stats(&self) -> Stats {
        let counted = self.counters.read();
        let slots = self.deferrals.slots();
        Stats {
            expired: slots.expired(),
            unwanted: counted.unwanted.saturating_add(slots.unwanted()),
            ..counted
        }
    }

    /// Opens a route: a port in the set whose context is the route's, then the registration.
    fn open_here(
        &self,
        target: Target<'_>,
        routing: &Routing,
    ) -> Result<(RouteId, Name), RouteError> {
        let port = ReceiveRight::new().map_err(RouteError::Port)?;
        port.mark_route();
        let send = port.make_send().map_err(RouteError::Port)?;
        let name = port.name();
        let task = match target {
            Target::Task(task) if !routing.anonymous_task => Some(task.name()),
            _ => None,
        };
        let id = self.reserve(Opening {
            port: name,
            task,
            tag: routing.tag,
        })?;
        let ready = port
            .set_context(id.to_context())
            .and_then(|()| self.set.insert(&port));
        let wanted = Registration::of(routing.mask, &send, routing.delivery);
        let installed = ready
            .map_err(RouteError::Port)
            .and_then(|()| Ok(Installation::with_port(target, wanted, send)?));
        match installed {
            Ok(installation) => self.table.put(id, Box::new(installation)),
            Err(error) => {
                self.close(Port { id, port });
                self.give_back(id);
                return Err(error);
            }
        }
        self.publish(Port { id, port })?;
        Ok((id, name))
    }

    /// A place in the table.
    fn reserve(&self, opening: Opening) -> Result<RouteId, RouteError> {
        let mut routes = self.routes();
        if routes.closed {
            return Err(RouteError::Stopped);
        }
        // Nearly always the last: a place is taken only when the requests of the route before are over.
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
            // Room for all of them: closing a route, at the end of a thread, allocates nothing.
            let missing = routes.open.len() - routes.free.len();
            routes.free.reserve(missing);
        }
        Ok(id)
    }

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

    fn give_back(&self, id: RouteId) {
        let mut routes = self.routes();
        if !routes.closed {
            routes.free.push(id.index);
        }
    }

    /// Returns whether a message to the control port that only wakes the thread was to be expected, and expects one less.
    pub(crate) fn take_wake(&self) -> bool {
        let less = |wakes: u32| wakes.checked_sub(1);
        let before = self
            .wakes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        before.is_ok()
    }

    /// A message came that is no request. The control port's, whose only news is that it came, is among these.
    pub(crate) fn note_malformed(&self) {
        if !self.stopping.load(Ordering::Acquire) && !self.take_wake() {
            self.counters.malformed();
        }
    }

    fn silence(&self, port: &Port) {
        // Fails for a port that is not in the set: it was taken out before, or never came in, or other code destroyed it.
        let _ = self.set.remove(&port.port);
        self.table.close(port.id);
    }

    fn close(&self, port: Port) {
        // Of a route that was not detached. A thread that is gone has nothing to put back.
        drop(self.table.take(port.id));
        self.silence(&port);
        // Stale from here on: what was deferred before is found, what is deferred after is refused.
        self.deferrals.slots().decline_route(port.id.to_context());
        self.table.forget_port(port.id);
        drop(port);
    }
}

/// What a server and its routes are asked for. In the child of a fork they are inert: the names are the parent's, the server's thread is
/// not there, and a lock may be held for ever.
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

    /// Puts the previous handlers back. For a route that the server has closed nothing is left to do, once that is over.
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

    /// Lets no further message of the route reach the handler.
    pub(crate) fn stop_delivery(&self, id: RouteId) {
        if !self.is_here() {
            return;
        }
        let routes = self.routes();
        let place = routes.open.get(id.index as usize).and_then(Option::as_ref);
        if let Some(port) = place.filter(|port| port.id == id) {
            self.silence(port);
        }
    }

    /// Closes the port: out of the set, its messages stale, destroyed.
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
            // Only now: another route in this place raises the generation.
            self.give_back(id);
        }
    }

    /// Closes all routes; none can be opened any more.
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
        // What no open route had: deferred by a handler while its route closed.
        self.deferrals.slots().close();
        self.closing.fetch_sub(1, Ordering::AcqRel);
    }
}
