//! Ports of the host, of tasks and of threads, and a task's process (`mach/mach_init.h`, `mach/mach_traps.h`, `mach/task.h`,
//! `mach/thread_act.h`).

use super::exceptions::on_level;
use super::target::{code, process, put, task_behind};
use crate::exception::level::{Level, LevelKind};
use crate::host;
use crate::ipc::copyout;
use crate::ipc::name::Name;
use crate::thread::host_port;
use crate::thread::kernel::Kernel;
use core::ffi::c_int;
use mach_wire::kern_return::KernReturn;
use mach_wire::port::*;
use mach_wire::types::*;

pub unsafe fn pid_for_task(task: mach_port_name_t, pid: *mut c_int) -> kern_return_t {
    let found = process().and_then(|process| {
        let mut held = process.mach.lock();
        let target = task_behind(&mut Kernel::of(&mut held), process.task, task);
        // The emulation has no task but the process's own.
        target
            .map(|_| host::process_id() as c_int)
            .map_err(|_| KernReturn::FAILURE)
    });
    // SAFETY: the seam's contract: `pid` is valid for a write, which an error makes too.
    unsafe { put(pid, found.unwrap_or(-1)) };
    code(found.map(|_| ()))
}

pub unsafe fn mach_host_self() -> mach_port_name_t {
    let Ok(process) = process() else {
        return MACH_PORT_NULL;
    };
    let mut held = process.mach.lock();
    let kernel = &mut Kernel::of(&mut held);
    let name = host_port::of(kernel)
        .and_then(|port| copyout::name_send(&mut kernel.ipc, process.space, port));
    name.map_or(MACH_PORT_NULL, Name::raw)
}

pub unsafe fn task_get_special_port(
    task: mach_port_name_t,
    which: c_int,
    port: *mut mach_port_name_t,
) -> kern_return_t {
    let found = on_level(task, LevelKind::Task, |kernel, space, level| {
        let found = match (which, level) {
            (TASK_KERNEL_PORT, Level::Task(task)) => Some(kernel.tables.task(task).port),
            (TASK_HOST_PORT, _) => host_port::of(kernel),
            // Nothing sets these here, so that they are null, as in a task that has none.
            (
                TASK_BOOTSTRAP_PORT
                | TASK_ACCESS_PORT
                | TASK_DEBUG_CONTROL_PORT
                | TASK_RESOURCE_NOTIFY_PORT,
                _,
            ) => return Ok(Name::NULL),
            (TASK_NAME_PORT | TASK_INSPECT_PORT | TASK_READ_PORT, _) => {
                return Err(KernReturn::NOT_SUPPORTED);
            }
            _ => return Err(KernReturn::INVALID_ARGUMENT),
        };
        let found = found.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
        let name = copyout::name_send(&mut kernel.ipc, space, found);
        name.ok_or(KernReturn::RESOURCE_SHORTAGE)
    });
    code(found.map(|name| {
        // SAFETY: the seam's contract: `port` is valid for a write.
        unsafe { put(port, name.raw()) };
    }))
}

pub unsafe fn thread_get_special_port(
    thread: mach_port_name_t,
    which: c_int,
    port: *mut mach_port_name_t,
) -> kern_return_t {
    let found = on_level(thread, LevelKind::Thread, |kernel, space, level| {
        let found = match (which, level) {
            (THREAD_KERNEL_PORT, Level::Thread(thread)) => kernel.tables.thread(thread).port,
            (THREAD_INSPECT_PORT | THREAD_READ_PORT, _) => return Err(KernReturn::NOT_SUPPORTED),
            _ => return Err(KernReturn::INVALID_ARGUMENT),
        };
        let name = copyout::name_send(&mut kernel.ipc, space, found);
        name.ok_or(KernReturn::RESOURCE_SHORTAGE)
    });
    code(found.map(|name| {
        // SAFETY: the seam's contract: `port` is valid for a write.
        unsafe { put(port, name.raw()) };
    }))
}
