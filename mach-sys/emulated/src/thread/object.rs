//! Threads, tasks, and the tables of them.

use super::action::{Action, Actions};
use super::exc_guard::ExcGuard;
use crate::error::ReserveError;
use crate::host::SlotId;
use crate::ipc::arena::Arena;
use crate::ipc::id::{Id, PortId};
use crate::ipc::kobject::{Kobject, KobjectType};
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::port::Port;
use crate::ipc::state::SPACES;
use mach_wire::exception::ExceptionMask;

crate::ipc::id::id! {
    /// Identifies a thread of a kernel.
    ThreadId
}

/// Identifies a task of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskId(u8);

/// The maker of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadKind {
    /// The system: the process's first thread, which is no pthread to the kernel (D3.1).
    Main,
    /// The C library.
    Pthread,
    /// `thread_create`, so that no library knows of it (D1.5).
    Raw,
}

/// One thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) task: TaskId,
    /// Its control port, whose receive right is the thread's.
    pub(crate) port: PortId,
    /// The port on which the kernel waits for replies to the thread's exceptions; its receive right is the thread's. None after an abort
    /// destroyed it, until the next exception (A8.1).
    pub(crate) reply_port: Option<PortId>,
    /// The port on which its thread's code in user space waits for MIG's replies, once it has one (G6.1).
    pub(crate) mig_reply_port: Option<PortId>,
    pub(crate) actions: Actions,
    /// The name that its port had at its beginning, which the C library keeps (D2.12).
    pub(crate) name: Name,
    /// Address of the signal context that holds its registers, while it is suspended; 0 otherwise.
    pub(crate) context: usize,
    /// Address of the signal context of its exception, which holds its registers as long as a reply to the exception is
    /// [waited for](super::run::waits_for_reply). Later it is left over.
    pub(crate) faulting: usize,
    /// The system's thread; none in a kernel without any.
    pub(crate) slot: Option<SlotId>,
    pub(crate) kind: ThreadKind,
    pub(crate) run: Run,
    /// Set by `thread_policy_set`.
    pub(crate) importance: i32,
}

/// Restrictions that other threads put on a thread (A8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Reasons to stop it: the kernel's own for a moment, its suspensions by users (one for all), its task's.
    pub(crate) holds: u32,
    /// Suspensions by users that were not undone (A8.5).
    pub(crate) suspensions: u32,
    /// True once it was terminated (D4).
    pub(crate) terminated: bool,
    /// True if it was aborted since its last exception began (A8.2).
    pub(crate) aborted: bool,
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) space: SpaceId,
    /// Its control port, whose receive right is the task's.
    pub(crate) port: PortId,
    pub(crate) actions: Actions,
    pub(crate) exc_guard: ExcGuard,
    /// The handler that its threads may adopt, once one was registered: with all types, behaviors and flavors that they may ask for, as
    /// bits (B8.1). Its port is a send right that the task owns.
    pub(crate) hardened: Option<(ExceptionMask, Action)>,
}

/// The threads and tasks of one kernel.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) threads: Arena<ThreadId, Thread>,
    /// [`SPACES`] places, apart from the rest: the thread that starts the kernel may have little stack.
    tasks: Box<[Option<Task>]>,
    /// The host port, once it was asked for.
    pub(super) host: Option<PortId>,
    /// The clocks' ports, likewise.
    pub(super) clocks: [Option<PortId>; 2],
}

impl Tables {
    pub(super) fn new(threads: u32) -> Result<Self, ReserveError> {
        Ok(Self {
            threads: Arena::new("the table of threads", threads)?,
            tasks: (0..SPACES).map(|_| None).collect(),
            host: None,
            clocks: [None; 2],
        })
    }

    pub(crate) fn thread(&self, id: ThreadId) -> &Thread {
        &self.threads[id]
    }

    pub(crate) fn thread_mut(&mut self, id: ThreadId) -> &mut Thread {
        &mut self.threads[id]
    }

    /// Returns the place for one more task; `None` when the kernel holds as many as it can.
    pub(super) fn next_task(&self) -> Option<TaskId> {
        let free = self.tasks.iter().position(Option::is_none)?;
        Some(TaskId(free as u8))
    }

    pub(super) fn add_task(&mut self, id: TaskId, task: Task) {
        self.tasks[id.0 as usize] = Some(task);
    }

    /// Returns a task of this kernel.
    ///
    /// # Panics
    /// If it is another kernel's.
    pub(crate) fn task(&self, id: TaskId) -> &Task {
        let task = self.tasks[id.0 as usize].as_ref();
        task.expect("a task of this kernel")
    }

    /// Returns a task of this kernel, as [`task`](Self::task) does.
    pub(crate) fn task_mut(&mut self, id: TaskId) -> &mut Task {
        let task = self.tasks[id.0 as usize].as_mut();
        task.expect("a task of this kernel")
    }
}

impl ThreadId {
    /// Returns the thread behind a control port; `None` if the port is no live thread's.
    pub(crate) fn behind(port: &Port) -> Option<Self> {
        match port.kobject()? {
            Kobject {
                kind: KobjectType::Thread,
                value,
            } => Self::from_word(value),
            _ => None,
        }
    }
}

impl TaskId {
    pub(crate) const fn to_word(self) -> u32 {
        self.0 as u32
    }

    /// Returns the task of a word that [`to_word`](Self::to_word) made.
    pub(crate) const fn of_word(word: u32) -> Self {
        Self(word as u8)
    }

    /// Returns the task behind a control port; `None` if the port is no live task's.
    pub(crate) fn behind(port: &Port) -> Option<Self> {
        match port.kobject()? {
            Kobject {
                kind: KobjectType::Task,
                value,
            } => Some(Self::of_word(value)),
            _ => None,
        }
    }
}
