//! Table of the calls that are MIG routines, and the reply port that those make (G6.1).
//!
//! Each call of `mach_sys::kernel` is a function of Apple's library (libsyscall). Some of them enter the kernel by a trap of their own;
//! the others, and traps that the kernel refuses with `MACH_SEND_INVALID_DEST`, send a message by MIG's client code, which first asks
//! `mig_get_reply_port` for the port on which it waits for the reply. A thread's first such call makes that port: one receive right in
//! the task's space, which libpthread destroys when the thread ends. Read at xnu-11417.101.15, in these files: libsyscall/mach/mach_port.c,
//! mach_vm.c, mach_msg.c and mig_reply_port.c; osfmk/mach/thread_act.defs, task.defs and mach_vm.defs; osfmk/kern/syscall_sw.c.
//!
//! | call | enters the kernel by | makes a reply port |
//! |---|---|---|
//! | `mach_thread_self` | `thread_self_trap` (27) | no |
//! | `mach_msg` | `mach_msg_trap` (31), `mach_msg2_trap` (47) | no |
//! | `mach_msg_overwrite` | `mach_msg_overwrite_trap` (32) | no |
//! | `mach_msg_server`, `mach_msg_server_once` | `mach_msg` and the calls for memory | no |
//! | `mach_msg_destroy` | the calls that release what the message carries | for `MACH_MSG_TYPE_MAKE_SEND_ONCE`: `mach_port_extract_right` |
//! | `mach_vm_deallocate` | `_kernelrpc_mach_vm_deallocate_trap` (12) | no |
//! | `mach_port_allocate` | `_kernelrpc_mach_port_allocate_trap` (16) | no |
//! | `mach_port_deallocate` | `_kernelrpc_mach_port_deallocate_trap` (18) | no |
//! | `mach_port_mod_refs` | `_kernelrpc_mach_port_mod_refs_trap` (19) | no |
//! | `mach_port_move_member` | `_kernelrpc_mach_port_move_member_trap` (20) | no |
//! | `mach_port_insert_right` | `_kernelrpc_mach_port_insert_right_trap` (21) | no |
//! | `mach_port_insert_member` | `_kernelrpc_mach_port_insert_member_trap` (22) | no |
//! | `mach_port_extract_member` | `_kernelrpc_mach_port_extract_member_trap` (23) | no |
//! | `mach_port_construct`, `mach_port_destruct` | `_kernelrpc_mach_port_construct_trap` (24), `…_destruct_trap` (25) | no |
//! | `mach_reply_port` | `mach_reply_port` (26) | no |
//! | `mach_port_get_attributes` | `_kernelrpc_mach_port_get_attributes_trap` (40) | no |
//! | `mach_port_guard`, `mach_port_unguard` | `_kernelrpc_mach_port_guard_trap` (41), `…_unguard_trap` (42) | no |
//! | `mach_port_request_notification` | `_kernelrpc_mach_port_request_notification_trap` (77) | no |
//! | `mach_port_type` | `_kernelrpc_mach_port_type_trap` (76) | no |
//! | `host_page_size`, `mach_approximate_time`, `mach_continuous_time`, `mach_continuous_approximate_time` | nothing | no |
//! | `mach_wait_until` | `mach_wait_until_trap` (90) | no |
//! | `clock_sleep` | `clock_sleep_trap` (62) | no |
//! | `mk_timer_create`, `…_destroy`, `…_arm`, `…_cancel`, `…_arm_leeway` | their traps (91–95) | no |
//! | `thread_switch` | `thread_switch` (61) | no |
//! | `task_for_pid` | `task_for_pid` (45) | no |
//! | `mach_host_self` | `host_self_trap` (29) | no |
//! | `pid_for_task` | `pid_for_task` (46) | no |
//! | `mach_timebase_info` | `mach_timebase_info_trap` (89), once | no |
//! | `mach_absolute_time`, `mach_error_string` | nothing | no |
//! | `mach_vm_allocate`, `mach_vm_protect` and their `vm_` names | `_kernelrpc_mach_vm_allocate_trap` (10), `…_protect_trap` (14) | no |
//! | `mach_port_allocate_full`, `mach_port_allocate_qos` | mach_port.defs | yes |
//! | `mach_port_names`, `mach_port_allocate_name`, `mach_port_destroy` | mach_port.defs | yes |
//! | `mach_port_guard_with_flags`, `mach_port_swap_guard` | mach_port.defs | yes |
//! | `mach_port_set_attributes`, `…_set_mscount`, `…_set_seqno`, `…_get_srights` | mach_port.defs | yes |
//! | `mach_port_get_refs` | mach_port.defs | yes |
//! | `mach_port_extract_right` | mach_port.defs | yes |
//! | `mach_port_get_set_status` | mach_port.defs | yes |
//! | `mach_port_get_context`, `mach_port_set_context` | mach_port.defs | yes |
//! | `mach_port_kobject` | mach_port.defs | yes |
//! | `thread_get_state`, `thread_set_state` | thread_act.defs | yes; not where MIG refuses the arguments itself |
//! | `thread_suspend`, `thread_resume`, `thread_abort`, `thread_abort_safely`, `thread_terminate`, `thread_info` | thread_act.defs | yes |
//! | `task_register_hardened_exception_handler`, `thread_adopt_exception_handler`, `thread_convert_thread_state` | task.defs, thread_act.defs | yes |
//! | `task_get_exc_guard_behavior`, `task_set_exc_guard_behavior` | task.defs | yes |
//! | `task_threads`, `task_info`, `task_suspend`, `task_resume`, `semaphore_create`, `semaphore_destroy` | task.defs | yes |
//! | `semaphore_signal`, `…_signal_all`, `…_signal_thread`, `…_wait`, `…_timedwait`, `…_wait_signal`, `…_timedwait_signal` | their traps (33–39) | no |
//! | `host_get_clock_service`, `clock_get_time`, `clock_get_attributes`, `clock_alarm` | mach_host.defs, clock.defs | yes |
//! | `host_info`, `host_statistics`, `host_statistics64` | mach_host.defs | yes |
//! | `thread_create`, `thread_create_running` | task.defs | yes; not where MIG refuses the arguments itself |
//! | `thread_policy_get`, `thread_policy_set` | thread_act.defs | yes; not where MIG refuses the arguments itself |
//! | `task_create_identity_token`, `task_identity_token_get_task_port` | task.defs | yes |
//! | `thread_set_exception_ports`, `…_get_…`, `…_swap_…` | thread_act.defs | yes |
//! | `task_set_exception_ports`, `…_get_…`, `…_swap_…` | task.defs | yes |
//! | `host_set_exception_ports`, `…_get_…`, `…_swap_…` | host_priv.defs | yes |
//! | `task_get_special_port`, `thread_get_special_port` | task.defs, thread_act.defs | yes |
//! | `mach_vm_read_overwrite`, `mach_vm_write`, `mach_vm_read`, `mach_vm_region` and their `vm_` names | mach_vm.defs, vm_map.defs | yes |
//! | `mach_vm_map` | `_kernelrpc_mach_vm_map_trap` (15), or mach_vm.defs for an object, a maximal protection or an inheritance | only for these |
//! | `mach_vm_purgable_control`, `vm_purgable_control` | `_kernelrpc_mach_vm_purgable_control_trap` (11) | no |
//! | `vm_map`, and `mach_vm_remap`, `mach_vm_copy`, `mach_vm_region_recurse` and their `vm_` names | mach_vm.defs, vm_map.defs | yes |
//! | `mig_get_reply_port` | `_kernelrpc_mach_port_construct_trap` (24) | yes |
//!
//! Here nothing is sent: a routine has its thread's reply port made, then runs at once. Where no name or no port is left, it runs without,
//! and the thread's next routine tries again. XNU's processes end there: `mig_get_reply_port` traps, in macOS 11 it returned
//! `MACH_PORT_NULL` and the routine answered `MACH_RCV_INVALID_NAME`. An application that destroys its thread's reply port gets no other
//! one until the thread ends; in XNU its next routine fails, and the one after makes one.
//!
//! A thread that ends without its destructors leaves its reply port in the task in XNU. Here it goes with the thread's record.

use crate::process::{self, Process};
use mach_wire::kern_return::KernReturn;
use mach_wire::types::mach_port_name_t;

/// Returns the process, for a call that is a MIG routine: the calling thread has its reply port from here on.
#[inline]
pub(super) fn process() -> Result<&'static Process, KernReturn> {
    process::current_with_reply_port().map_err(|_| KernReturn::RESOURCE_SHORTAGE)
}

pub unsafe fn mig_get_reply_port() -> mach_port_name_t {
    process::own_mig_reply_port()
}
