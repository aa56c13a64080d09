//! Memory for answering a request.

use mach_sys::message::MAX_TRAILER_SIZE;
use mach_sys::mig::{REPLY_SIZE_MAX, REQUEST_SIZE_MAX};

/// The size of the largest request with its trailer, in words of 4 bytes.
pub(crate) const REQUEST_WORDS: usize = (REQUEST_SIZE_MAX + MAX_TRAILER_SIZE as usize).div_ceil(4);
/// The size of the largest reply with its trailer, in words of 4 bytes.
pub(crate) const REPLY_WORDS: usize = (REPLY_SIZE_MAX + MAX_TRAILER_SIZE as usize).div_ceil(4);

/// The buffers that an answer needs.
pub(crate) struct Scratch {
    /// The reply, whose state is written in place.
    pub(crate) reply: [u32; REPLY_WORDS],
    /// The request to a displaced handler, and its reply.
    pub(crate) forward: [u32; REQUEST_WORDS],
}
