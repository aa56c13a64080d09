//! A request from its receipt to its one answer.

pub(crate) mod asking;
pub(crate) mod buffer;
pub(crate) mod content;
pub(crate) mod defer;
pub(crate) mod deferrals;
pub(crate) mod deferred;
pub(crate) mod exception;
pub(crate) mod forward;
pub(crate) mod meanwhile;
pub(crate) mod print;
pub(crate) mod question;
pub(crate) mod receive;
pub(crate) mod receiver;
pub(crate) mod slot;
