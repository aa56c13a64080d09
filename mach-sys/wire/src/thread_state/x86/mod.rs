//! Thread states of x86 (`mach/i386/_structs.h`, `mach/i386/thread_status.h`).
//!
//! Field names are C's without the leading underscores.

mod float;
mod thread;
mod trap;
mod unified;

pub use float::*;
pub use thread::*;
pub use trap::*;
pub use unified::*;
