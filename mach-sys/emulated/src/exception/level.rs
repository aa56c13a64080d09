//! Whose exception actions: a thread's or a task's.

use crate::ipc::lookup;
use crate::ipc::name::{Name, SpaceId};
use crate::thread::action::Actions;
use crate::thread::kernel::Kernel;
use crate::thread::object::{Tables, TaskId, ThreadId};
use mach_wire::kern_return::KernReturn;

/// A level at which exceptions are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Thread(ThreadId),
    Task(TaskId),
}

/// The kind of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LevelKind {
    Thread,
    Task,
    /// The host, whose privileged port no process here has (B7.1).
    Host,
}

impl Level {
    /// Returns the thread or task behind a name, as the target of a call (B1.2).
    pub(crate) fn find(
        kernel: &mut Kernel<'_, '_>,
        space: SpaceId,
        name: Name,
        kind: LevelKind,
    ) -> Result<Self, KernReturn> {
        if !name.is_valid() {
            return Err(KernReturn::SEND_INVALID_DEST);
        }
        let port = lookup::call_target(&mut kernel.ipc, space, name)?;
        let port = kernel.ipc.port(port);
        let level = match kind {
            LevelKind::Thread => ThreadId::behind(port).map(Self::Thread),
            LevelKind::Task => TaskId::behind(port).map(Self::Task),
            LevelKind::Host => None,
        };
        level.ok_or(KernReturn::INVALID_ARGUMENT)
    }

    pub(crate) fn actions(self, tables: &Tables) -> &Actions {
        match self {
            Self::Thread(thread) => &tables.thread(thread).actions,
            Self::Task(task) => &tables.task(task).actions,
        }
    }

    pub(crate) fn actions_mut(self, tables: &mut Tables) -> &mut Actions {
        match self {
            Self::Thread(thread) => &mut tables.thread_mut(thread).actions,
            Self::Task(task) => &mut tables.task_mut(task).actions,
        }
    }
}
