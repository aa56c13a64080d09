//! The user that the process acts for.

/// The process's effective user and group.
pub(crate) fn effective() -> (u32, u32) {
    // SAFETY: neither call has preconditions, and neither can fail.
    #[allow(unsafe_code)]
    unsafe {
        (libc::geteuid(), libc::getegid())
    }
}
