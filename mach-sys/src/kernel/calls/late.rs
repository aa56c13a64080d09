//! Calls that came with a later macOS than the first that this crate runs on: `KERN_NOT_SUPPORTED` where they are missing.
#![allow(unsafe_code)]

use super::declare::late_kernel_calls;
use crate::info::task_flavor_t;
use crate::types::*;

late_kernel_calls! {
    // mach/task.h, mach/thread_act.h

    /// Creates an identity token of a task, as exceptions with a protected behavior carry one (A7.10). Since macOS 12.
    fn task_create_identity_token(task: mach_port_name_t, token: *mut mach_port_name_t) -> kern_return_t;
    /// Returns a port of the task that an identity token stands for (`TASK_FLAVOR_*`), with one more user reference. The emulation has the
    /// control port. Since macOS 12.
    fn task_identity_token_get_task_port(
        token: mach_port_name_t,
        flavor: task_flavor_t,
        port: *mut mach_port_name_t,
    ) -> kern_return_t;

    /// Sets the exception handler that threads of a task may adopt, and the bits of exceptions, behaviors and flavors that they may do it with
    /// (B8.1). `port` is an exception port, which `MPO_EXCEPTION_PORT` makes. A task has one such handler. Since macOS 15; the key signs registers
    /// of arm64e, and means nothing here.
    fn task_register_hardened_exception_handler(
        task: mach_port_name_t,
        signed_pc_key: u32,
        mask: exception_mask_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
        port: mach_port_name_t,
    ) -> kern_return_t;
    /// Replaces a thread's exception actions by the handler of [`task_register_hardened_exception_handler`], or by none (B8.2). `KERN_DENIED`: the
    /// task has no such handler, it is another one, or has not these bits. Since macOS 15.
    fn thread_adopt_exception_handler(
        thread: mach_port_name_t,
        port: mach_port_name_t,
        mask: exception_mask_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
    ) -> kern_return_t;
}
