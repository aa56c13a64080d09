//! The wait of the kernel for the reply to a request that it sent.
//!
//! A reply port serves one request at a time: exactly one send-once right is out while the kernel waits, and its end, by a reply
//! or by its destruction, is what is waited for.

use super::pool::{Buffer, Pool, Queue};

/// State of the request.
#[derive(Debug, Default)]
pub(crate) struct ReplyWait {
    progress: Progress,
    /// The reply, at most one.
    message: Queue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// No request is out.
    #[default]
    Idle,
    Waiting,
    Replied,
    /// The send-once right was destroyed unused (A6.8).
    Died,
}

impl ReplyWait {
    /// Begins the wait, as a request is sent.
    pub(crate) fn begin(&mut self) {
        self.progress = Progress::Waiting;
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.progress == Progress::Waiting
    }

    /// Stores a reply. Only the first one counts (A6.7): another comes back.
    pub(super) fn arrive<'p>(&mut self, message: Buffer<'p>) -> Result<(), Buffer<'p>> {
        if !self.is_waiting() {
            return Err(message);
        }
        self.progress = Progress::Replied;
        self.message.push(message);
        Ok(())
    }

    /// Notes that the right was destroyed unused. Returns whether a request waited for it.
    pub(super) fn die(&mut self) -> bool {
        let waiting = self.is_waiting();
        if waiting {
            self.progress = Progress::Died;
        }
        waiting
    }

    /// Ends the wait. `None` if the right was destroyed unused.
    pub(super) fn finish<'p>(&mut self, pool: &'p Pool) -> Option<Buffer<'p>> {
        self.progress = Progress::Idle;
        self.message.pop(pool)
    }

    pub(super) fn take_messages(&mut self) -> Queue {
        self.progress = Progress::Idle;
        core::mem::take(&mut self.message)
    }
}
