//! Serving other requests while a handler waits for a reply.

use mach_sys::kern_return::KernError;
use mach_sys::rights::ReceiveRight;

/// A server whose handler forwards a request.
pub(crate) trait Meanwhile: Sync {
    /// Returns whether it can serve now: on its own thread, and while it has memory for another message.
    fn can_serve(&self) -> bool;

    /// Serves what other handlers of this process forward to it and wait for, until the reply has come, or the limit is over. The
    /// handler is entered again. The reply is copied into `to`; where none is awaited yet, one that comes all the same is dropped.
    fn serve_until(
        &self,
        reply: &ReceiveRight,
        to: Option<&mut [u32]>,
        milliseconds: Option<u32>,
    ) -> Result<(), NotServed>;
}

/// Serving ended without the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotServed {
    /// The limit is over.
    TimedOut,
    /// It cannot serve now: for want of a name, or of memory for another message.
    Unable,
    /// The reply has come and could not be received.
    Lost(KernError),
}

/// The server that a request came to, if any.
pub(crate) type Server<'b> = Option<&'b dyn Meanwhile>;

/// The pauses between looks of a thread that waits for a message, which no other thread can interrupt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks(u32);

impl Looks {
    pub(crate) fn new() -> Self {
        Self(1)
    }

    /// The time until the next look, in milliseconds: at most as many as are `left`, and whether it is all of them.
    pub(crate) fn next_within(&mut self, left: Option<u32>) -> (u32, bool) {
        let next = self.0;
        self.0 = (2 * next).min(32);
        match left {
            Some(left) if left <= next => (left, true),
            _ => (next, false),
        }
    }
}
