//! Sends and receives messages, as buffers of words.

pub(crate) mod message;
pub(crate) mod scratch;
