//! The wire side: messages as words, and the one place that sends and receives them.

pub(crate) mod message;
pub(crate) mod scratch;
