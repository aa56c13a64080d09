//! Registers exception ports, and puts the previous handlers back.

pub(crate) mod calls;
pub(crate) mod install;
pub(crate) mod installations;
pub(crate) mod lock;
pub(crate) mod lower;
pub(crate) mod previous;
pub(crate) mod target;
