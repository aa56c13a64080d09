//! Ports of the host, of tasks and of threads, and a task's process (`mach/mach_init.h`, `mach/mach_traps.h`, `mach/task.h`,
//! `mach/thread_act.h`).

use super::exceptions::on_level;
use super::mig;
use super::target::{code, kobject_behind, process, put, task_behind};
use crate::exception::level::{Level, LevelKind};
use crate::host;
use crate::ipc::copyout;
use crate::ipc::kmsg::Right;
use crate::ipc::kobject::KobjectType;
use crate::ipc::name::Name;
use crate::ipc::right;
use crate::thread::kernel::Kernel;
use crate::thread::object::TaskId;
use crate::thread::{host_port, task};
use core::ffi::c_int;
use mach_wire::info::*;
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

pub unsafe fn task_for_pid(
    task: mach_port_name_t,
    pid: c_int,
    found: *mut mach_port_name_t,
) -> kern_return_t {
    let name = process().and_then(|process| {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        // Whichever task it is, it only has to be one.
        task_behind(kernel, process.task, task).map_err(|_| KernReturn::FAILURE)?;
        // The emulation has no task but the process's own, and process 0 is the kernel.
        if pid == 0 || pid != host::process_id() as c_int {
            return Err(KernReturn::FAILURE);
        }
        let port = kernel.tables.task(process.task).port;
        let name = copyout::name_send(&mut kernel.ipc, process.space, port);
        name.ok_or(KernReturn::FAILURE)
    });
    // SAFETY: the seam's contract: `found` is valid for a write, which an error makes too.
    unsafe { put(found, name.map_or(MACH_PORT_NULL, Name::raw)) };
    code(name.map(|_| ()))
}

pub unsafe fn task_create_identity_token(
    task: mach_port_name_t,
    token: *mut mach_port_name_t,
) -> kern_return_t {
    let created = on_level(task, LevelKind::Task, |kernel, space, level| {
        if !kernel.ipc.rules.task_tokens_exist() {
            return Err(KernReturn::MIG_BAD_ID);
        }
        let Level::Task(task) = level else {
            return Err(KernReturn::INVALID_ARGUMENT);
        };
        let ipc = &mut kernel.ipc;
        let token = task::create_token(ipc, task).ok_or(KernReturn::RESOURCE_SHORTAGE)?;
        let name = copyout::name_send(ipc, space, token);
        if name.is_none() {
            right::release(ipc, Right::Receive(token));
        }
        name.ok_or(KernReturn::RESOURCE_SHORTAGE)
    });
    code(created.map(|name| {
        // SAFETY: the seam's contract: `token` is valid for a write.
        unsafe { put(token, name.raw()) };
    }))
}

pub unsafe fn task_identity_token_get_task_port(
    token: mach_port_name_t,
    flavor: task_flavor_t,
    port: *mut mach_port_name_t,
) -> kern_return_t {
    let found = mig::process().and_then(|process| {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        if !kernel.ipc.rules.task_tokens_exist() {
            return Err(KernReturn::MIG_BAD_ID);
        }
        let token = kobject_behind(kernel, process, token, KobjectType::TaskToken)?;
        match flavor {
            TASK_FLAVOR_CONTROL => {}
            // The emulation has control ports only.
            TASK_FLAVOR_READ | TASK_FLAVOR_INSPECT | TASK_FLAVOR_NAME => {
                return Err(KernReturn::NOT_SUPPORTED);
            }
            _ => return Err(KernReturn::INVALID_ARGUMENT),
        }
        let task = TaskId::of_word(token.value);
        let port = kernel.tables.task(task).port;
        let name = copyout::name_send(&mut kernel.ipc, process.space, port);
        name.ok_or(KernReturn::RESOURCE_SHORTAGE)
    });
    code(found.map(|name| {
        // SAFETY: the seam's contract: `port` is valid for a write.
        unsafe { put(port, name.raw()) };
    }))
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
