//! The kernel calls, each from the C arguments of the seam to the engine and back.
//!
//! User memory is read before the kernel's lock is taken, and written when it is free again.
#![allow(unsafe_code)]

mod clock;
mod error_text;
mod exceptions;
mod guards;
mod hosts;
mod mappings;
mod memory;
mod messages;
mod mig;
mod own_memory;
mod pieces;
mod place;
mod policies;
mod ports;
mod raw_threads;
mod receive_rights;
mod regions;
mod registers;
mod semaphores;
mod server;
mod special_ports;
mod stopped;
mod structures;
mod target;
mod tasks;
mod threads;
mod timers;
mod unreachable;
mod vm_names;

pub use clock::*;
pub use error_text::mach_error_string;
pub use exceptions::*;
pub use guards::{take_guard, task_get_exc_guard_behavior, task_set_exc_guard_behavior};
pub use hosts::*;
pub use mappings::*;
pub use memory::*;
pub use messages::*;
pub use mig::mig_get_reply_port;
pub use policies::*;
pub use ports::*;
pub use raw_threads::*;
pub use receive_rights::*;
pub use regions::*;
pub use registers::*;
pub use semaphores::*;
pub use server::*;
pub use special_ports::*;
pub use tasks::*;
pub use threads::*;
pub use timers::*;
pub use unreachable::{UnreachableReason, UnreachableThread, take_unreachable};
pub use vm_names::*;
