//! Serves other requests while a handler waits for a reply.

use mach_sys::kern_return::KernError;
use mach_sys::rights::ReceiveRight;

/// A server whose handler forwards a request.
pub(crate) trait Meanwhile: Sync {
    /// Returns whether it can serve now: on its own thread, and with memory for another message.
    fn can_serve(&self) -> bool;

    /// Serves the requests that other handlers of this process forwarded to it and wait for, by calling its handler again, until the reply
    /// arrives on `reply` or the limit is over. Copies the reply into `to`; with `None`, no reply is awaited yet, and one that arrives is
    /// dropped.
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

/// The server that received a request; `None` for a [`Receiver`](crate::Receiver).
pub(crate) type Server<'b> = Option<&'b dyn Meanwhile>;

/// The growing pauses after which a thread that waits for a message checks other conditions: no other thread can interrupt its wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks(u32);

impl Looks {
    pub(crate) fn new() -> Self {
        Self(1)
    }

    /// Returns the time until the next check in milliseconds: 1, doubled each time, at most 32 and at most what is `left`. The flag tells
    /// whether that is all that is left.
    pub(crate) fn next_within(&mut self, left: Option<u32>) -> (u32, bool) {
        let next = self.0;
        self.0 = (2 * next).min(32);
        match left {
            Some(left) if left <= next => (left, true),
            _ => (next, false),
        }
    }
}
