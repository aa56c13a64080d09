//! Which CPU a thread runs on.
#![allow(unsafe_code)]

/// The CPU that the calling thread ran on a moment ago; `u32::MAX` if the host does not say.
pub(crate) fn current() -> u32 {
    // SAFETY: no arguments.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).unwrap_or(u32::MAX)
}
