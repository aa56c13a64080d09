//! Exceptions: types, masks, behaviors and codes (`mach/exception_types.h` and the machines' `exception.h`).

mod behavior;
mod codes;
mod kind;
mod mask;

pub use behavior::*;
pub use codes::*;
pub use kind::*;
pub use mask::*;
