//! The server: a thread that receives from a port set.

use crate::answer::Answered;
use crate::error::{RouteError, ServerStartError};
use crate::local::Local;
use crate::registration::target::Target;
use crate::request::deferrals::Deferrals;
use crate::request::exception::Exception;
use crate::server::calls::{Calls, nested_calls};
use crate::server::elsewhere::elsewhere;
use crate::server::handler::{Closure, Handler, PanicPolicy};
use crate::server::route::Route;
use crate::server::routing::Routing;
use crate::server::serve::Service;
use crate::server::shared::Shared;
use crate::stats::Stats;
use core::cell::Cell;
use core::fmt;
use mach_sys::kern_return::KernError;
use mach_sys::kernel::{self, Config, system};
use mach_sys::rights::{PortSet, ReceiveRight, Right, SendOnceRight};
use mach_sys::types::MACH_PORT_NULL;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;

/// A builder that configures and starts a [`Server`].
#[must_use]
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    name: String,
    stack_size: usize,
    on_panic: PanicPolicy,
    deferrals: usize,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            name: "exc-server".into(),
            stack_size: 256 * 1024,
            on_panic: PanicPolicy::default(),
            deferrals: 0,
        }
    }
}

impl ServerBuilder {
    /// The smallest stack size in bytes. The server's own frames and messages need about half of it.
    pub const MIN_STACK_SIZE: usize = 64 * 1024;
    /// The largest stack size in bytes.
    pub const MAX_STACK_SIZE: usize = isize::MAX as usize / 2;

    /// Sets the thread's name; `exc-server` by default. A name with a NUL makes [`start`](Self::start) fail.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the size of the thread's stack in bytes; 256 KiB by default. The handler runs on it. The C library's own share of a stack, such
    /// as a program's static thread-local variables, is added. A size that is too small or too large makes [`start`](Self::start) fail.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Sets the effect of a panic in the handler; [`PanicPolicy::Decline`] by default.
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }

    /// Reserves room for `capacity` deferred exceptions at a time, about 10 KiB each; 0 by default. A capacity above
    /// [`Deferrals::MAX`] makes [`start`](Self::start) fail.
    pub fn deferrals(mut self, capacity: usize) -> Self {
        self.deferrals = capacity;
        self
    }

    /// Starts the server with a closure that answers each exception.
    ///
    /// # Errors
    /// - [`ServerStartError::Name`]: the thread's name contains a NUL.
    /// - [`ServerStartError::StackSize`]: the stack size is too small or too large.
    /// - [`ServerStartError::Deferrals`]: the capacity for deferred exceptions is too large.
    /// - [`ServerStartError::Kernel`]: the emulated kernel could not be started.
    /// - [`ServerStartError::Port`]: the kernel refused a port.
    /// - [`ServerStartError::Thread`]: the system refused the thread.
    pub fn start<F>(self, handler: F) -> Result<Server, ServerStartError>
    where
        F: for<'a> Fn(Exception<'a>) -> Answered + Send + Sync + 'static,
    {
        self.start_handler(Closure(handler))
    }

    /// Starts the server with a [`Handler`].
    ///
    /// # Errors
    /// The same as for [`start`](Self::start).
    pub fn start_handler(self, handler: impl Handler) -> Result<Server, ServerStartError> {
        // `std::thread::Builder` panics on these.
        if self.name.contains('\0') {
            return Err(ServerStartError::Name { name: self.name });
        }
        if !(Self::MIN_STACK_SIZE..=Self::MAX_STACK_SIZE).contains(&self.stack_size) {
            return Err(ServerStartError::StackSize {
                bytes: self.stack_size,
                min: Self::MIN_STACK_SIZE,
                max: Self::MAX_STACK_SIZE,
            });
        }
        let deferrals = Deferrals::new(self.deferrals)?;
        // The first kernel call would start the kernel too, but without the reason if that fails.
        kernel::configure(Config::default()).map_err(ServerStartError::Kernel)?;
        let set = PortSet::new().map_err(ServerStartError::Port)?;
        let control = ReceiveRight::new().map_err(ServerStartError::Port)?;
        set.insert(&control).map_err(ServerStartError::Port)?;
        let wake = control.make_send_once().map_err(ServerStartError::Port)?;
        let control = Arc::new(Local::new(control));
        let kept = Arc::clone(&control);
        let shared = Arc::new(Local::new(Shared::new(set, deferrals)));
        let serving = Arc::clone(&shared);
        let on_panic = self.on_panic;
        let room = AtomicUsize::new(nested_calls(self.stack_size));
        // Waits below until the thread's port and reply port have names: before a census, and before a route to this thread.
        let ready = Arc::new(Barrier::new(2));
        let begun = Arc::clone(&ready);
        let builder = std::thread::Builder::new()
            .name(self.name)
            .stack_size(system::stack_size_for(self.stack_size));
        // On the heap: the handler may be larger than the stack that the thread is started on.
        let serve = Box::new(move || {
            SERVES.set(true);
            let outer = system::enter_server_thread();
            let service = Service {
                calls: Calls {
                    shared: &serving,
                    handler: &handler,
                    on_panic,
                    room,
                },
                outer,
            };
            service.run(|| {
                begun.wait();
            });
            // The handler's destructor is user code.
            outer.restore();
            // The control port lives as long as messages may be sent to it.
            drop(control);
        });
        let thread = elsewhere(|| builder.spawn(serve))
            .and_then(core::convert::identity)
            .map_err(ServerStartError::Thread)?;
        ready.wait();
        let server = Server {
            shared,
            wake: Some(Local::new(wake)),
            control: kept,
            thread: Some(thread),
        };
        if server.shared.thread_port.load(Ordering::Acquire) == MACH_PORT_NULL {
            // The kernel has no room for the thread: all its calls would fail, and a fault that is routed here wait for ever.
            return Err(ServerStartError::Port(KernError::RESOURCE_SHORTAGE));
        }
        Ok(server)
    }
}

std::thread_local! {
    /// `true` on a server's thread. The initializer is constant and there is no destructor, so that nothing is allocated.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// A running server: a thread that receives exceptions from a port set and calls the handler. Dropping the server closes all routes, which
/// declines queued and deferred exceptions, and ends the thread once the handler has returned. In the child of a fork, which does not have
/// the thread, the server is inert, and dropping it does nothing.
///
/// A handler may drop its own server. One that drops another server waits for that one's handler to return, and for ever if that one waits
/// for this handler, as in [`Exception::forward`]: leave that to another thread.
///
/// ```
/// use exc_server::{Delivery, Routing, Server, Target};
/// use mach_sys::exception::ExceptionMask;
/// use mach_sys::rights::ThreadRight;
///
/// let server = Server::start(|exception| exception.decline())?;
/// let thread = ThreadRight::current()?;
/// let routing = Routing::new(ExceptionMask::BAD_ACCESS, Delivery::THREAD);
/// let route = server.route(Target::Thread(&thread), &routing)?;
/// assert_eq!(route.in_flight(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a server stops it"]
#[doc(alias = "mach_msg_server")]
#[doc(alias = "mach_exc_server")]
#[doc(alias = "exc_server")]
pub struct Server {
    shared: Arc<Local<Shared>>,
    /// A send-once right on the control port. Dropping it sends the message that wakes the server's thread.
    wake: Option<Local<SendOnceRight>>,
    /// The control port, on which [`wake`](Self::wake) makes further send-once rights.
    control: Arc<Local<ReceiveRight>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Returns a builder that configures and starts a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts a server with the default settings of [`ServerBuilder`] and a closure that answers each exception.
    ///
    /// # Errors
    /// - [`ServerStartError::Kernel`]: the emulated kernel could not be started.
    /// - [`ServerStartError::Port`]: the kernel refused a port.
    /// - [`ServerStartError::Thread`]: the system refused the thread.
    pub fn start<F>(handler: F) -> Result<Self, ServerStartError>
    where
        F: for<'a> Fn(Exception<'a>) -> Answered + Send + Sync + 'static,
    {
        Self::builder().start(handler)
    }

    /// Starts a server with the default settings of [`ServerBuilder`] and a [`Handler`].
    ///
    /// # Errors
    /// The same as for [`start`](Self::start).
    pub fn start_handler(handler: impl Handler) -> Result<Self, ServerStartError> {
        Self::builder().start_handler(handler)
    }

    /// Returns whether the calling thread belongs to any of this process's servers.
    #[must_use]
    pub fn is_server_thread() -> bool {
        SERVES.get()
    }

    /// Routes a target's exceptions to this server, through a port of their own, until the route is closed.
    ///
    /// A route of the task includes the server's own thread: a fault of the handler would then wait for itself. To answer such faults, route
    /// the server's thread to a second server.
    ///
    /// # Errors
    /// - [`RouteError::AnonymousTask`]: the target is a task, and the behavior does not name it.
    /// - [`RouteError::ServerThread`]: the target is the server's own thread.
    /// - [`RouteError::Full`]: the server has 65536 routes.
    /// - [`RouteError::Stopped`]: the server's thread has ended, or the calling process is the child of a fork.
    /// - [`RouteError::Port`]: the kernel refused a port.
    /// - [`RouteError::Install`]: the port could not be registered.
    #[doc(alias = "task_set_exception_ports")]
    #[doc(alias = "thread_set_exception_ports")]
    pub fn route(&self, target: Target<'_>, routing: &Routing) -> Result<Route, RouteError> {
        let delivery = routing.delivery;
        if matches!(target, Target::Task(_)) && !delivery.names_task() && !routing.anonymous_task {
            return Err(RouteError::AnonymousTask {
                behavior: delivery.behavior(),
            });
        }
        if let Target::Thread(thread) = target {
            if thread.name().raw() == self.shared.thread_port.load(Ordering::Acquire) {
                return Err(RouteError::ServerThread);
            }
        }
        let (id, port) = self.shared.open(target, routing)?;
        Ok(Route::new(Arc::clone(&self.shared), id, port))
    }

    /// Returns the server's counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Returns the server's table of deferred exceptions.
    #[must_use]
    pub fn deferrals(&self) -> &Deferrals {
        &self.shared.deferrals
    }

    /// Wakes the server's thread for [`Handler::look_around`]. If the kernel refuses a right for this, the thread calls it after the next
    /// message.
    #[doc(hidden)]
    pub fn wake(&self) {
        if !self.shared.is_here() {
            return;
        }
        self.shared.woken.store(true, Ordering::Release);
        self.shared.wakes.fetch_add(1, Ordering::AcqRel);
        // Dropping the right sends the message.
        if self.control.make_send_once().map(drop).is_err() {
            self.shared.take_wake();
        }
    }

    /// Closes all routes, ends the thread, and returns the server's counters. Dropping the server does the same.
    pub fn shutdown(mut self) -> Stats {
        self.stop();
        self.stats()
    }

    fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        if !self.shared.is_here() {
            // The thread belongs to the parent: joining it would wait forever.
            core::mem::forget(thread);
            return;
        }
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.close_all();
        // The kernel itself sends the notification of a dropped send-once right (C8.8), also if the queue has no room for messages.
        drop(self.wake.take());
        // The server's own thread cannot join itself; it ends after its answer. The thread is compared by the system's identifier, since
        // this may run in a thread's last destructors, where `std::thread::current` does not work.
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
