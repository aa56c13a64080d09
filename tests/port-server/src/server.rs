//! A server with its port and its thread.

use super::route::{self, HARDWARE};
use super::serve::{self, Fault};
use mach_sys::rights::ReceiveRight;
use mach_sys::thread_state::NativeState;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A running server. It is ended by [`stop`](Server::stop), or with the process.
#[derive(Debug)]
pub struct Server<T> {
    port: Arc<ReceiveRight>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    /// Starts a server. `answer` changes `seen` and the registers, and returns whether the exception is handled.
    ///
    /// # Panics
    /// If the kernel refuses a port.
    pub fn start(
        mut seen: T,
        mut answer: impl FnMut(&mut T, Fault, &mut NativeState) -> bool + Send + 'static,
    ) -> Self {
        let port = Arc::new(ReceiveRight::new().expect("a port"));
        let receive = Arc::clone(&port);
        let thread = std::thread::spawn(move || {
            serve::serve(&receive, |fault, state| answer(&mut seen, fault, state));
            seen
        });
        Self { port, thread }
    }

    /// Registers the server for the calling thread's hardware exceptions.
    ///
    /// # Panics
    /// If the kernel refuses it.
    pub fn route_thread(&self) {
        route::route_thread(&self.port, HARDWARE);
    }

    /// Registers the server for the task's hardware exceptions.
    ///
    /// # Panics
    /// If the kernel refuses it.
    pub fn route_task(&self) {
        route::route_task(&self.port, HARDWARE);
    }

    /// Ends the server, and returns what it saw.
    ///
    /// # Panics
    /// If the kernel refuses a message.
    pub fn stop(self) -> T {
        serve::stop(&self.port);
        self.thread.join().expect("the server ended well")
    }
}
