//! Thread states of arm64 and of its 32-bit threads (`mach/arm/_structs.h`, `mach/arm/thread_status.h`).
//!
//! Field names are C's without the leading underscores.

mod thread;
mod trap;
mod vector;

pub use thread::*;
pub use trap::*;
pub use vector::*;
