//! What the scenarios share.

pub mod c_program;
pub mod embed;
pub mod faults;
pub mod own_process;
pub mod watchdog;
