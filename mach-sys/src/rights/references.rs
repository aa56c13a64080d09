//! User references by name: the two calls that everything here rests on.
#![allow(unsafe_code)]

use super::name::Name;
use crate::kern_return::{KernError, KernReturn};
use crate::kernel;
use crate::types::{mach_port_delta_t, mach_port_name_t, mach_port_right_t, mach_port_urefs_t};

/// Returns the user references that this task holds on `name` of the kind `right` (`MACH_PORT_RIGHT_*`). A name that is there but does
/// not hold that right has 0 (C4.1).
///
/// # Errors
/// `KERN_INVALID_NAME`: no such name. `KERN_INVALID_VALUE`: no such kind of right.
pub fn user_references(
    name: mach_port_name_t,
    right: mach_port_right_t,
) -> Result<mach_port_urefs_t, KernError> {
    let mut references = 0;
    // SAFETY: the result goes to a local variable.
    let raw = unsafe {
        kernel::mach_port_get_refs(kernel::system::task_self(), name, right, &mut references)
    };
    KernReturn::check(raw).map(|()| references)
}

/// Changes the user references under `name` by `delta` (C4.2). On a count that reached 65535 small changes succeed and do
/// nothing (A7.3). What rights own is not counted anew: this is for references that no right owns.
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
) -> Result<(), KernError> {
    // SAFETY: no pointers; ownership of what is released is the caller's promise.
    let raw =
        unsafe { kernel::mach_port_mod_refs(kernel::system::task_self(), name, right, delta) };
    KernReturn::check(raw)
}

/// Makes a new name that holds `right` (C2.1).
pub(super) fn allocate(right: mach_port_right_t) -> Result<Name, KernError> {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    KernReturn::check(unsafe {
        kernel::mach_port_allocate(kernel::system::task_self(), right, &mut name)
    })?;
    Name::new(name).ok_or(KernError::NO_SPACE)
}
