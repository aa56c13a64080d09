//! The codes of an exception: their numbers, names and meaning.

mod crash;
mod guard;
mod meaning;
mod name;
mod numbers;
mod resource;

pub use crash::CrashCode;
pub use guard::*;
pub use meaning::Meaning;
pub use name::code_name;
pub use numbers::*;
pub use resource::*;
