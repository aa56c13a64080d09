//! The beginning of a task (D1.3, D5.1).

use super::action::Actions;
use super::exc_guard::ExcGuard;
use super::kernel::{Kernel, Mach};
use super::object::{Task, TaskId};
use crate::error::ReserveError;
use crate::ipc::copyout;
use crate::ipc::id::PortId;
use crate::ipc::kmsg::Right;
use crate::ipc::kobject::{Kobject, KobjectType};
use crate::ipc::name::Name;
use crate::ipc::port::PortKind;
use crate::ipc::reverse;
use crate::ipc::right;
use crate::ipc::space::Space;
use crate::ipc::state::Ipc;

/// Creates a task whose name space is empty, but for the task's own name: pinned, with two user references, where the rules say so
/// (D1.3, D5.1). `None` when the kernel holds as many tasks as it can.
pub(crate) fn create(mach: &Mach) -> Result<Option<TaskId>, ReserveError> {
    let rules = mach.rules();
    let space = Space::new(rules.limits.names, rules.generations_move_by_4())?;
    let mut held = mach.lock();
    Ok(enter(&mut Kernel::of(&mut held), space))
}

/// Creates an identity token of a task (A7.10). It lives as long as there is a send right for it. `None` when the kernel is full.
pub(crate) fn create_token(ipc: &mut Ipc<'_, '_>, task: TaskId) -> Option<PortId> {
    ipc.create_port(PortKind::Kobject(Kobject {
        kind: KobjectType::TaskToken,
        value: task.to_word(),
    }))
}

fn enter(kernel: &mut Kernel<'_, '_>, space: Space) -> Option<TaskId> {
    let ipc = &mut kernel.ipc;
    let id = kernel.tables.next_task()?;
    let port = ipc.create_port(PortKind::Kobject(Kobject {
        kind: KobjectType::Task,
        value: id.to_word(),
    }))?;
    let Some(space) = ipc.add_space(space) else {
        right::release(ipc, Right::Receive(port));
        return None;
    };
    for _ in 0..ipc.rules.references_at_start() {
        copyout::name_send(ipc, space, port);
    }
    if ipc.rules.control_port_names_are_pinned() {
        copyout::pin(ipc, space, port);
    }
    let task = Task {
        space,
        port,
        actions: Actions::default(),
        exc_guard: ExcGuard::default(),
        hardened: None,
    };
    kernel.tables.add_task(id, task);
    Some(id)
}

/// Returns the name that a task has in its own space, without a new reference.
pub(crate) fn self_name(kernel: &Kernel<'_, '_>, task: TaskId) -> Option<Name> {
    let task = kernel.tables.task(task);
    reverse::name_of(&kernel.ipc, task.space, task.port)
}
