//! The target of a call, and the conversion of its result to `kern_return_t`.
#![allow(unsafe_code)]

use super::guards;
use crate::ipc::kobject::{Kobject, KobjectType};
use crate::ipc::lookup;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::state::Ipc;
use crate::process::{self, Process};
use crate::thread::kernel::Kernel;
use crate::thread::object::TaskId;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::{kern_return_t, mach_port_name_t};

/// Returns what a call returns to C: `KERN_SUCCESS`, or what went wrong.
pub(super) fn code(outcome: Result<(), KernReturn>) -> kern_return_t {
    match outcome {
        Ok(()) => KernReturn::SUCCESS.raw(),
        Err(error) => error.raw(),
    }
}

pub(super) fn process() -> Result<&'static Process, KernReturn> {
    process::current().map_err(|_| KernReturn::RESOURCE_SHORTAGE)
}

/// Runs a call on the names of the task that `task` denotes (C0.5). Results are returned by value: user memory is written when the
/// lock is free again.
pub(super) fn on_space<T>(
    process: Result<&'static Process, KernReturn>,
    task: mach_port_name_t,
    call: impl FnOnce(&mut Ipc<'_, '_>, SpaceId) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = process?;
    let on_kernel = |kernel: &mut Kernel<'_, '_>| {
        let target = task_behind(kernel, process.task, task)?;
        let space = kernel.tables.task(target).space;
        call(&mut kernel.ipc, space)
    };
    let (outcome, guard) = {
        let mut held = process.mach.lock();
        let kernel = &mut Kernel::of(&mut held);
        (on_kernel(kernel), kernel.ipc.take_guard())
    };
    guards::note(guard);
    refused(outcome)
}

/// Returns the result of a trap. A trap that the kernel refuses for its task is retried as a MIG routine, which makes the thread's reply port (G6.1).
pub(super) fn refused<T>(outcome: Result<T, KernReturn>) -> Result<T, KernReturn> {
    if matches!(outcome, Err(KernReturn::SEND_INVALID_DEST)) {
        process::own_mig_reply_port();
    }
    outcome
}

/// Returns the task whose control port a name of `caller`'s denotes.
pub(super) fn task_behind(
    kernel: &mut Kernel<'_, '_>,
    caller: TaskId,
    name: mach_port_name_t,
) -> Result<TaskId, KernReturn> {
    let name = Name::new(name);
    if !name.is_valid() {
        return Err(KernReturn::SEND_INVALID_DEST);
    }
    let space = kernel.tables.task(caller).space;
    let port = lookup::call_target(&mut kernel.ipc, space, name)?;
    TaskId::behind(kernel.ipc.port(port)).ok_or(KernReturn::INVALID_TASK)
}

/// Returns the kernel object of a kind that a routine is sent to: `KERN_INVALID_ARGUMENT` for a port of
/// another kind.
pub(super) fn kobject_behind(
    kernel: &mut Kernel<'_, '_>,
    process: &Process,
    name: mach_port_name_t,
    kind: KobjectType,
) -> Result<Kobject, KernReturn> {
    let name = Name::new(name);
    if !name.is_valid() {
        return Err(KernReturn::SEND_INVALID_DEST);
    }
    let port = lookup::call_target(&mut kernel.ipc, process.space, name)?;
    let object = kernel.ipc.port(port).kobject();
    let object = object.filter(|object| object.kind == kind);
    object.ok_or(KernReturn::INVALID_ARGUMENT)
}

/// Writes a result to the caller's address.
///
/// # Safety
/// `to` is valid for a write.
pub(super) unsafe fn put<T>(to: *mut T, value: T) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { to.write(value) };
}
