//! The server, its thread and its routes.

pub(crate) mod calls;
pub(crate) mod elsewhere;
pub(crate) mod handler;
pub(crate) mod lent;
pub(crate) mod route;
pub(crate) mod routing;
pub(crate) mod serve;
#[allow(clippy::module_inception)] // the room has its main file's name
pub(crate) mod server;
pub(crate) mod shared;
