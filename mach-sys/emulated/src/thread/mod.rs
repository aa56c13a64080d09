//! Threads and tasks as the emulated kernel knows them: control ports, exception actions, registers.
//!
//! | file | contents |
//! |---|---|
//! | `action` | a thread's or task's registration for each exception type (A0.1) |
//! | `object` | a thread, a task, and the tables of them |
//! | `kernel` | a whole kernel: those tables and `ipc`'s state under one lock |
//! | `host_port`, `clock_port` | the host port, and those of its clocks |
//! | `task`, `life` | the beginning of a task, the beginning and end of a thread (D1, D2, D4) |
//! | `exc_guard` | a task's behavior at guards (A13.6) |
//! | `run` | suspension, abort and termination (A8) |
//! | `state` | registers by flavor (A4) |

pub(crate) mod action;
pub(crate) mod clock_port;
pub(crate) mod exc_guard;
pub(crate) mod host_port;
pub(crate) mod kernel;
pub(crate) mod life;
pub(crate) mod object;
pub(crate) mod run;
pub(crate) mod state;
pub(crate) mod task;

#[cfg(test)]
mod tests;
