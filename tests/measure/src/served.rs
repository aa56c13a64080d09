//! The product: an `exc_server` server that skips the faulting instruction.
#![allow(unsafe_code)]

use crate::cpus;
use crate::faults::{self, MASK};
use exc_server::{
    Answered, Delivery, Exception, Handler, Route, RouteError, Routing, Server, ServerStartError,
    Target,
};
use mach_sys::rights::ThreadRight;
use mach_sys::thread_state::NativeState;

/// Skips the instruction.
#[derive(Clone, Copy, Debug)]
pub struct Skip {
    /// Runs with the server's signal mask, which saves system calls; or, if `false`, with that of the server's starter, as a handler
    /// must that starts threads or processes.
    pub starts_nothing: bool,
}

impl Handler for Skip {
    fn handle(&self, mut exception: Exception<'_>) -> Answered {
        let Ok(mut state) = exception.registers() else {
            return exception.decline();
        };
        faults::skip(&mut state);
        // SAFETY: the next instruction expects nothing of the one that is skipped.
        match unsafe { exception.set_state(&state) } {
            Ok(()) => exception.resume(),
            Err(_) => exception.decline(),
        }
    }

    fn starts_nothing(&self) -> bool {
        self.starts_nothing
    }
}

/// Starts such a server, on the servers' CPU.
///
/// # Errors
/// The server's.
pub fn start(starts_nothing: bool) -> Result<Server, ServerStartError> {
    cpus::start_server(|| Server::start_handler(Skip { starts_nothing }))
}

/// Routes the timed faults of a thread to a server, until the route is dropped.
///
/// # Errors
/// The server's.
pub fn route(server: &Server, thread: &ThreadRight) -> Result<Route, RouteError> {
    let routing = Routing::new(MASK, Delivery::state::<NativeState>());
    server.route(Target::Thread(thread), &routing)
}
