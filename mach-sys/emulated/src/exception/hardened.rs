//! The one handler of a task that its threads may adopt (B8).

use super::level::Level;
use super::ports::{self, Hardened, Registration};
use crate::ipc::kmsg::Right;
use crate::ipc::name::SpaceId;
use crate::ipc::right;
use crate::ipc::state::Ipc;
use crate::thread::action::Action;
use crate::thread::kernel::Kernel;
use crate::thread::object::{TaskId, ThreadId};
use crate::thread::run;
use mach_wire::kern_return::KernReturn;

/// Implements `task_register_hardened_exception_handler` (B8.1). The words of the registration are all that a thread may ask for.
pub(crate) fn register(
    kernel: &mut Kernel<'_, '_>,
    space: SpaceId,
    task: TaskId,
    registration: Registration,
) -> Result<(), KernReturn> {
    if !kernel.ipc.rules.has_hardened_handlers() {
        return Err(KernReturn::MIG_BAD_ID);
    }
    let port = ports::sent_port(&mut kernel.ipc, space, registration.port)?;
    let outcome = check(&kernel.ipc, registration, port);
    let is_first = kernel.tables.task(task).hardened.is_none();
    if let Err(error) = outcome.and(is_first.then_some(()).ok_or(KernReturn::INVALID_ARGUMENT)) {
        right::release(&mut kernel.ipc, port);
        return Err(error);
    }
    kernel.tables.task_mut(task).hardened = Some((
        registration.mask,
        Action {
            port,
            behavior: registration.behavior,
            flavor: registration.flavor,
            hardened: true,
        },
    ));
    Ok(())
}

fn check(ipc: &Ipc<'_, '_>, registration: Registration, port: Right) -> Result<(), KernReturn> {
    if let Some(port) = port.port() {
        let queue = ipc.port(port).queue();
        if !queue.is_some_and(|queue| queue.is_exception_port()) {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
    }
    ports::validate(ipc, registration, port)
}

/// Implements `thread_adopt_exception_handler` (B8.2).
pub(crate) fn adopt(
    kernel: &mut Kernel<'_, '_>,
    space: SpaceId,
    thread: ThreadId,
    registration: Registration,
) -> Result<(), KernReturn> {
    if !kernel.ipc.rules.has_hardened_handlers() {
        return Err(KernReturn::MIG_BAD_ID);
    }
    let port = ports::sent_port(&mut kernel.ipc, space, registration.port)?;
    let allowed = may_adopt(kernel, thread, registration, port);
    if let Err(error) = allowed.and_then(|()| alive(kernel, thread)) {
        right::release(&mut kernel.ipc, port);
        return Err(error);
    }
    let level = Level::Thread(thread);
    ports::replace(
        kernel,
        level,
        registration,
        port,
        Hardened::Set,
        None,
        space,
    );
    Ok(())
}

fn may_adopt(
    kernel: &Kernel<'_, '_>,
    thread: ThreadId,
    registration: Registration,
    port: Right,
) -> Result<(), KernReturn> {
    let task = kernel.tables.task(kernel.tables.thread(thread).task);
    let Some((mask, allowed)) = task.hardened else {
        return Err(KernReturn::DENIED);
    };
    let is_subset = mask.contains(registration.mask)
        && registration.behavior.raw() & !allowed.behavior.raw() == 0
        && registration.flavor.raw & !allowed.flavor.raw == 0;
    if (port != Right::Null && port != allowed.port) || !is_subset {
        return Err(KernReturn::DENIED);
    }
    Ok(())
}

fn alive(kernel: &Kernel<'_, '_>, thread: ThreadId) -> Result<(), KernReturn> {
    run::check(kernel, thread).map_err(|_| KernReturn::FAILURE)
}
