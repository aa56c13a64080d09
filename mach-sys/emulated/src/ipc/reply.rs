//! The wait of the kernel for the reply to a request that it sent.
//!
//! A reply port serves one request at a time: exactly one send-once right is out while the kernel waits, and its end, by a reply
//! or by its destruction, is what is waited for. The thread that ends it hands over the reply, and releases what the kernel held meanwhile: the
//! thread that waits goes on without the kernel's lock.

use super::kmsg::Right;

/// Number of rights that the kernel holds while a request is out.
pub(crate) const HELD: usize = 3;

/// State of the request.
#[derive(Debug)]
pub(crate) struct ReplyWait {
    waiting: bool,
    /// The rights that the kernel holds until the end of the wait.
    held: [Right; HELD],
}

impl Default for ReplyWait {
    fn default() -> Self {
        Self {
            waiting: false,
            held: [Right::Null; HELD],
        }
    }
}

impl ReplyWait {
    /// Begins the wait, as a request is sent.
    pub(super) fn begin(&mut self, held: [Right; HELD]) {
        *self = Self {
            waiting: true,
            held,
        };
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Ends the wait. Returns whether a request waited.
    #[must_use]
    pub(super) fn end(&mut self) -> bool {
        core::mem::take(&mut self.waiting)
    }

    /// Takes the rights that the kernel held, when the wait is over.
    pub(super) fn take_held(&mut self) -> [Right; HELD] {
        core::mem::replace(&mut self.held, [Right::Null; HELD])
    }
}
