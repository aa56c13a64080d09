//! The self-test at the start: a few faults of the starting thread show whether this system's signal frames are Linux's.
//!
//! Some systems deliver faults, and take no notice of what a handler writes to the frame, or return only from the frame where they put it:
//! valgrind is one. There the emulation would change what a program does in silence. It refuses to start instead.
//!
//! | file | contents |
//! |---|---|
//! | `probe` | one fault: what it is given, what the handler sees, what the thread finds afterwards |
//! | `judge` | compares these with what Linux does |
//! | `answer` | the handler's part |
//! | `run` | the starting thread's part: the situations that the entry tells apart |
//! | `tests` | the handler's part, on frames that are made up |
//! | `x86_64`, `aarch64` | the faulting code, and the registers by their names |

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod answer;
mod judge;
mod probe;
mod run;
#[cfg(test)]
#[allow(unsafe_code)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

pub(super) use answer::{Underway, underway};
pub(in crate::host) use run::run;
