//! The loop of the server's thread: receives exceptions and calls the handler.

use crate::clock;
use crate::error::ReceiveError;
use crate::local::Local;
use crate::request::buffer::MessageBuffer;
use crate::request::receive::receive;
use crate::server::calls::Calls;
use crate::server::handler::Handler;
use crate::server::shared::Shared;
use mach_sys::kern_return::KernError;
use mach_sys::kernel::system::{self, OuterMask};
use mach_sys::rights::ReplyPort;
use std::sync::atomic::Ordering;

/// The data that the server's thread needs.
pub(crate) struct Service<'a, H> {
    pub(crate) calls: Calls<'a, H>,
    /// The signal mask that the handler runs with.
    pub(crate) outer: OuterMask,
}

impl<H: Handler> Service<'_, H> {
    /// Serves until the server is stopped or its port set destroyed. In either case, and after a panic, no thread is left waiting. Calls
    /// `ready` once the thread has all port names that it makes by itself.
    pub(crate) fn run(&self, ready: impl FnOnce()) {
        let shared = self.calls.shared;
        shared
            .thread_id
            .store(system::thread_id(), Ordering::Release);
        let _closing = CloseAll(shared);
        let port = system::own_thread_port();
        shared.thread_port.store(port, Ordering::Release);
        // Makes the reply port that the handler's first call of a MIG routine would make (G6.1).
        let _reply_port = ReplyPort::of_this_thread();
        ready();
        let source = self.calls.source();
        // A constant is copied into place, also without optimization.
        let mut buffer = const { MessageBuffer::new() };
        let mut due = None;
        while !shared.stopping.load(Ordering::Acquire) {
            let limit = self.look_around(&mut due);
            match receive(source, &mut buffer, limit) {
                Ok(received) => self.calls.answer(received, Some(&self.outer)),
                Err(
                    ReceiveError::Malformed { .. }
                    | ReceiveError::TooLarge
                    | ReceiveError::NoRoom(_),
                ) => shared.note_malformed(),
                Err(ReceiveError::Kernel(KernError::RCV_INTERRUPTED) | ReceiveError::TimedOut) => {}
                // Without its port set there is nothing to serve. A child that was forked in a handler returns here too.
                Err(ReceiveError::PortGone | ReceiveError::Kernel(_)) => return,
            }
        }
    }

    /// Calls the handler's `look_around` if the server was woken, or the time `due` has come. Returns the milliseconds until the next call;
    /// `None` if none is due.
    fn look_around(&self, due: &mut Option<u64>) -> Option<u32> {
        let woken = self.calls.shared.woken.swap(false, Ordering::AcqRel);
        if woken || due.is_some_and(|due| clock::now() >= due) {
            let pause = self.calls.handler.look_around();
            *due = pause.map(|pause| clock::now().saturating_add(u64::from(pause) * 1_000_000));
        }
        due.map(|due| {
            let left = due.saturating_sub(clock::now()).div_ceil(1_000_000);
            u32::try_from(left).unwrap_or(u32::MAX)
        })
    }
}

/// Closes all routes when dropped: a thread whose exceptions are routed to a server without a thread would wait forever.
struct CloseAll<'a>(&'a Local<Shared>);

impl Drop for CloseAll<'_> {
    fn drop(&mut self) {
        self.0.close_all();
    }
}
