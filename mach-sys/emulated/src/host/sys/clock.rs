//! A clock that costs no system call.
#![allow(unsafe_code)]

use core::time::Duration;

/// Returns the clock ticks since the system was started, as it counts the starts of threads.
pub(in crate::host) fn ticks_since_boot() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the result goes to a local variable.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    let per_second = ticks_per_second();
    let fraction = (now.tv_nsec as u64).wrapping_mul(per_second) / 1_000_000_000;
    (now.tv_sec as u64)
        .wrapping_mul(per_second)
        .wrapping_add(fraction)
}

fn ticks_per_second() -> u64 {
    // SAFETY: sysconf has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100)
}

/// Returns the time of a number of clock ticks.
pub(in crate::host) fn of_ticks(ticks: u64) -> Duration {
    let per_second = ticks_per_second().max(1);
    let fraction = (ticks % per_second) * 1_000_000_000 / per_second;
    Duration::new(ticks / per_second, fraction as u32)
}

/// Returns the nanoseconds since some moment, from a clock that does not step and stands still while the system sleeps.
pub(crate) fn nanoseconds() -> u64 {
    nanoseconds_of(libc::CLOCK_MONOTONIC)
}

/// Returns the time of the same clock, a few milliseconds late.
pub(crate) fn coarse_nanoseconds() -> u64 {
    nanoseconds_of(libc::CLOCK_MONOTONIC_COARSE)
}

/// Returns the nanoseconds since some moment, from a clock that goes on while the system sleeps.
pub(crate) fn nanoseconds_with_sleep() -> u64 {
    nanoseconds_of(libc::CLOCK_BOOTTIME)
}

fn nanoseconds_of(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the result goes to a local variable. The call is allowed in signal handlers.
    unsafe { libc::clock_gettime(clock, &mut now) };
    (now.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec as u64)
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
