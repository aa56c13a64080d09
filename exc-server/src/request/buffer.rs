//! Memory for messages, taken before the first exception.

use crate::question::Question;
use core::fmt;
use mach_sys::message::MAX_TRAILER_SIZE;
use mach_sys::mig::{REPLY_SIZE_MAX, REQUEST_SIZE_MAX};

const REQUEST_WORDS: usize = (REQUEST_SIZE_MAX + MAX_TRAILER_SIZE as usize).div_ceil(4);
const REPLY_WORDS: usize = (REPLY_SIZE_MAX + MAX_TRAILER_SIZE as usize).div_ceil(4);

/// Room for the largest request with its trailer, for the largest reply, and for a question to another handler: about 16 KiB.
///
/// It also owns the unanswered request that was received into it: one that is forgotten (`core::mem::forget`) is declined by
/// the next [`receive`](crate::Receiver::receive), or with the buffer.
pub struct MessageBuffer {
    pub(crate) request: [u32; REQUEST_WORDS],
    pub(crate) scratch: Scratch,
    pub(crate) question: Option<Question>,
}

/// What an answer needs.
pub(crate) struct Scratch {
    /// The reply; its state is written in place.
    pub(crate) reply: [u32; REPLY_WORDS],
    /// The question to a displaced handler, and his answer.
    pub(crate) forward: [u32; REQUEST_WORDS],
}

impl MessageBuffer {
    /// An empty buffer.
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
