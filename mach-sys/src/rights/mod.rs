//! Port rights as owned values: the type is the right, dropping it releases it.
//!
//! | type | holds | released by |
//! |---|---|---|
//! | [`SendRight`] | one user reference of a send right | `mach_port_deallocate` |
//! | [`SendOnceRight`] | a send-once right | the message that uses it, else `mach_port_deallocate` |
//! | [`ReceiveRight`] | a port's receive right | `mach_port_mod_refs(…, RECEIVE, −1)`: the port dies, the queue is destroyed |
//! | [`PortSet`] | a port set | `mach_port_mod_refs(…, PORT_SET, −1)`: the members stay |
//! | [`Borrowed`] | nothing: a right that somebody else owns | never |
//!
//! There is no `Clone`: taking another reference is a kernel call that can fail, hence [`SendRight::try_clone`]. All references
//! that a task holds on one port are one counter under one name (C0.1), whoever took them; a type can say that *it* owns one,
//! not that nobody releases it behind its back.
#![allow(unsafe_code)]

mod borrowed;
mod census;
mod name;
mod port_set;
mod receive;
mod send;
mod send_once;

pub use borrowed::Borrowed;
pub use census::{Census, CensusError};
pub use name::{Name, Right};
pub use port_set::PortSet;
pub use receive::ReceiveRight;
pub use send::{Object, Queue, SendRight, Task, TaskIdToken, TaskRight, Thread, ThreadRight};
pub use send_once::SendOnceRight;

use crate::kern_return::KernReturn;
use crate::kernel;
use crate::types::{mach_port_delta_t, mach_port_name_t, mach_port_right_t, mach_port_urefs_t};

/// The user references that this task holds on `name` of the kind `right` (`MACH_PORT_RIGHT_*`). A name that is there but does
/// not hold that right has 0 (C4.1).
///
/// # Errors
/// `KERN_INVALID_NAME`: no such name. `KERN_INVALID_VALUE`: no such kind of right.
pub fn user_references(
    name: mach_port_name_t,
    right: mach_port_right_t,
) -> Result<mach_port_urefs_t, KernReturn> {
    let mut references = 0;
    // SAFETY: the result goes to a local variable.
    let raw = unsafe {
        kernel::mach_port_get_refs(kernel::system::task_self(), name, right, &mut references)
    };
    KernReturn::check(raw).map(|()| references)
}

/// Changes the user references under `name` by `delta` (C4.2). On a count that reached 65535 small changes succeed and do
/// nothing (A7.3).
///
/// # Safety
/// The references taken away are the caller's own: no other owner still counts on them.
///
/// # Errors
/// `KERN_INVALID_NAME`, `KERN_INVALID_RIGHT`, `KERN_INVALID_VALUE` (more than there are), `KERN_INVALID_CAPABILITY` (the last
/// reference of a pinned name, D5.3).
pub unsafe fn modify_references(
    name: mach_port_name_t,
    right: mach_port_right_t,
    delta: mach_port_delta_t,
) -> Result<(), KernReturn> {
    // SAFETY: no pointers; ownership of what is released is the caller's promise.
    let raw =
        unsafe { kernel::mach_port_mod_refs(kernel::system::task_self(), name, right, delta) };
    KernReturn::check(raw)
}
