//! What the scenarios share.

pub mod own_process;
