//! Serving other requests while a handler waits for a reply.

use mach_sys::kern_return::KernError;
use mach_sys::rights::ReceiveRight;

/// A server whose handler forwards a request.
pub(crate) trait Meanwhile: Sync {
    /// Returns whether it can serve now: on its own thread, and while it has memory for another message.
    fn can_serve(&self) -> bool;

    /// Serves what other handlers of this process forward to it and wait for, until the reply has come, which it copies into `to`, or the limit is over, which is
    /// `RCV_TIMED_OUT`. The handler is entered again. Another error: it cannot serve.
    fn serve_until(
        &self,
        reply: &ReceiveRight,
        to: &mut [u32],
        milliseconds: Option<u32>,
    ) -> Result<(), KernError>;
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

    /// The time until the next look, in milliseconds.
    pub(crate) fn next(&mut self) -> u32 {
        let next = self.0;
        self.0 = (2 * next).min(32);
        next
    }
}
