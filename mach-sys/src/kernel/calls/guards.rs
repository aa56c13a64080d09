//! Guards, hardened exception handlers, identity tokens, and the conversion of states (`mach/task.h`, `mach/thread_act.h`).
#![allow(unsafe_code)]

use crate::info::{task_exc_guard_behavior_t, task_flavor_t};
use crate::types::*;
use core::ffi::c_int;

kernel_calls! {
    /// Reads which misuse of ports and memory raises `EXC_GUARD` in a task, and which ends it: `TASK_EXC_GUARD_*` of [`info`](crate::info) (A13.6).
    /// In the emulation misuse of memory raises none.
    fn task_get_exc_guard_behavior(
        task: mach_port_name_t,
        behavior: *mut task_exc_guard_behavior_t,
    ) -> kern_return_t;
    /// Changes it (A13.6): `KERN_INVALID_VALUE` for a bit that is none of `TASK_EXC_GUARD_ALL`. A release kernel, and the emulation, refuse with
    /// `KERN_DENIED` to clear a bit `DELIVER` or `FATAL` that is set, and to set a bit `ONCE`.
    fn task_set_exc_guard_behavior(
        task: mach_port_name_t,
        behavior: task_exc_guard_behavior_t,
    ) -> kern_return_t;
    /// Converts a state between the calling thread's signed pointers and another thread's (A10.1): to the caller's with
    /// `THREAD_CONVERT_THREAD_STATE_TO_SELF` (1), from them with `…_FROM_SELF` (2). Without pointer authentication the words are copied. Counts are in
    /// 32-bit words; `out_count` is the room on entry and the length on return.
    ///
    /// `KERN_INVALID_ARGUMENT` for another direction, `KERN_INSUFFICIENT_BUFFER_SIZE` where the room is less than the state.
    fn thread_convert_thread_state(
        thread: mach_port_name_t,
        direction: c_int,
        flavor: thread_state_flavor_t,
        in_state: *const natural_t,
        in_count: mach_msg_type_number_t,
        out_state: *mut natural_t,
        out_count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
}

newer_calls! {
    /// Creates an identity token of a task, as exceptions with a protected behavior carry one (A7.10). Since macOS 12.
    fn task_create_identity_token(task: mach_port_name_t, token: *mut mach_port_name_t) -> kern_return_t;
    /// Returns a port of the task that an identity token stands for (`TASK_FLAVOR_*`), with one more user reference. The emulation has the
    /// control port. Since macOS 12.
    fn task_identity_token_get_task_port(
        token: mach_port_name_t,
        flavor: task_flavor_t,
        port: *mut mach_port_name_t,
    ) -> kern_return_t;
    /// Registers the one handler that the threads of a task may adopt by [`thread_adopt_exception_handler`], with the types, behaviors and flavors that
    /// they may ask for (B8.1). `port` is null, dead or of `MPO_EXCEPTION_PORT`; any other is `KERN_INVALID_ARGUMENT`, and so is a second registration.
    /// Otherwise the errors are those of [`task_set_exception_ports`](super::task_set_exception_ports).
    ///
    /// Since macOS 15. `MIG_BAD_ID` where the system does not have it.
    fn task_register_hardened_exception_handler(
        task: mach_port_name_t,
        signed_pc_key: u32,
        exceptions_allowed: exception_mask_t,
        behaviors_allowed: exception_behavior_t,
        flavors_allowed: thread_state_flavor_t,
        port: mach_port_name_t,
    ) -> kern_return_t;
    /// Makes the task's registered handler that of a thread (B8.2): `KERN_DENIED` for another port than null or the registered one, and for bits that
    /// were not registered. Of a reply to it, arm64 takes the program counter and the flags only (A4.12).
    ///
    /// Nothing else is checked: with a live port and a behavior of 0 the next exception panics a Mac's kernel.
    ///
    /// Since macOS 15. `MIG_BAD_ID` where the system does not have it.
    fn thread_adopt_exception_handler(
        thread: mach_port_name_t,
        port: mach_port_name_t,
        mask: exception_mask_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
    ) -> kern_return_t;
}
