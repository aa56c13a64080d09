//! The calls of `mach/task.h` and `mach/thread_act.h`.
#![allow(unsafe_code)]

use super::declare::{kernel_calls, newer_calls};
use crate::info::{task_flavor_t, thread_flavor_t};
use crate::policy::thread_policy_flavor_t;
use crate::types::*;
use core::ffi::c_int;

kernel_calls! {
    // mach/mach_traps.h

    /// Reads the identifier of a task's process. An error is `KERN_FAILURE`, and stores -1. The emulation knows its own task only.
    fn pid_for_task(task: mach_port_name_t, pid: *mut c_int) -> kern_return_t;

    /// Stores the name of the control port of a process's task, with one more user reference. `task` is any task's. An error is `KERN_FAILURE`,
    /// and stores null. The emulation knows its own process only; Apple's systems ask for permission for any other.
    fn task_for_pid(task: mach_port_name_t, pid: c_int, found: *mut mach_port_name_t) -> kern_return_t;

    // mach/thread_act.h, mach/task.h

    /// Reads one of a task's ports (`TASK_*_PORT`), with one more user reference. The emulation has the control port and the host port; the
    /// bootstrap port and others that nothing sets are null.
    fn task_get_special_port(task: mach_port_name_t, which: c_int, port: *mut mach_port_name_t) -> kern_return_t;
    /// Reads one of a thread's ports (`THREAD_*_PORT`), with one more user reference. The emulation has the control port.
    fn thread_get_special_port(thread: mach_port_name_t, which: c_int, port: *mut mach_port_name_t) -> kern_return_t;

    /// Replaces a thread's exception actions (B2, B3.1).
    fn thread_set_exception_ports(
        thread: mach_port_name_t,
        mask: exception_mask_t,
        port: mach_port_name_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
    ) -> kern_return_t;
    /// Reads a thread's exception actions; each array needs room for `EXC_TYPES_COUNT` (14) entries (B3.4, B4).
    fn thread_get_exception_ports(
        thread: mach_port_name_t,
        mask: exception_mask_t,
        masks: *mut exception_mask_t,
        count: *mut mach_msg_type_number_t,
        handlers: *mut mach_port_name_t,
        behaviors: *mut exception_behavior_t,
        flavors: *mut thread_state_flavor_t,
    ) -> kern_return_t;
    /// Replaces a thread's exception actions and reads the previous ones, into arrays as in [`thread_get_exception_ports`] (B3.2).
    fn thread_swap_exception_ports(
        thread: mach_port_name_t,
        mask: exception_mask_t,
        port: mach_port_name_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
        masks: *mut exception_mask_t,
        count: *mut mach_msg_type_number_t,
        handlers: *mut mach_port_name_t,
        behaviors: *mut exception_behavior_t,
        flavors: *mut thread_state_flavor_t,
    ) -> kern_return_t;
    /// Replaces a task's exception actions (B2, B3.1).
    fn task_set_exception_ports(
        task: mach_port_name_t,
        mask: exception_mask_t,
        port: mach_port_name_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
    ) -> kern_return_t;
    /// Reads a task's exception actions into arrays as in [`thread_get_exception_ports`] (B4).
    fn task_get_exception_ports(
        task: mach_port_name_t,
        mask: exception_mask_t,
        masks: *mut exception_mask_t,
        count: *mut mach_msg_type_number_t,
        handlers: *mut mach_port_name_t,
        behaviors: *mut exception_behavior_t,
        flavors: *mut thread_state_flavor_t,
    ) -> kern_return_t;
    /// Replaces a task's exception actions and reads the previous ones, into arrays as in [`thread_get_exception_ports`] (B3.2).
    fn task_swap_exception_ports(
        task: mach_port_name_t,
        mask: exception_mask_t,
        port: mach_port_name_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
        masks: *mut exception_mask_t,
        count: *mut mach_msg_type_number_t,
        handlers: *mut mach_port_name_t,
        behaviors: *mut exception_behavior_t,
        flavors: *mut thread_state_flavor_t,
    ) -> kern_return_t;
    /// Replaces the host's exception actions. Needs the privileged host port, which only root has (B7.1); the emulation has none.
    fn host_set_exception_ports(
        host: mach_port_name_t,
        mask: exception_mask_t,
        port: mach_port_name_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
    ) -> kern_return_t;
    /// Reads the host's exception actions into arrays as in [`thread_get_exception_ports`], with the privileged host port (B7.1).
    fn host_get_exception_ports(
        host: mach_port_name_t,
        mask: exception_mask_t,
        masks: *mut exception_mask_t,
        count: *mut mach_msg_type_number_t,
        handlers: *mut mach_port_name_t,
        behaviors: *mut exception_behavior_t,
        flavors: *mut thread_state_flavor_t,
    ) -> kern_return_t;
    /// Replaces the host's exception actions and reads the previous ones, with the privileged host port (B7.1).
    fn host_swap_exception_ports(
        host: mach_port_name_t,
        mask: exception_mask_t,
        port: mach_port_name_t,
        behavior: exception_behavior_t,
        flavor: thread_state_flavor_t,
        masks: *mut exception_mask_t,
        count: *mut mach_msg_type_number_t,
        handlers: *mut mach_port_name_t,
        behaviors: *mut exception_behavior_t,
        flavors: *mut thread_state_flavor_t,
    ) -> kern_return_t;
    /// Reads a thread's state. `count` is in 32-bit words: the room on entry, the length on return (A9). Of a thread that waits inside an
    /// exception or is suspended it is the state with which the thread goes on; a running thread is stopped meanwhile.
    fn thread_get_state(
        thread: mach_port_name_t,
        flavor: thread_state_flavor_t,
        state: *mut natural_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Sets a thread's state, of `count` 32-bit words (A9): the thread goes on with it. Threads as in [`thread_get_state`].
    fn thread_set_state(
        thread: mach_port_name_t,
        flavor: thread_state_flavor_t,
        state: *const natural_t,
        count: mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Suspends a thread once more: it runs no user code until [`thread_resume`] was called as often (A8.5). A thread that waits for the
    /// reply to its exception still takes it, and stops before user code. The calling thread stops before the call returns.
    ///
    /// The emulation returns `KERN_OPERATION_TIMED_OUT` for a thread that it cannot stop, and suspends nothing;
    /// `mach_emulated::take_unreachable` says why.
    fn thread_suspend(thread: mach_port_name_t) -> kern_return_t;
    /// Undoes one [`thread_suspend`]: the last one lets the thread run (A8.5). `KERN_FAILURE` for a thread that is not suspended.
    fn thread_resume(thread: mach_port_name_t) -> kern_return_t;
    /// Interrupts a thread's wait in `mach_msg`, or for the reply to its exception, which then goes to the next level (A8.2).
    fn thread_abort(thread: mach_port_name_t) -> kern_return_t;
    /// Interrupts a thread's wait in `mach_msg`, and leaves that for the reply to its exception alone (A8.3).
    fn thread_abort_safely(thread: mach_port_name_t) -> kern_return_t;
    /// Ends a thread where it is, without destructors (A8.4). Of a thread that `pthread_create` started: `KERN_DENIED` since macOS 12 (D3.1).
    fn thread_terminate(thread: mach_port_name_t) -> kern_return_t;
    /// Reads what a thread is and uses: `THREAD_BASIC_INFO`, `THREAD_IDENTIFIER_INFO` or `THREAD_EXTENDED_INFO` of [`info`](crate::info).
    /// `count` is in 32-bit words: the room on entry, the length on return.
    fn thread_info(
        thread: mach_port_name_t,
        flavor: thread_flavor_t,
        info: *mut integer_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Sets a scheduling policy of [`policy`](crate::policy) from `count` words. The emulation does what the system lets it do, which for a plain
    /// user is a lower `THREAD_PRECEDENCE_POLICY` (a nice value); for the rest it is `KERN_NOT_SUPPORTED`.
    fn thread_policy_set(
        thread: mach_port_name_t,
        flavor: thread_policy_flavor_t,
        policy: *const integer_t,
        count: mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Reads a scheduling policy of [`policy`](crate::policy), or its default if `get_default` is not 0 on entry; it is 1 on return if the thread
    /// has no such policy, and the default was read. `count` is the room in 32-bit words, and stays.
    fn thread_policy_get(
        thread: mach_port_name_t,
        flavor: thread_policy_flavor_t,
        policy: *mut integer_t,
        count: *mut mach_msg_type_number_t,
        get_default: *mut boolean_t,
    ) -> kern_return_t;
    /// Gives up the processor (`SWITCH_OPTION_*` of [`policy`](crate::policy)), to `thread` if that runs soon anyway, or waits for `time`
    /// milliseconds. Ends with `KERN_SUCCESS` also when the wait was aborted.
    fn thread_switch(thread: mach_port_name_t, option: c_int, time: mach_msg_timeout_t) -> kern_return_t;
    /// Lists the threads of a task, with one user reference each, in an array that the caller releases with [`mach_vm_deallocate`](super::mach_vm_deallocate) (D1.4).
    /// The emulation first makes the threads known that have made no kernel call yet.
    fn task_threads(
        task: mach_port_name_t,
        threads: *mut *mut mach_port_name_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Makes a thread of a task that is no pthread, suspended once and with registers of 0 (D1.5). Its name's one user reference is the caller's.
    /// [`thread_set_state`] gives it a program counter and a stack, and [`thread_resume`] starts it. It must not use the C library: on a
    /// Mac it has no thread-local memory. It ends by [`thread_terminate`].
    fn thread_create(task: mach_port_name_t, thread: *mut mach_port_name_t) -> kern_return_t;
    /// Does what [`thread_create`] does, sets registers as [`thread_set_state`] does, and starts the thread. Errors are those of both; then there
    /// is no thread.
    fn thread_create_running(
        task: mach_port_name_t,
        flavor: thread_state_flavor_t,
        state: *const natural_t,
        count: mach_msg_type_number_t,
        thread: *mut mach_port_name_t,
    ) -> kern_return_t;
    /// Stops all threads of a task until [`task_resume`] has been called as often (A8.6). For the own task the calling thread stops, too, and the
    /// call returns when another process has resumed it: on a Mac by `task_resume`, on the emulation, which stops by `SIGSTOP`, by `SIGCONT`.
    fn task_suspend(task: mach_port_name_t) -> kern_return_t;
    /// Undoes one [`task_suspend`]. `KERN_FAILURE`: the task is not suspended, as the own one never is when its threads run.
    fn task_resume(task: mach_port_name_t) -> kern_return_t;
    /// Reads what a task uses: `TASK_*` and `MACH_TASK_*` of [`info`](crate::info). `count` as in [`thread_info`].
    fn task_info(
        task: mach_port_name_t,
        flavor: task_flavor_t,
        info: *mut integer_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
}

newer_calls! {
    // mach/task.h

    /// Creates an identity token of a task, as exceptions with a protected behavior carry one (A7.10). Since macOS 12.
    fn task_create_identity_token(task: mach_port_name_t, token: *mut mach_port_name_t) -> kern_return_t;
    /// Returns a port of the task that an identity token stands for (`TASK_FLAVOR_*`), with one more user reference. The emulation has the
    /// control port. Since macOS 12.
    fn task_identity_token_get_task_port(
        token: mach_port_name_t,
        flavor: task_flavor_t,
        port: *mut mach_port_name_t,
    ) -> kern_return_t;
}
