//! [`kernel::system`](crate::kernel::system) on hosts that are not Apple's.
#![allow(unsafe_code)]

use super::host;
use super::process;
use crate::rights::Name;
use crate::types::{MACH_PORT_NULL, mach_port_name_t};
use core::ops::Range;

pub(crate) fn task_self() -> mach_port_name_t {
    let Ok(process) = process::current() else {
        return MACH_PORT_NULL;
    };
    let kernel = process.mach.lock();
    let port = kernel.task(process.task).port;
    Name::raw_or_null(kernel.name_of(process.task, port).and_then(Name::new))
}

pub(crate) unsafe fn thread_port(thread: libc::pthread_t) -> mach_port_name_t {
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
    Name::raw_or_null(name.and_then(Name::new))
}

pub(crate) fn stack_bounds() -> Option<Range<usize>> {
    host::stack::bounds()
}

pub(crate) fn thread_id() -> u64 {
    u64::from(host::slot::gettid())
}

pub(crate) fn current_cpu() -> u32 {
    host::cpu::current()
}

pub(crate) fn enter_server_thread() {
    host::signals::block_for_good();
}

pub(crate) fn prepare_for_faults() {
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
