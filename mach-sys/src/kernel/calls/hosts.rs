//! The calls of `mach/mach_host.h`, `mach/clock.h`, `mach/mk_timer.h` and `mach/semaphore.h`.
#![allow(unsafe_code)]

use super::declare::kernel_calls;
use crate::host::host_flavor_t;
use crate::types::*;
use core::ffi::c_int;

kernel_calls! {
    // mach/semaphore.h, and for the first two mach/task.h

    /// Creates a semaphore with a count of `value`, and returns the name of a send right for it. `policy` is `SYNC_POLICY_FIFO`, or
    /// `SYNC_POLICY_REVERSED` for one whose last waiting thread goes on first. A semaphore lives as long as a send right for it.
    fn semaphore_create(task: mach_port_name_t, semaphore: *mut semaphore_t, policy: c_int, value: c_int) -> kern_return_t;
    /// Destroys a semaphore: threads that wait for it, and later calls, get `KERN_TERMINATED`. Releases one user reference of its name.
    fn semaphore_destroy(task: mach_port_name_t, semaphore: semaphore_t) -> kern_return_t;
    /// Lets one thread go on that waits for a semaphore, or raises its count by 1.
    fn semaphore_signal(semaphore: semaphore_t) -> kern_return_t;
    /// Lets all threads go on that wait for a semaphore. Its count does not rise.
    fn semaphore_signal_all(semaphore: semaphore_t) -> kern_return_t;
    /// Lets the thread `thread` go on if it waits for a semaphore; for `MACH_PORT_NULL` the one that is the next. The count never rises.
    /// `KERN_NOT_WAITING`: the thread does not wait for this semaphore, or none does. `KERN_INVALID_ARGUMENT`: `thread` names no thread, which
    /// is looked at first. `KERN_TERMINATED`: the semaphore was destroyed.
    fn semaphore_signal_thread(semaphore: semaphore_t, thread: mach_port_name_t) -> kern_return_t;
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
    /// Reads the size of a page, in bytes. `host` is not looked at.
    fn host_page_size(host: mach_port_name_t, size: *mut vm_size_t) -> kern_return_t;
    /// Reads what the host is: `HOST_BASIC_INFO` of [`host`](crate::host). `count` is in 32-bit words: the room on entry, the length on return;
    /// too little room is `KERN_FAILURE`. The emulation has `HOST_SEMAPHORE_TRAPS` and `HOST_MACH_MSG_TRAP` beside it, which have no data.
    fn host_info(
        host: mach_port_name_t,
        flavor: host_flavor_t,
        info: *mut integer_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Reads what the host's memory and processors do: `HOST_VM_INFO` or `HOST_CPU_LOAD_INFO` of [`host`](crate::host). `count` as in
    /// [`host_info`]. A port of another kind is `KERN_INVALID_HOST`.
    fn host_statistics(
        host: mach_port_name_t,
        flavor: host_flavor_t,
        info: *mut integer_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Does what [`host_statistics`] does, and knows `HOST_VM_INFO64` beside its flavors.
    fn host_statistics64(
        host: mach_port_name_t,
        flavor: host_flavor_t,
        info: *mut integer_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Reads a clock.
    fn clock_get_time(clock: mach_port_name_t, time: *mut mach_timespec_t) -> kern_return_t;
    /// Reads an attribute of a clock (`CLOCK_*`), in nanoseconds: 10 ms on every kernel, and 0 for alarms of `CALENDAR_CLOCK`, which has none.
    /// `count` must be 1 on entry.
    fn clock_get_attributes(
        clock: mach_port_name_t,
        flavor: clock_flavor_t,
        attribute: *mut c_int,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Waits until the system clock shows `time`, or for so long (`TIME_*`). `clock` is null or `SYSTEM_CLOCK`'s name. `wakeup` gets the time
    /// that the clock shows then; it may be null. `KERN_ABORTED`: a signal handler ran, or the thread was aborted.
    fn clock_sleep(
        clock: mach_port_name_t,
        kind: sleep_type_t,
        time: mach_timespec_t,
        wakeup: *mut mach_timespec_t,
    ) -> kern_return_t;
    /// Sends a [message](crate::mig::__Request__clock_alarm_reply_t) when the system clock shows `time`, or after so long (`TIME_*`): at once if
    /// that is past, or no time. It goes to a receive right of the caller's, `port`, through a send-once right that this call makes.
    fn clock_alarm(
        clock: mach_port_name_t,
        kind: alarm_type_t,
        time: mach_timespec_t,
        port: mach_port_name_t,
    ) -> kern_return_t;

    // mach/mk_timer.h

    /// Creates a timer, which is not armed, and returns the name of its receive right; `MACH_PORT_NULL` when the kernel or the name space is
    /// full. At its time a timer sends a [message](crate::mig::mk_timer_expire_msg_t) to its port, unless its last one is still queued.
    fn mk_timer_create() -> mach_port_name_t;
    /// Destroys a timer and releases all rights under its name, as `mach_port_destroy` does. `KERN_INVALID_ARGUMENT`: the port is no timer.
    /// `KERN_INVALID_RIGHT`: the name has no receive right. `KERN_INVALID_NAME`: there is no such name.
    fn mk_timer_destroy(name: mach_port_name_t) -> kern_return_t;
    /// Arms a timer for a time in units of [`mach_absolute_time`](super::mach_absolute_time), in place of the one that it was armed for; for a time
    /// that has passed, it sends its message at once. `KERN_INVALID_ARGUMENT`: the port is no timer. `KERN_INVALID_RIGHT` and
    /// `KERN_INVALID_NAME` as for every call that takes a receive right.
    fn mk_timer_arm(name: mach_port_name_t, expire_time: u64) -> kern_return_t;
    /// Does what [`mk_timer_arm`] does; the kernel may send the message later by up to `leeway`, in the same units. `flags` is
    /// `MK_TIMER_NORMAL` or `MK_TIMER_CRITICAL`; other bits are ignored.
    fn mk_timer_arm_leeway(name: mach_port_name_t, flags: u64, expire_time: u64, leeway: u64) -> kern_return_t;
    /// Disarms a timer. `result_time` gets the time for which it was armed, 0 if it was not; it may be null. A message that is queued already
    /// stays. Errors as of [`mk_timer_arm`].
    fn mk_timer_cancel(name: mach_port_name_t, result_time: *mut u64) -> kern_return_t;
}
