//! The fault handler. On its own stack it classifies the fault, asks the layers above, and applies their decision or goes on to the handler that
//! was installed before.
//!
//! | file | contents |
//! |---|---|
//! | `arrived` | the signal that arrived, classified |
//! | `trap` | the question to the layers above |
//! | `raise` | an exception that a kernel call raises |
//! | `disposition` | what the system has installed for a signal |
//! | `code` | whether a handler's code is still there |
//! | `previous` | the other handlers of the five signals |
//! | `crash` | `EXC_CRASH`, before the process ends |
//! | `posted` | the signal that a fault becomes which no handler took |
//! | `fallback` | goes on to one of them |
//! | `serve` | serves a fault that the kernel delivered |
//! | `suspended` | serves the suspension signal |
//! | `self_test` | whether the system's signal frames are Linux's |
//! | `chained` | serves a fault that a handler installed later passes on |

pub(in crate::host) mod arrived;
pub(in crate::host) mod chained;
mod code;
pub(crate) mod crash;
mod disposition;
mod fallback;
pub(in crate::host) mod posted;
pub(crate) mod previous;
mod raise;
pub(in crate::host) mod self_test;
pub(in crate::host) mod serve;
mod suspended;
pub(in crate::host) mod trap;

pub(crate) use raise::{raise, raise_and_kill};
pub(crate) use trap::{Trap, Verdict};
