//! Stopping threads from outside.
//!
//! | file | contents |
//! |---|---|
//! | `signal` | the signal that reaches a thread that runs code of the program |
//! | `park` | the thread's own side: where it waits, and where it ends |
//! | `reach` | the other side: asks a thread to stop, and waits until it has |
//! | `tracer` | reaches a thread that no signal reaches |
//! | `meet` | makes threads known that have made no kernel call |
//! | `own` | a thread's own registers, and its own suspension |
//! | `patience` | the limits of these waits |

pub(crate) mod meet;
pub(crate) mod own;
pub(in crate::host) mod park;
pub(crate) mod patience;
pub(crate) mod reach;
pub(in crate::host) mod signal;
mod tracer;
