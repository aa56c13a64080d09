//! Registers an exception port.
#![allow(unsafe_code)]

use mach_sys::exception::{EXCEPTION_STATE, ExceptionMask, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};

/// The exception types that hardware raises.
pub const HARDWARE: ExceptionMask = ExceptionMask::BAD_ACCESS
    .union(ExceptionMask::BAD_INSTRUCTION)
    .union(ExceptionMask::ARITHMETIC)
    .union(ExceptionMask::SOFTWARE)
    .union(ExceptionMask::BREAKPOINT);

const BEHAVIOR: i32 = EXCEPTION_STATE | MACH_EXCEPTION_CODES;

/// Registers the port for these exceptions of the calling thread.
///
/// # Panics
/// If the kernel refuses it.
pub fn route_thread(port: &ReceiveRight, mask: ExceptionMask) {
    let send = port.make_send().expect("a send right");
    let thread = ThreadRight::current().expect("the own thread");
    let (thread, send) = (thread.name().raw(), send.name().raw());
    // SAFETY: no pointers.
    let code = unsafe {
        kernel::thread_set_exception_ports(thread, mask.bits(), send, BEHAVIOR, NativeState::FLAVOR)
    };
    assert_eq!(KernReturn::check(code), Ok(()));
}

/// Registers the port for these exceptions of the task.
///
/// # Panics
/// If the kernel refuses it.
pub fn route_task(port: &ReceiveRight, mask: ExceptionMask) {
    let send = port.make_send().expect("a send right");
    let (task, send) = (system::task_self(), send.name().raw());
    // SAFETY: no pointers.
    let code = unsafe {
        kernel::task_set_exception_ports(task, mask.bits(), send, BEHAVIOR, NativeState::FLAVOR)
    };
    assert_eq!(KernReturn::check(code), Ok(()));
}
