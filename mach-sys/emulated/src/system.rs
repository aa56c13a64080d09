//! What the seam needs beside Mach: what `mach_sys::kernel::system` answers on hosts that are not Apple's.
#![allow(unsafe_code)]

use super::host;
use super::process;
use crate::config::Config;
use crate::error::StartError;
use core::ops::Range;
use mach_wire::types::{MACH_PORT_NULL, mach_port_name_t};

pub fn configure(config: Config) -> Result<(), &'static StartError> {
    process::start_with(config)
}

pub fn task_self() -> mach_port_name_t {
    let Ok(process) = process::current() else {
        return MACH_PORT_NULL;
    };
    let kernel = process.mach.lock();
    let port = kernel.task(process.task).port;
    kernel.name_of(process.task, port).unwrap_or(MACH_PORT_NULL)
}

pub unsafe fn thread_port(thread: libc::pthread_t) -> mach_port_name_t {
    let Ok(process) = process::current() else {
        return MACH_PORT_NULL;
    };
    // SAFETY: asking for the own identifier has no preconditions.
    let object = if thread == unsafe { libc::pthread_self() } {
        process.this_thread()
    } else {
        host::slot::of_pthread(thread).and_then(|slot| process.known_thread(slot))
    };
    let name = object.and_then(|object| process.mach.lock().thread_name(object));
    name.unwrap_or(MACH_PORT_NULL)
}

pub fn stack_bounds() -> Option<Range<usize>> {
    host::stack::bounds()
}

pub fn thread_id() -> u64 {
    u64::from(host::slot::gettid())
}

pub fn current_cpu() -> u32 {
    host::cpu::current()
}

/// What the emulation knows without a system call. A child that has its own emulation has none of its parent's values, which were
/// made by calls.
pub fn is_known_other(_process: libc::pid_t) -> bool {
    host::slot::is_forked()
}

/// A thread's signal mask, a bit for each signal.
pub type SignalMask = u64;

pub fn enter_server_thread() -> SignalMask {
    host::signals::block_for_good()
}

pub fn leave_server_thread(outer: &SignalMask) {
    host::signals::unblock(*outer);
}

pub fn prepare_for_faults() {
    // A thread that cannot be known is not served; its registration says so when it is routed.
    if process::current().is_ok() {
        if let Ok(slot) = host::slot::register() {
            host::slot::prepare(slot);
        }
    }
}

/// What a message's trailer says about its sender: the process's effective user and group.
pub(crate) fn user_and_group() -> (u32, u32) {
    // SAFETY: neither call has preconditions, and neither can fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}
