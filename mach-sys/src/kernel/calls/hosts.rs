//! The calls of `mach/mach_host.h`, `mach/clock.h` and `mach/semaphore.h`.
#![allow(unsafe_code)]

use crate::types::*;
use core::ffi::c_int;

super::kernel_calls! {
    // mach/semaphore.h, and for the first two mach/task.h

    /// Creates a semaphore with a count of `value`, and returns the name of a send right for it. `policy` is `SYNC_POLICY_FIFO`. A semaphore
    /// lives as long as a send right for it.
    fn semaphore_create(task: mach_port_name_t, semaphore: *mut semaphore_t, policy: c_int, value: c_int) -> kern_return_t;
    /// Destroys a semaphore: threads that wait for it, and later calls, get `KERN_TERMINATED`. Releases one user reference of its name.
    fn semaphore_destroy(task: mach_port_name_t, semaphore: semaphore_t) -> kern_return_t;
    /// Lets one thread go on that waits for a semaphore, or raises its count by 1.
    fn semaphore_signal(semaphore: semaphore_t) -> kern_return_t;
    /// Lets all threads go on that wait for a semaphore. Its count does not rise.
    fn semaphore_signal_all(semaphore: semaphore_t) -> kern_return_t;
    /// Lowers a semaphore's count by 1, and waits for a signal where that is 0. `KERN_ABORTED`: a signal handler ran, or the thread was
    /// aborted.
    fn semaphore_wait(semaphore: semaphore_t) -> kern_return_t;
    /// Does what [`semaphore_wait`] does for at most so long, then returns `KERN_OPERATION_TIMED_OUT`.
    fn semaphore_timedwait(semaphore: semaphore_t, time: mach_timespec_t) -> kern_return_t;
    /// Signals a semaphore and waits for another, in one step.
    fn semaphore_wait_signal(semaphore: semaphore_t, signal: semaphore_t) -> kern_return_t;
    /// Does what [`semaphore_wait_signal`] does, and waits for at most so long.
    fn semaphore_timedwait_signal(semaphore: semaphore_t, signal: semaphore_t, time: mach_timespec_t) -> kern_return_t;

    // mach/mach_host.h, mach/clock.h

    /// Returns the name of a send right for a clock of the host, `SYSTEM_CLOCK` or `CALENDAR_CLOCK`, with one more user reference for each
    /// call.
    fn host_get_clock_service(host: mach_port_name_t, clock_id: clock_id_t, clock: *mut mach_port_name_t) -> kern_return_t;
    /// Reads a clock.
    fn clock_get_time(clock: mach_port_name_t, time: *mut mach_timespec_t) -> kern_return_t;
}
