//! The monotonic clock for deadlines, without the standard library.
#![allow(unsafe_code)]

/// Returns the time of the monotonic clock in nanoseconds. Async-signal-safe; allocates nothing.
pub(crate) fn now() -> u64 {
    // SAFETY: zeroes are a valid time.
    let mut time: libc::timespec = unsafe { core::mem::zeroed() };
    // SAFETY: the result goes to a local variable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// Yields the processor to another thread.
pub(crate) fn yield_now() {
    // SAFETY: no preconditions.
    unsafe { libc::sched_yield() };
}
