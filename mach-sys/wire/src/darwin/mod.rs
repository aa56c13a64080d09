//! Darwin's signals and the structures that its signal handlers get, for both machines on every host.

mod host;
mod mcontext;
mod registers;
mod siginfo;
mod signal;
mod ucontext;

pub use mcontext::*;
pub use siginfo::*;
pub use signal::*;
pub use ucontext::*;
