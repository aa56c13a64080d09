//! What the scenarios share.

pub mod embed;
pub mod own_process;
