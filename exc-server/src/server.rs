//! The server: a thread on a port set.

use crate::answer::Answered;
use crate::error::{RouteError, StartError};
use crate::exception::Exception;
use crate::registration::Target;
use crate::route::{Route, Routing};
use crate::serve::serve;
use crate::shared::Shared;
use crate::stats::Stats;
use core::cell::Cell;
use core::fmt;
use mach_sys::kernel::system;
use mach_sys::rights::{PortSet, ReceiveRight, SendRight};
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
        set.insert(&control).map_err(StartError::Port)?;
        let wake = control.make_send().map_err(StartError::Port)?;
        let shared = Arc::new(Shared::new(set));
        let serving = Arc::clone(&shared);
        let on_panic = self.on_panic;
        let thread = std::thread::Builder::new()
            .name(self.name)
            .stack_size(self.stack_size)
            .spawn(move || {
                SERVES.set(true);
                serve(&serving, &handler, on_panic);
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

std::thread_local! {
    /// Whether the thread is a server's. Constant, without a destructor: nothing is allocated for it.
    static SERVES: Cell<bool> = const { Cell::new(false) };
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

    /// Returns whether the calling thread is the thread of a server, whichever of this process's servers.
    #[must_use]
    pub fn is_server_thread() -> bool {
        SERVES.get()
    }

    /// Routes a target's exceptions here, through a port of their own, until the route is closed.
    ///
    /// # Errors
    /// The port could not be made or registered; for a task, a behavior that does not name it; no room for another route.
    pub fn route(&self, target: Target<'_>, routing: &Routing) -> Result<Route, RouteError> {
        let delivery = routing.delivery;
        if matches!(target, Target::Task(_)) && !delivery.names_task() && !routing.anonymous_task {
            return Err(RouteError::AnonymousTask {
                behavior: delivery.behavior(),
            });
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
