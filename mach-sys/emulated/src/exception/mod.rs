//! Exceptions: who asked for which, how one is delivered, what an answer means (kernel-semantics A and B).
//!
//! | room | what stands there |
//! |---|---|
//! | `action` | the slots of a thread or task: port, behavior, flavor (A0.1) |
//! | `ports` | set, get and swap of those slots (B) |
//! | `deliver` | the walk of the levels for one fault, and each delivery in it (A1–A5) |
//! | `answer` | the wait for the reply, and what it decides (A4, A6) |
//! | `peer` | whether the other side of a hand-over runs on another CPU |

pub(crate) mod action;
pub(crate) mod answer;
pub(crate) mod deliver;
pub(crate) mod peer;
pub(crate) mod ports;
