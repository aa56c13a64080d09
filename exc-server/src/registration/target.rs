//! The threads and tasks that exception ports are registered for.

use mach_sys::kern_return::KernError;
use mach_sys::kernel::system;
use mach_sys::rights::{Right, TaskRight, ThreadRight};
use mach_sys::types::mach_port_name_t;

/// A thread or task to register exception ports for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Target<'a> {
    /// One thread: its own exceptions.
    Thread(&'a ThreadRight),
    /// A task: the exceptions of all its threads.
    Task(&'a TaskRight),
}

impl Target<'_> {
    /// Returns the target with a new reference.
    pub(crate) fn to_owned(self) -> Result<Owner, KernError> {
        match self {
            Self::Thread(thread) => thread.try_clone().map(Owner::Thread),
            Self::Task(task) => task.try_clone().map(Owner::Task),
        }
    }
}

/// A target with its own reference, which keeps the name the target's.
#[derive(Debug)]
pub(crate) enum Owner {
    Thread(ThreadRight),
    Task(TaskRight),
}

impl Owner {
    /// Returns whether this is the calling process's task, or the calling thread.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            Self::Thread(thread) => {
                ThreadRight::current().is_ok_and(|current| current.name() == thread.name())
            }
            Self::Task(task) => task.name().raw() == system::task_self(),
        }
    }

    /// Returns the target's identity within this process, which is valid as long as some right owns its name.
    pub(crate) fn key(&self) -> Key {
        Key {
            thread: matches!(self, Self::Thread(_)),
            name: self.raw(),
        }
    }

    /// Returns the target's name.
    pub(crate) fn raw(&self) -> mach_port_name_t {
        match self {
            Self::Thread(thread) => thread.name().raw(),
            Self::Task(task) => task.name().raw(),
        }
    }
}

/// The identity of a target: its name, and whether it is a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    thread: bool,
    name: mach_port_name_t,
}
