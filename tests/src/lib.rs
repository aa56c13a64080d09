//! What the scenarios share.

pub mod embed;
pub mod faults;
pub mod own_process;
pub mod watchdog;

/// Compiles and runs the guide's code.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../docs/guide/porting.md")]
    struct Porting;
}
