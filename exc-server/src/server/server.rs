//! The server: a thread on a port set.

use crate::answer::Answered;
use crate::error::{RouteError, ServerStartError};
use crate::local::Local;
use crate::registration::target::Target;
use crate::request::deferrals::Deferrals;
use crate::request::exception::Exception;
use crate::server::calls::{Calls, spare};
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
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;

/// Configures a [`Server`].
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
    /// The smallest stack, in bytes: the server's own frames and messages need about half of it.
    pub const MIN_STACK_SIZE: usize = 64 * 1024;
    /// The largest stack, in bytes.
    pub const MAX_STACK_SIZE: usize = isize::MAX as usize / 2;

    /// Sets the thread's name, `exc-server` by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the size of the thread's stack in bytes, 256 KiB by default; the handler runs on it. What the C library takes out of a
    /// stack, such as a program's static thread-local variables, comes on top.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Sets the effect of a panic in the handler.
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.on_panic = policy;
        self
    }

    /// Reserves room for so many deferred exceptions at a time, about 10 KiB each; none by default.
    pub fn deferrals(mut self, capacity: usize) -> Self {
        self.deferrals = capacity;
        self
    }

    /// Starts the server with a closure that answers each exception.
    ///
    /// # Errors
    /// - [`ServerStartError::Name`], [`ServerStartError::StackSize`], [`ServerStartError::Deferrals`]: a setting is out of its range.
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
    /// As [`start`](Self::start).
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
        // As the first call would, but with a reason if it fails.
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
        let spare = spare(self.stack_size);
        // The thread's port and its reply port get names before anything can be counted, or routed to it.
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
                    spare,
                },
                outer,
            };
            service.run(|| {
                begun.wait();
            });
            // The handler's destructor is user code.
            outer.restore();
            // The control port lives as long as something may be sent to it.
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
    /// Whether the thread is a server's. Constant, without a destructor: nothing is allocated for it.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// A running server: a thread on a port set. Dropping it closes all routes, which declines what is queued or deferred, and ends the
/// thread once the handler has returned. In the child of a fork, which has no such thread, it is inert: dropping it does nothing.
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
    /// A right on the control port. Its end is the message that wakes the server's thread.
    wake: Option<Local<SendOnceRight>>,
    /// The port of both that right and those of [`wake`](Self::wake).
    control: Arc<Local<ReceiveRight>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Returns a builder, which configures a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts a server with what [`ServerBuilder`] has by default, and a closure that answers each exception.
    ///
    /// # Errors
    /// - [`ServerStartError::Port`]: the kernel refused a port.
    /// - [`ServerStartError::Thread`]: the system refused the thread.
    pub fn start<F>(handler: F) -> Result<Self, ServerStartError>
    where
        F: for<'a> Fn(Exception<'a>) -> Answered + Send + Sync + 'static,
    {
        Self::builder().start(handler)
    }

    /// Starts a server with what [`ServerBuilder`] has by default, and a [`Handler`].
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_handler(handler: impl Handler) -> Result<Self, ServerStartError> {
        Self::builder().start_handler(handler)
    }

    /// Returns whether the calling thread is the thread of a server, whichever of this process's servers.
    #[must_use]
    pub fn is_server_thread() -> bool {
        SERVES.get()
    }

    /// Routes a target's exceptions here, through a port of their own, until the route is closed.
    ///
    /// A route of the task includes the server's own thread: a fault of the handler then waits for itself. A second server, routed to
    /// this one's thread, answers for it.
    ///
    /// # Errors
    /// - [`RouteError::AnonymousTask`]: the target is a task, and the behavior does not name it.
    /// - [`RouteError::ServerThread`]: the target is the server's own thread.
    /// - [`RouteError::Full`]: the server has no room for another route.
    /// - [`RouteError::Stopped`]: the server's thread has ended, or this is the child of a fork.
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

    /// Returns the table of the exceptions that are deferred.
    #[must_use]
    pub fn deferrals(&self) -> &Deferrals {
        &self.shared.deferrals
    }

    /// Wakes the server's thread for [`Handler::look_around`]. A call that the kernel refuses the right for is made up for with the next
    /// message.
    #[doc(hidden)]
    pub fn wake(&self) {
        if !self.shared.is_here() {
            return;
        }
        self.shared.woken.store(true, Ordering::Release);
        self.shared.wakes.fetch_add(1, Ordering::AcqRel);
        // Its end is the message.
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
            // The thread is the parent's: joining it would wait for ever.
            core::mem::forget(thread);
            return;
        }
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.close_all();
        // The kernel itself announces the end of a send-once right (C8.8), also while no user's message finds room.
        drop(self.wake.take());
        // The handler's own thread cannot wait for itself; it ends when it has answered. The system identifies the calling thread, since
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
