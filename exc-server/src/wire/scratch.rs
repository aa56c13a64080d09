//! Memory that answering needs.

use mach_sys::message::MAX_TRAILER_SIZE;
use mach_sys::mig::{REPLY_SIZE_MAX, REQUEST_SIZE_MAX};

pub(crate) const REQUEST_WORDS: usize = (REQUEST_SIZE_MAX + MAX_TRAILER_SIZE as usize).div_ceil(4);
pub(crate) const REPLY_WORDS: usize = (REPLY_SIZE_MAX + MAX_TRAILER_SIZE as usize).div_ceil(4);

/// What an answer needs.
pub(crate) struct Scratch {
    /// The reply; its state is written in place.
    pub(crate) reply: [u32; REPLY_WORDS],
    /// The request to a displaced handler, and its reply.
    pub(crate) forward: [u32; REQUEST_WORDS],
}
