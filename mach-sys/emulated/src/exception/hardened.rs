//! Hardened exception handlers (B8): one for each task, which its threads may adopt.

use super::level::Level;
use super::ports::{self, Mark, Registration};
use crate::ipc::kmsg::Right;
use crate::ipc::name::SpaceId;
use crate::ipc::port::PortKind;
use crate::ipc::right;
use crate::ipc::state::Ipc;
use crate::thread::kernel::Kernel;
use crate::thread::object::{Hardened, TaskId, ThreadId};
use mach_wire::kern_return::KernReturn;

/// Returns whether a right is for a port that `MPO_EXCEPTION_PORT` made.
fn is_exception_port(ipc: &Ipc<'_, '_>, right: Right) -> bool {
    right.port().is_some_and(|port| match &ipc.port(port).kind {
        PortKind::Queue(port) => port.is_exception_port(),
        _ => false,
    })
}

/// Implements `task_register_hardened_exception_handler` (B8.1). The name is one of `space`.
pub(crate) fn register(
    kernel: &mut Kernel<'_, '_>,
    space: SpaceId,
    task: TaskId,
    allowed: Registration,
) -> Result<(), KernReturn> {
    let ipc = &mut kernel.ipc;
    let port = ports::carried_port(ipc, space, allowed.port)?;
    let is_live = port.port().is_some_and(|port| ipc.port(port).alive);
    let outcome = match is_live && !is_exception_port(ipc, port) {
        true => Err(KernReturn::INVALID_ARGUMENT),
        false => ports::validate(ipc, allowed, port),
    };
    let has_one = kernel.tables.task(task).hardened.is_some();
    let outcome = outcome.and(match has_one {
        true => Err(KernReturn::INVALID_ARGUMENT),
        false => Ok(()),
    });
    if let Err(error) = outcome {
        right::release(&mut kernel.ipc, port);
        return Err(error);
    }
    kernel.tables.task_mut(task).hardened = Some(Hardened {
        port,
        mask: allowed.mask,
        behavior: allowed.behavior,
        flavor: allowed.flavor,
    });
    Ok(())
}

/// Implements `thread_adopt_exception_handler` (B8.2). The name is one of `space`, whose task is `caller`.
pub(crate) fn adopt(
    kernel: &mut Kernel<'_, '_>,
    space: SpaceId,
    caller: TaskId,
    thread: ThreadId,
    wanted: Registration,
) -> Result<(), KernReturn> {
    let port = ports::carried_port(&mut kernel.ipc, space, wanted.port)?;
    let task = kernel.tables.thread(thread).task;
    let hardened = kernel.tables.task(task).hardened;
    let is_allowed = hardened.filter(|_| task == caller).is_some_and(|hardened| {
        let is_its = port == Right::Null || port.port() == hardened.port.port();
        // Nothing but the bits is looked at: a behavior without a message delivers nothing.
        let bits = |wanted: u32, allowed: u32| wanted & !allowed == 0;
        is_its
            && bits(wanted.mask.bits(), hardened.mask.bits())
            && bits(wanted.behavior.raw() as u32, hardened.behavior.raw() as u32)
            && bits(wanted.flavor.raw as u32, hardened.flavor.raw as u32)
    });
    if !is_allowed {
        right::release(&mut kernel.ipc, port);
        return Err(KernReturn::DENIED);
    }
    let level = Level::Thread(thread);
    ports::replace(kernel, level, wanted, port, None, space, Mark::Set);
    Ok(())
}
