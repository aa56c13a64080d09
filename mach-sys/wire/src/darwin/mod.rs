//! Darwin's signals and the structures that its signal handlers get, for both machines on every system.

mod mcontext;
mod registers;
mod siginfo;
mod signal;
mod system;
mod ucontext;

pub use mcontext::*;
pub use siginfo::*;
pub use signal::*;
pub use ucontext::*;
