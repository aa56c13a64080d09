//! The server: a thread on a port set.

use crate::answer::Answered;
use crate::buffer::MessageBuffer;
use crate::error::{InstallError, ReceiveError, RouteError, StartError};
use crate::exception::{Exception, Forward};
use crate::install::{Installation, Previous, Restored, Target};
use crate::question::{Place, Question};
use crate::receiver::{Received, receive};
use crate::route::{Route, Routing};
use crate::stats::{Counters, Stats};
use crate::table::{CAPACITY, RouteId, Table};
use core::fmt;
use mach_sys::exception::BehaviorKind;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::system;
use mach_sys::rights::{PortSet, ReceiveRight, Right, SendRight};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Answers exceptions, on the server's thread.
///
/// The faulting thread is stopped at an arbitrary instruction and may hold any lock, the allocator's included. A handler that locks
/// or allocates is not unsound, but can wait for the thread that waits for it.
pub trait Handler: Send + Sync + 'static {
    /// Answers one exception.
    fn handle(&self, exception: Exception<'_>) -> Answered;
}

impl<F> Handler for F
where
    F: Fn(Exception<'_>) -> Answered + Send + Sync + 'static,
{
    fn handle(&self, exception: Exception<'_>) -> Answered {
        self(exception)
    }
}

/// What a panic in the handler does. In both cases the panic hook runs first, which writes and allocates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PanicPolicy {
    /// Declines the exception, counts it, and goes on serving.
    #[default]
    Decline,
    /// Aborts the process.
    Abort,
}

/// Configures a [`Server`].
#[must_use]
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    stack_size: usize,
    on_panic: PanicPolicy,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            name: "exc-server".into(),
            stack_size: 256 * 1024,
            on_panic: PanicPolicy::default(),
        }
    }
}

impl Builder {
    /// The thread's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The thread's stack, 256 KiB if nothing is said; the handler runs on it.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// What a panic in the handler does.
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// Its ports or its thread could not be made.
    pub fn start(self, handler: impl Handler) -> Result<Server, StartError> {
        let set = PortSet::new().map_err(StartError::Port)?;
        let control = ReceiveRight::new().map_err(StartError::Port)?;
        let reply_port = ReceiveRight::new().map_err(StartError::Port)?;
        set.insert(&control).map_err(StartError::Port)?;
        let wake = control.make_send().map_err(StartError::Port)?;
        let shared = Arc::new(Shared {
            set,
            table: Arc::new(Table::new()),
            counters: Counters::default(),
            stopping: AtomicBool::new(false),
            thread_id: AtomicU64::new(0),
            routes: Mutex::new(Routes::default()),
        });
        let serving = Arc::clone(&shared);
        let on_panic = self.on_panic;
        let thread = std::thread::Builder::new()
            .name(self.name)
            .stack_size(self.stack_size)
            .spawn(move || {
                serve(&serving, &handler, &reply_port, on_panic);
                // The control port lives as long as somebody may send to it.
                drop(control);
            })
            .map_err(StartError::Thread)?;
        Ok(Server {
            shared,
            wake,
            thread: Some(thread),
        })
    }
}

/// A running server: a thread on a port set. Dropping it closes all routes, which declines what is queued, and ends the thread
/// once the handler is through with what it has in hand.
pub struct Server {
    shared: Arc<Shared>,
    wake: SendRight,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Configures a server.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a server with what [`Builder`] has by default.
    ///
    /// # Errors
    /// Its ports or its thread could not be made.
    pub fn start(handler: impl Handler) -> Result<Self, StartError> {
        Self::builder().start(handler)
    }

    /// Routes a target's exceptions here, through a port of their own, until the route is closed.
    ///
    /// # Errors
    /// The port could not be made or registered; plain `EXCEPTION_STATE` for a task; no room for another route.
    pub fn route(&self, target: Target<'_>, routing: &Routing) -> Result<Route, RouteError> {
        let anonymous = routing.delivery.behavior().kind() == BehaviorKind::STATE;
        if matches!(target, Target::Task(_)) && anonymous && !routing.anonymous_task {
            return Err(RouteError::AnonymousTask);
        }
        let (id, port) = self.shared.open(target, routing)?;
        Ok(Route::new(Arc::clone(&self.shared), id, port))
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// Closes all routes, ends the thread, and says what it did. Dropping the server does the same.
    pub fn shutdown(mut self) -> Stats {
        self.stop();
        self.stats()
    }

    fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.close_all();
        crate::message::send_wake(&self.wake);
        // The handler's own thread cannot wait for itself; it ends when it has answered. The system is asked who we are, since
        // this may run in the last destructors of a thread, where `std::thread::current` has gone.
        if self.shared.thread_id.load(Ordering::Acquire) != system::thread_id() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("set", &self.shared.set)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// What the server, its thread and its routes have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    set: PortSet,
    pub(crate) table: Arc<Table>,
    counters: Counters,
    stopping: AtomicBool,
    /// The server's thread, once it runs.
    thread_id: AtomicU64,
    /// Taken to open and close routes, never on the way of an exception.
    routes: Mutex<Routes>,
}

#[derive(Debug, Default)]
struct Routes {
    open: Vec<Option<Parts>>,
    free: Vec<u32>,
    closed: bool,
}

#[derive(Debug)]
struct Parts {
    id: RouteId,
    installation: Option<Installation>,
    port: ReceiveRight,
}

impl Shared {
    fn routes(&self) -> MutexGuard<'_, Routes> {
        // Nothing under this lock leaves it half changed.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(
        &self,
        target: Target<'_>,
        routing: &Routing,
    ) -> Result<(RouteId, mach_sys::rights::Name), RouteError> {
        let port = ReceiveRight::new().map_err(RouteError::Port)?;
        let send = port.make_send().map_err(RouteError::Port)?;
        let mut routes = self.routes();
        if routes.closed {
            return Err(RouteError::Stopped);
        }
        let index = match routes.free.pop() {
            Some(index) => index,
            None => {
                routes.open.push(None);
                // Room for all of them: closing a route, at the end of a thread, allocates nothing.
                let places = routes.open.len();
                routes.free.reserve(places);
                places as u32 - 1
            }
        };
        let id = match self.table.open(index, routing.tag) {
            Some(id) => id,
            None => {
                routes.open.pop();
                return Err(RouteError::Full(CAPACITY));
            }
        };
        let give_back = |routes: &mut Routes, error| {
            self.table.close(id);
            routes.free.push(index);
            Err(error)
        };
        let ready = port
            .set_context(id.to_context())
            .and_then(|()| self.set.insert(&port));
        if let Err(code) = ready {
            return give_back(&mut routes, RouteError::Port(code));
        }
        let installed = Installation::install(target, routing.mask, &send, routing.delivery);
        let installation = match installed {
            Ok(installation) => installation,
            Err(error) => return give_back(&mut routes, error.into()),
        };
        let name = port.name();
        if let Some(place) = routes.open.get_mut(index as usize) {
            *place = Some(Parts {
                id,
                installation: Some(installation),
                port,
            });
        }
        Ok((id, name))
    }

    fn parts<R>(&self, id: RouteId, with: impl FnOnce(&mut Parts) -> R) -> Option<R> {
        let mut routes = self.routes();
        let place = routes.open.get_mut(id.index as usize)?;
        place.as_mut().filter(|parts| parts.id == id).map(with)
    }

    pub(crate) fn with_previous<R>(
        &self,
        id: RouteId,
        look: impl FnOnce(&Previous) -> R,
    ) -> Option<R> {
        self.parts(id, |parts| {
            parts
                .installation
                .as_ref()
                .map(|installation| look(installation.previous()))
        })
        .flatten()
    }

    /// Puts the previous handlers back. A route that is closed already has nothing to put back.
    pub(crate) fn unroute(&self, id: RouteId) -> Result<Restored, InstallError> {
        let installation = self.parts(id, |parts| parts.installation.take()).flatten();
        match installation {
            Some(installation) => installation.uninstall(),
            None => Ok(Restored::Clean),
        }
    }

    /// Lets no further message of the route reach the handler.
    pub(crate) fn stop_delivery(&self, id: RouteId) {
        self.parts(id, |parts| self.silence(parts.id, &parts.port));
    }

    fn silence(&self, id: RouteId, port: &ReceiveRight) {
        // Fails if somebody destroyed the port behind our back, or if it was taken out before; then nothing arrives either.
        let _ = self.set.remove(port);
        self.table.close(id);
    }

    /// Closes the port: out of the set, its messages stale, destroyed.
    pub(crate) fn close_port(&self, id: RouteId) {
        let parts = {
            let mut routes = self.routes();
            let place = routes.open.get_mut(id.index as usize);
            place.and_then(|place| match place {
                Some(parts) if parts.id == id => place.take(),
                _ => None,
            })
        };
        if let Some(parts) = parts {
            self.close(parts);
            // Only now: another route in this place raises the generation, and ours must not be raised after that.
            self.routes().free.push(id.index);
        }
    }

    fn close(&self, parts: Parts) {
        let Parts {
            id,
            installation,
            port,
        } = parts;
        drop(installation);
        self.silence(id, &port);
        drop(port);
    }

    fn close_all(&self) {
        let open = {
            let mut routes = self.routes();
            routes.closed = true;
            core::mem::take(&mut routes.open)
        };
        for parts in open.into_iter().flatten() {
            self.close(parts);
        }
    }
}

/// The server thread's life.
fn serve(
    shared: &Shared,
    handler: &impl Handler,
    reply_port: &ReceiveRight,
    on_panic: PanicPolicy,
) {
    system::enter_server_thread();
    shared
        .thread_id
        .store(system::thread_id(), Ordering::Release);
    let mut buffer = MessageBuffer::new();
    while !shared.stopping.load(Ordering::Acquire) {
        match receive(shared.set.name(), &mut buffer, None) {
            Ok(received) => answer(shared, handler, reply_port, on_panic, received),
            Err(ReceiveError::Malformed { .. } | ReceiveError::TooLarge) => {
                // The control port's message, whose only news is that it came, is among these.
                if !shared.stopping.load(Ordering::Acquire) {
                    shared.counters.malformed();
                }
            }
            Err(ReceiveError::Kernel(KernReturn::RCV_INTERRUPTED) | ReceiveError::TimedOut) => {}
            // Without its set there is nothing to serve.
            Err(ReceiveError::PortGone | ReceiveError::Kernel(_)) => return,
        }
    }
}

fn answer(
    shared: &Shared,
    handler: &impl Handler,
    reply_port: &ReceiveRight,
    on_panic: PanicPolicy,
    received: Received<'_>,
) {
    let Received {
        request,
        context,
        scratch,
    } = received;
    let id = RouteId::from_context(context);
    let tag = shared.table.enter(id);
    let place = tag.map(|_| Place {
        table: Arc::clone(&shared.table),
        id,
    });
    let question = Question::of(&request, place);
    let exception = Exception::new(
        request,
        question,
        tag.unwrap_or(0),
        context,
        scratch,
        Some(&shared.counters),
        Forward {
            reply_port: Some(reply_port),
        },
    );
    if tag.is_none() {
        // A late message of a route that is gone.
        let _ = exception.decline();
        return;
    }
    // An exception that the panic drops is declined on its way out.
    let handled = catch_unwind(AssertUnwindSafe(|| handler.handle(exception)));
    if handled.is_err() {
        shared.counters.panicked();
        if on_panic == PanicPolicy::Abort {
            std::process::abort();
        }
    }
}
