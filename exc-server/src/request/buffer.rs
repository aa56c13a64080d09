//! Memory for messages, allocated before the first exception.

use crate::request::question::Question;
use crate::wire::scratch::{REPLY_WORDS, REQUEST_WORDS, Scratch};
use core::fmt;

/// A buffer for the largest request with its trailer, for the largest reply, and for a request to another handler: about 16 KiB.
///
/// The buffer also owns the unanswered request that was received into it. An exception that is forgotten (`core::mem::forget`) is declined
/// by the next [`receive`](crate::Receiver::receive), or when the buffer is dropped. Forgetting the buffer itself leaves the thread waiting.
pub struct MessageBuffer {
    pub(crate) request: [u32; REQUEST_WORDS],
    pub(crate) scratch: Scratch,
    pub(crate) question: Option<Question>,
}

impl MessageBuffer {
    /// Makes an empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            request: [0; REQUEST_WORDS],
            scratch: Scratch {
                reply: [0; REPLY_WORDS],
                forward: [0; REQUEST_WORDS],
            },
            question: None,
        }
    }
}

impl Default for MessageBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MessageBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBuffer")
            .field("question", &self.question)
            .finish_non_exhaustive()
    }
}
