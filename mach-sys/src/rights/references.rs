//! User references by name: the two calls that everything here rests on.
#![allow(unsafe_code)]

use super::name::Name;
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::port::PortRight;
use crate::types::{mach_port_delta_t, mach_port_urefs_t};

/// Returns the user references that this task holds on `name` of the kind `right`. A name that is there but does not hold that right
/// has 0 (C4.1).
///
/// The two arguments are of different types, so that they cannot be exchanged:
///
/// ```
/// use mach_sys::port::PortRight;
/// use mach_sys::rights::{ReceiveRight, Right, user_references};
///
/// let port = ReceiveRight::new()?;
/// let send = port.make_send()?;
/// assert_eq!(user_references(port.name(), PortRight::SEND)?, 1);
/// # drop(send);
/// # Ok::<(), mach_sys::kern_return::KernError>(())
/// ```
///
/// ```compile_fail,E0308
/// # use mach_sys::port::PortRight;
/// # use mach_sys::rights::{ReceiveRight, Right, user_references};
/// # let port = ReceiveRight::new().unwrap();
/// user_references(PortRight::SEND, port.name());
/// ```
///
/// # Errors
/// `KERN_INVALID_NAME`: no such name. `KERN_INVALID_VALUE`: no such kind of right.
#[doc(alias = "mach_port_get_refs")]
pub fn user_references(name: Name, right: PortRight) -> Result<mach_port_urefs_t, KernError> {
    let mut references = 0;
    // SAFETY: the result goes to a local variable.
    let raw = unsafe {
        kernel::mach_port_get_refs(
            kernel::system::task_self(),
            name.raw(),
            right.raw(),
            &mut references,
        )
    };
    KernReturn::check(raw).map(|()| references)
}

/// Changes the user references under `name` of the kind `right` by `delta` (C4.2). On a count that reached 65535 small changes succeed
/// and do nothing (A7.3). [`owned_references`](super::owned_references) does not change: this is for references that no right owns.
///
/// # Safety
/// The references taken away are the caller's own: no other owner still counts on them.
///
/// # Errors
/// `KERN_INVALID_NAME`: no such name. `KERN_INVALID_RIGHT`: the name does not hold that right. `KERN_INVALID_VALUE`: fewer references
/// are there than would be taken away. `KERN_UREFS_OVERFLOW`: the count would exceed 65535. `KERN_INVALID_CAPABILITY`: the last
/// reference of a pinned name would go (D5.3).
#[doc(alias = "mach_port_mod_refs")]
pub unsafe fn modify_references(
    name: Name,
    right: PortRight,
    delta: mach_port_delta_t,
) -> Result<(), KernError> {
    // SAFETY: no pointers; ownership of what is released is the caller's promise.
    let raw = unsafe {
        kernel::mach_port_mod_refs(kernel::system::task_self(), name.raw(), right.raw(), delta)
    };
    KernReturn::check(raw)
}

/// Makes a new name that holds `right` (C2.1).
pub(super) fn allocate(right: PortRight) -> Result<Name, KernError> {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    KernReturn::check(unsafe {
        kernel::mach_port_allocate(kernel::system::task_self(), right.raw(), &mut name)
    })?;
    Name::new(name).ok_or(KernError::NO_SPACE)
}
