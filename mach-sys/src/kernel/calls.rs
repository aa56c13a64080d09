//! The declarations of the kernel calls.
#![allow(unsafe_code)]

use crate::info::{task_exc_guard_behavior_t, task_flavor_t, thread_flavor_t};
use crate::message::mach_msg_header_t;
use crate::port::mach_port_options_t;
use crate::types::*;
use crate::vm::*;
use core::ffi::{c_char, c_int, c_void};

macro_rules! kernel_calls {
    ($($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)*) => {
        #[cfg(target_vendor = "apple")]
        unsafe extern "C" {
            $($(#[$meta])* pub fn $name($($argument: $type),*) -> $result;)*
        }

        $(
            $(#[$meta])*
            ///
            /// # Safety
            /// The contract of [`kernel`](crate::kernel): the pointers are valid for all that the C function reads or writes through them.
            #[cfg(not(target_vendor = "apple"))]
            #[allow(clippy::too_many_arguments)]
            pub unsafe fn $name($($argument: $type),*) -> $result {
                // SAFETY: the same contract, passed on unchanged.
                unsafe { mach_emulated::calls::$name($($argument),*) }
            }
        )*

        /// The name of each call, for this project's tests.
        #[doc(hidden)]
        pub const CALLS: &[&str] = &[$(stringify!($name)),*];

        /// A reference to each call makes the linker resolve it: linking for Apple fails if libSystem does not have it.
        #[cfg(test)]
        #[test]
        fn every_call_is_there() {
            $(assert_ne!($name as *const () as usize, 0, stringify!($name));)*
        }
    };
}

kernel_calls! {
    // mach/mach_init.h, mach/message.h

    /// Returns the name of the calling thread's port, with one more user reference for each call (D1.1): the caller must release it.
    /// [`ThreadRight::current`](crate::rights::ThreadRight::current) releases its own.
    fn mach_thread_self() -> mach_port_name_t;
    /// Sends a message, then receives one into the same buffer, as `option` says (`MACH_SEND_MSG`, `MACH_RCV_MSG`; C10, C11).
    ///
    /// Sizes are in bytes. `receive_size` includes the trailer. `timeout` is in milliseconds and counts only with `MACH_SEND_TIMEOUT` or
    /// `MACH_RCV_TIMEOUT`, for each of the two halves; without these the call waits forever, and with them 0 means no wait.
    fn mach_msg(
        message: *mut c_void,
        option: mach_msg_option_t,
        send_size: mach_msg_size_t,
        receive_size: mach_msg_size_t,
        receive_name: mach_port_name_t,
        timeout: mach_msg_timeout_t,
        notify: mach_port_name_t,
    ) -> kern_return_t;
    /// Does what [`mach_msg`] does, and receives into a buffer of its own: `receive_message`, unless that is null. `scatter_size` means
    /// nothing any more.
    fn mach_msg_overwrite(
        message: *mut c_void,
        option: mach_msg_option_t,
        send_size: mach_msg_size_t,
        receive_size: mach_msg_size_t,
        receive_name: mach_port_name_t,
        timeout: mach_msg_timeout_t,
        notify: mach_port_name_t,
        receive_message: *mut c_void,
        scatter_size: mach_msg_size_t,
    ) -> kern_return_t;
    /// Receives requests of at most `max_size` bytes, calls `demux` for each, and sends the replies, until an error ends the loop (C12.2).
    /// Options are `MACH_RCV_LARGE`, for requests of any size, and the trailer's.
    fn mach_msg_server(
        demux: unsafe extern "C" fn(*mut mach_msg_header_t, *mut mach_msg_header_t) -> boolean_t,
        max_size: mach_msg_size_t,
        receive_name: mach_port_name_t,
        options: mach_msg_option_t,
    ) -> kern_return_t;
    /// Serves one request as [`mach_msg_server`] does (C12.2).
    fn mach_msg_server_once(
        demux: unsafe extern "C" fn(*mut mach_msg_header_t, *mut mach_msg_header_t) -> boolean_t,
        max_size: mach_msg_size_t,
        receive_name: mach_port_name_t,
        options: mach_msg_option_t,
    ) -> kern_return_t;
    /// Releases the rights that a received message carries, those of the remote port and of the descriptors, never the local port's, and
    /// the memory of descriptors that say so (C12.1).
    fn mach_msg_destroy(message: *mut c_void) -> ();

    /// Returns the name of the host port, with one more user reference for each call (C7.3): the caller must release it.
    fn mach_host_self() -> mach_port_name_t;

    // mach/mach_error.h, mach/mach_time.h

    /// Returns the text of an error, which lives forever. The emulation has the texts of the kernel's errors, of `mach_msg` and of MIG;
    /// every other error is an unknown error code.
    fn mach_error_string(error: kern_return_t) -> *mut c_char;
    /// Returns the time since some moment, in units of [`mach_timebase_info`]. It does not step, and stands still while the system sleeps.
    fn mach_absolute_time() -> u64;
    /// Reads the unit of [`mach_absolute_time`], in nanoseconds.
    fn mach_timebase_info(info: *mut mach_timebase_info_data_t) -> kern_return_t;

    // mach/mig_errors.h

    /// Returns the name of the port on which the calling thread receives the replies of MIG routines. The thread's first such routine, or
    /// this call, creates it (G6.1): one receive right, which the system's library owns until the thread exits. The emulation returns
    /// `MACH_PORT_NULL` if no name is left.
    fn mig_get_reply_port() -> mach_port_name_t;

    // mach/mach_port.h

    /// Creates a receive right, a port set or a dead name (C2.1).
    fn mach_port_allocate(task: mach_port_name_t, right: mach_port_right_t, name: *mut mach_port_name_t) -> kern_return_t;
    /// Creates a receive right or a port set under a name that the caller chooses (C2.2), or a dead name, for which the chosen name is
    /// ignored (C2.3).
    fn mach_port_allocate_name(task: mach_port_name_t, right: mach_port_right_t, name: mach_port_name_t) -> kern_return_t;
    /// Creates a receive right, for example for replies, and returns its name (`mach/mach_traps.h`, C2.6); `MACH_PORT_NULL` if no name is
    /// left.
    fn mach_reply_port() -> mach_port_name_t;
    /// Creates a receive right with options (C2.5). `options` is only read.
    fn mach_port_construct(
        task: mach_port_name_t,
        options: *mut mach_port_options_t,
        context: mach_port_context_t,
        name: *mut mach_port_name_t,
    ) -> kern_return_t;
    /// Destroys a receive right, guarded or not, after changing the user references of its send right by `send_delta`, which is 0 or
    /// less (C3.3).
    fn mach_port_destruct(
        task: mach_port_name_t,
        name: mach_port_name_t,
        send_delta: mach_port_delta_t,
        guard: mach_port_context_t,
    ) -> kern_return_t;
    /// Destroys all rights under a name, whatever their user references (C3.1).
    fn mach_port_destroy(task: mach_port_name_t, name: mach_port_name_t) -> kern_return_t;
    /// Releases one user reference of a send, send-once or dead-name right (C3.2).
    fn mach_port_deallocate(task: mach_port_name_t, name: mach_port_name_t) -> kern_return_t;
    /// Changes the user references of one right (C4.2).
    fn mach_port_mod_refs(
        task: mach_port_name_t,
        name: mach_port_name_t,
        right: mach_port_right_t,
        delta: mach_port_delta_t,
    ) -> kern_return_t;
    /// Reads the user references of one right (C4.1).
    fn mach_port_get_refs(
        task: mach_port_name_t,
        name: mach_port_name_t,
        right: mach_port_right_t,
        references: *mut mach_port_urefs_t,
    ) -> kern_return_t;
    /// Inserts a right into the task's name space under a name (C6.1, C6.2).
    fn mach_port_insert_right(
        task: mach_port_name_t,
        name: mach_port_name_t,
        poly: mach_port_name_t,
        disposition: mach_msg_type_name_t,
    ) -> kern_return_t;
    /// Extracts a right from the task, or creates one from its receive right, for example a send-once right (C6.5).
    fn mach_port_extract_right(
        task: mach_port_name_t,
        name: mach_port_name_t,
        disposition: mach_msg_type_name_t,
        right: *mut mach_port_name_t,
        right_type: *mut mach_msg_type_name_t,
    ) -> kern_return_t;
    /// Reads the rights that a name denotes, as bits of `MACH_PORT_TYPE_*` (C5.1).
    fn mach_port_type(task: mach_port_name_t, name: mach_port_name_t, kind: *mut mach_port_type_t) -> kern_return_t;
    /// Lists all names and their types, in two arrays that the caller releases with [`mach_vm_deallocate`] (C5.2).
    fn mach_port_names(
        task: mach_port_name_t,
        names: *mut *mut mach_port_name_t,
        names_count: *mut mach_msg_type_number_t,
        types: *mut *mut mach_port_type_t,
        types_count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Adds a receive right to a port set (C9.1).
    fn mach_port_insert_member(task: mach_port_name_t, name: mach_port_name_t, set: mach_port_name_t) -> kern_return_t;
    /// Removes a receive right from a port set (C9.2).
    fn mach_port_extract_member(task: mach_port_name_t, name: mach_port_name_t, set: mach_port_name_t) -> kern_return_t;
    /// Adds a receive right to one set and removes it from all others; a null set removes it from all (C9.2).
    fn mach_port_move_member(task: mach_port_name_t, name: mach_port_name_t, after: mach_port_name_t) -> kern_return_t;
    /// Lists the members of a port set, in an array that the caller releases with [`mach_vm_deallocate`] (C9.6).
    fn mach_port_get_set_status(
        task: mach_port_name_t,
        name: mach_port_name_t,
        members: *mut *mut mach_port_name_t,
        members_count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Reads the [`KobjectType`](crate::port::KobjectType) and the address of the kernel object behind a send or receive right. The address
    /// is 0 except on Apple's development kernels.
    fn mach_port_kobject(
        task: mach_port_name_t,
        name: mach_port_name_t,
        kind: *mut natural_t,
        address: *mut mach_vm_address_t,
    ) -> kern_return_t;
    /// Sets the context word of a port (C5.5).
    fn mach_port_set_context(task: mach_port_name_t, name: mach_port_name_t, context: mach_port_context_t) -> kern_return_t;
    /// Reads the context word of a port (C5.5).
    fn mach_port_get_context(
        task: mach_port_name_t,
        name: mach_port_name_t,
        context: *mut mach_port_context_t,
    ) -> kern_return_t;

    /// Sets the make-send count of a receive right (C5.5).
    fn mach_port_set_mscount(task: mach_port_name_t, name: mach_port_name_t, count: mach_port_mscount_t) -> kern_return_t;
    /// Sets the sequence number of the next message received (C5.5).
    fn mach_port_set_seqno(task: mach_port_name_t, name: mach_port_name_t, number: mach_port_seqno_t) -> kern_return_t;
    /// Reads the number of a port's send rights, in name spaces and messages (C5.7).
    fn mach_port_get_srights(task: mach_port_name_t, name: mach_port_name_t, count: *mut mach_port_rights_t) -> kern_return_t;
    /// Reads an attribute of a receive right (a [`PortFlavor`](crate::port::PortFlavor)) into at most `count` words (C5.3).
    fn mach_port_get_attributes(
        task: mach_port_name_t,
        name: mach_port_name_t,
        flavor: mach_port_flavor_t,
        info: *mut integer_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Sets an attribute of a receive right from `count` words (C5.4).
    fn mach_port_set_attributes(
        task: mach_port_name_t,
        name: mach_port_name_t,
        flavor: mach_port_flavor_t,
        info: *const integer_t,
        count: mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Guards a receive right: only [`mach_port_destruct`] with the same guard value can destroy it (C5.6).
    fn mach_port_guard(
        task: mach_port_name_t,
        name: mach_port_name_t,
        guard: mach_port_context_t,
        strict: boolean_t,
    ) -> kern_return_t;
    /// Guards a receive right like [`mach_port_guard`], with [`GuardFlags`](crate::port::GuardFlags) (C5.6).
    fn mach_port_guard_with_flags(
        task: mach_port_name_t,
        name: mach_port_name_t,
        guard: mach_port_context_t,
        flags: u64,
    ) -> kern_return_t;
    /// Removes the guard of a receive right, if `guard` is its value (C5.6).
    fn mach_port_unguard(task: mach_port_name_t, name: mach_port_name_t, guard: mach_port_context_t) -> kern_return_t;
    /// Replaces a guard that is not strict, if `old` is its value (C5.6).
    fn mach_port_swap_guard(
        task: mach_port_name_t,
        name: mach_port_name_t,
        old: mach_port_context_t,
        new: mach_port_context_t,
    ) -> kern_return_t;
    /// Requests a notification about a name (`MACH_NOTIFY_*`), or cancels the request if `notify` is null. `previous` gets the send-once
    /// right of the previous request (C8).
    fn mach_port_request_notification(
        task: mach_port_name_t,
        name: mach_port_name_t,
        id: mach_msg_id_t,
        sync: mach_port_mscount_t,
        notify: mach_port_name_t,
        disposition: mach_msg_type_name_t,
        previous: *mut mach_port_name_t,
    ) -> kern_return_t;

    // mach/mach_traps.h

    /// Reads the identifier of a task's process. An error is `KERN_FAILURE`, and stores -1. The emulation knows its own task only.
    fn pid_for_task(task: mach_port_name_t, pid: *mut c_int) -> kern_return_t;

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
    /// Lists the threads of a task, with one user reference each, in an array that the caller releases with [`mach_vm_deallocate`] (D1.4).
    /// The emulation first makes the threads known that have made no kernel call yet.
    fn task_threads(
        task: mach_port_name_t,
        threads: *mut *mut mach_port_name_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Reads which misuse of ports and memory raises `EXC_GUARD` in a task, and which ends it: `TASK_EXC_GUARD_*` of [`info`](crate::info) (A13.6).
    /// The emulation answers with its one task's, whose memory raises none.
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
    /// Reads what a task uses: `TASK_*` and `MACH_TASK_*` of [`info`](crate::info). `count` as in [`thread_info`].
    fn task_info(
        task: mach_port_name_t,
        flavor: task_flavor_t,
        info: *mut integer_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;

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

    // mach/mach_vm.h

    /// Copies `size` bytes of the task's memory to `data`. An `address` that cannot be read, or a `data` that cannot be written, is an
    /// error, never a fault.
    fn mach_vm_read_overwrite(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        size: mach_vm_size_t,
        data: mach_vm_address_t,
        copied: *mut mach_vm_size_t,
    ) -> kern_return_t;
    /// Copies `count` bytes from `data` to the task's memory. An `address` that cannot be written is an error, never a fault.
    fn mach_vm_write(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        data: usize,
        count: mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Releases `size` bytes of memory that a call returned.
    fn mach_vm_deallocate(task: mach_port_name_t, address: mach_vm_address_t, size: mach_vm_size_t) -> kern_return_t;
    /// Allocates zero-filled pages for `size` bytes: anywhere with `VM_FLAGS_ANYWHERE`, otherwise at `address`, where nothing may be mapped.
    /// `address` gets the address of the first byte.
    fn mach_vm_allocate(
        task: mach_port_name_t,
        address: *mut mach_vm_address_t,
        size: mach_vm_size_t,
        flags: c_int,
    ) -> kern_return_t;
    /// Changes the protection of the pages that `size` bytes at `address` lie in. With `set_maximum` it is the maximal protection, which the
    /// emulation cannot set: `KERN_NOT_SUPPORTED`.
    fn mach_vm_protect(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        size: mach_vm_size_t,
        set_maximum: boolean_t,
        protection: vm_prot_t,
    ) -> kern_return_t;
    /// Copies `size` bytes of the task's memory to new pages, which the caller releases with [`mach_vm_deallocate`]. `count` gets the number of
    /// bytes. An `address` that cannot be read is an error, never a fault.
    fn mach_vm_read(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        size: mach_vm_size_t,
        data: *mut vm_address_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Reads the region at `address`, or the next one above it, with a flavor `VM_REGION_*`; `KERN_INVALID_ADDRESS` if there is none. `address` and
    /// `size` get its first byte and its size in bytes. `count` is in 32-bit words: the room on entry, the length on return. `object` gets
    /// null. The emulation has [`vm_region_basic_info_64`], for both flavors of it.
    fn mach_vm_region(
        task: mach_port_name_t,
        address: *mut mach_vm_address_t,
        size: *mut mach_vm_size_t,
        flavor: vm_region_flavor_t,
        info: vm_region_info_t,
        count: *mut mach_msg_type_number_t,
        object: *mut mach_port_name_t,
    ) -> kern_return_t;

    // mach/vm_map.h

    /// Does the same as [`mach_vm_allocate`].
    fn vm_allocate(task: mach_port_name_t, address: *mut vm_address_t, size: vm_size_t, flags: c_int) -> kern_return_t;
    /// Does the same as [`mach_vm_deallocate`].
    fn vm_deallocate(task: mach_port_name_t, address: vm_address_t, size: vm_size_t) -> kern_return_t;
    /// Does the same as [`mach_vm_protect`].
    fn vm_protect(
        task: mach_port_name_t,
        address: vm_address_t,
        size: vm_size_t,
        set_maximum: boolean_t,
        protection: vm_prot_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_read`].
    fn vm_read(
        task: mach_port_name_t,
        address: vm_address_t,
        size: vm_size_t,
        data: *mut vm_address_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_read_overwrite`].
    fn vm_read_overwrite(
        task: mach_port_name_t,
        address: vm_address_t,
        size: vm_size_t,
        data: vm_address_t,
        copied: *mut vm_size_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_write`].
    fn vm_write(
        task: mach_port_name_t,
        address: vm_address_t,
        data: usize,
        count: mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_region`].
    fn vm_region_64(
        task: mach_port_name_t,
        address: *mut vm_address_t,
        size: *mut vm_size_t,
        flavor: vm_region_flavor_t,
        info: vm_region_info_t,
        count: *mut mach_msg_type_number_t,
        object: *mut mach_port_name_t,
    ) -> kern_return_t;
}
