//! Reading and changing user references by name.
#![allow(unsafe_code)]

use super::name::Name;
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::port::PortRight;
use crate::types::{mach_port_delta_t, mach_port_urefs_t};

/// Returns the number of user references of the kind `right` that this task holds under `name`; 0 for an existing name without that right
/// (C4.1).
///
/// The two arguments have different types, so that they cannot be exchanged:
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
/// `KERN_INVALID_NAME`: the name does not exist. `KERN_INVALID_VALUE`: the kind of right does not exist.
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

/// Changes the number of user references of the kind `right` under `name` by `delta` (C4.2). If the count has reached 65535, small changes
/// succeed and do nothing (A7.3). [`owned_references`](super::owned_references) does not change: use this for references that no right
/// owns.
///
/// # Safety
/// The caller owns the references that are removed.
///
/// # Errors
/// `KERN_INVALID_NAME`: the name does not exist. `KERN_INVALID_RIGHT`: the name does not hold that right. `KERN_INVALID_VALUE`: there are
/// fewer references than would be removed. `KERN_UREFS_OVERFLOW`: the count would exceed 65535. `KERN_INVALID_CAPABILITY`: the last
/// reference of a pinned name would be removed (D5.3).
#[doc(alias = "mach_port_mod_refs")]
pub unsafe fn modify_references(
    name: Name,
    right: PortRight,
    delta: mach_port_delta_t,
) -> Result<(), KernError> {
    // SAFETY: no pointers; by the caller's contract it owns the references that are released.
    let raw = unsafe {
        kernel::mach_port_mod_refs(kernel::system::task_self(), name.raw(), right.raw(), delta)
    };
    KernReturn::check(raw)
}

/// Creates a right of the kind `right` under a new name (C2.1).
pub(super) fn allocate(right: PortRight) -> Result<Name, KernError> {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    KernReturn::check(unsafe {
        kernel::mach_port_allocate(kernel::system::task_self(), right.raw(), &mut name)
    })?;
    Name::new(name).ok_or(KernError::NO_SPACE)
}
