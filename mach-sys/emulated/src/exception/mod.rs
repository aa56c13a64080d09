//! Exceptions: which handlers are registered, and how one is delivered (docs/xnu, A and B).
//!
//! | file | contents |
//! |---|---|
//! | `level` | whose exception actions: a thread's or a task's |
//! | `list` | what a get or swap returns (B3, B4) |
//! | `ports` | set, get and swap of exception ports (B) |
//! | `hardened` | the handler of a task that its threads adopt (B8) |
//! | `rights` | the rights that the kernel makes for one delivery (A2.10, A2.11) |
//! | `deliver` | the walk of the levels for one fault, and each delivery in it (A1–A6) |
//! | `guard` | `EXC_GUARD` for a misused port (A13) |

pub(crate) mod deliver;
pub(crate) mod guard;
pub(crate) mod hardened;
pub(crate) mod level;
pub(crate) mod list;
pub(crate) mod ports;
pub(crate) mod rights;

#[cfg(test)]
mod tests;
