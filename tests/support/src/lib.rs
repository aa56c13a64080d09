//! Helpers for the tests of several packages. This package depends on no other of the workspace, so that each of them can use it.

pub mod counting;
pub mod emulator;
pub mod flag;
pub mod instructions;
pub mod isolated;
pub mod random;
#[cfg(target_os = "linux")]
pub mod sandbox;
pub mod wait;
pub mod watchdog;
