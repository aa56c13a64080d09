//! States of arm64 (`mach/arm/_structs.h`, `mach/arm/thread_status.h`), also of its 32-bit threads.
//!
//! Field names are C's without the leading underscores.

mod thread;
mod trap;
mod vector;

pub use thread::*;
pub use trap::*;
pub use vector::*;
