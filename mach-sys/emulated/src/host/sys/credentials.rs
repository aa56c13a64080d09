//! The process's credentials.
#![allow(unsafe_code)]

/// Returns the process's effective user and group.
pub(crate) fn user_and_group() -> (u32, u32) {
    // SAFETY: neither call has preconditions, and neither can fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}
