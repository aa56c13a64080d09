//! A clock that costs no system call.
#![allow(unsafe_code)]

/// Returns the clock ticks since the system was started, as it counts the starts of threads.
pub(in crate::host) fn ticks_since_boot() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the result goes to a local variable.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    // SAFETY: sysconf has no preconditions.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100);
    let fraction = (now.tv_nsec as u64).wrapping_mul(per_second) / 1_000_000_000;
    (now.tv_sec as u64)
        .wrapping_mul(per_second)
        .wrapping_add(fraction)
}

/// Returns the milliseconds since some moment, from a clock that does not step and is a few milliseconds late.
pub(in crate::host) fn coarse_milliseconds() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the result goes to a local variable. The call is allowed in signal handlers.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) };
    (now.tv_sec as u64)
        .wrapping_mul(1000)
        .wrapping_add(now.tv_nsec as u64 / 1_000_000)
}
