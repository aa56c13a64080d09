//! What the scenarios share.

pub mod embed;
pub mod faults;
pub mod own_process;
pub mod watchdog;
