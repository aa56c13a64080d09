//! Registration: set, get and swap of exception actions (B1–B4).

use super::action::{Action, Actions, TYPES};
use crate::ipc::copyin::Dead;
use crate::ipc::mach::{Locked, TaskId};
use crate::ipc::object::{Carried, Kind};
use crate::thread::state;
use mach_wire::exception::{
    EXC_MASK_VALID, EXCEPTION_IDENTITY_PROTECTED, EXCEPTION_STATE_IDENTITY_PROTECTED,
    MACH_EXCEPTION_BACKTRACE_PREFERRED, MACH_EXCEPTION_CODES, MACH_EXCEPTION_ERRORS,
};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::MACH_MSG_TYPE_COPY_SEND;
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};

/// The modifier bits of a behavior (A2.5).
pub(crate) const MODIFIERS: u32 =
    (MACH_EXCEPTION_CODES | MACH_EXCEPTION_ERRORS | MACH_EXCEPTION_BACKTRACE_PREFERRED) as u32;

/// Whose slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Thread(u32),
    Task(TaskId),
}

/// What a caller registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    pub(crate) mask: u32,
    pub(crate) port: mach_port_name_t,
    pub(crate) behavior: i32,
    pub(crate) flavor: i32,
}

/// Some types of exceptions with the same action, as handed to the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) mask: u32,
    pub(crate) port: mach_port_name_t,
    pub(crate) behavior: i32,
    pub(crate) flavor: i32,
}

/// What a swap or get returns: at most one entry per type.
#[derive(Debug, Default)]
pub(crate) struct List {
    entries: [Listed; TYPES],
    stored: [u32; TYPES],
    returned: [u32; TYPES],
    count: usize,
}

impl List {
    pub(crate) fn entries(&self) -> &[Listed] {
        &self.entries[..self.count]
    }
}

/// How slots with equal actions find together (B3.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    /// get: by the port that is stored.
    Stored,
    /// swap: by the port that an earlier entry returned; one that died after registration returned "dead".
    Returned,
}

impl Locked<'_> {
    /// The thread or task behind a name, as the target of a registration (B1.2).
    pub(crate) fn level(
        &mut self,
        task: TaskId,
        name: mach_port_name_t,
        kind: Kind,
    ) -> Result<Level, KernReturn> {
        if name == MACH_PORT_NULL || name == MACH_PORT_DEAD {
            return Err(KernReturn::SEND_INVALID_DEST);
        }
        let (found, object) = self.kernel_object(task, name)?;
        if found != kind {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        let object = self.object(object);
        Ok(match kind {
            Kind::Thread => Level::Thread(object.owner),
            _ => Level::Task(object.task),
        })
    }

    pub(crate) fn actions(&self, level: Level) -> &Actions {
        match level {
            Level::Thread(thread) => &self.state.threads[thread].actions,
            Level::Task(task) => &self.task(task).actions,
        }
    }

    fn actions_mut(&mut self, level: Level) -> &mut Actions {
        match level {
            Level::Thread(thread) => &mut self.state.threads[thread].actions,
            Level::Task(task) => &mut self.task_mut(task).actions,
        }
    }

    /// `{thread,task}_set_exception_ports` (B3.1). `caller` is the task whose names are meant.
    pub(crate) fn set_exception_ports(
        &mut self,
        caller: TaskId,
        level: Level,
        registration: Registration,
    ) -> Result<(), KernReturn> {
        let port = self.registered_port(caller, registration)?;
        self.replace_actions(level, registration, port, |_, _, _| {});
        Ok(())
    }

    /// `{thread,task}_swap_exception_ports` (B3.2).
    pub(crate) fn swap_exception_ports(
        &mut self,
        caller: TaskId,
        level: Level,
        registration: Registration,
    ) -> Result<List, KernReturn> {
        let port = self.registered_port(caller, registration)?;
        let mut list = List::default();
        self.replace_actions(level, registration, port, |kernel, exception, old| {
            kernel.list_action(caller, &mut list, exception, old, Compare::Returned);
        });
        Ok(list)
    }

    /// `{thread,task}_get_exception_ports` (B4).
    pub(crate) fn get_exception_ports(
        &mut self,
        caller: TaskId,
        level: Level,
        mask: u32,
    ) -> Result<List, KernReturn> {
        if mask & !EXC_MASK_VALID != 0 {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        let mut list = List::default();
        let per_thread = matches!(level, Level::Thread(_));
        if per_thread && !self.actions(level).present {
            return Ok(list);
        }
        for exception in types_in(mask) {
            if let Some(action) = self.actions(level).get(exception as i32) {
                self.list_action(caller, &mut list, exception, action, Compare::Stored);
            }
        }
        Ok(list)
    }

    /// Takes the port of a registration from the caller's name (B1.1), then validates in the order of B2.
    fn registered_port(
        &mut self,
        caller: TaskId,
        registration: Registration,
    ) -> Result<Carried, KernReturn> {
        let port = match registration.port {
            MACH_PORT_NULL => Carried::Null,
            MACH_PORT_DEAD => Carried::Dead,
            name => self
                .copyin(caller, name, MACH_MSG_TYPE_COPY_SEND, Dead::Accepted)
                .map_err(|_| KernReturn::SEND_INVALID_RIGHT)?,
        };
        let validated = self.validate(registration, port);
        if let (Err(_), Carried::Object(object)) = (validated, port) {
            self.release_object(object);
        }
        validated.map(|()| port)
    }

    fn validate(&self, registration: Registration, port: Carried) -> Result<(), KernReturn> {
        // B2.1
        if registration.mask & !EXC_MASK_VALID != 0 {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        let behavior = (registration.behavior as u32 & !MODIFIERS) as i32;
        if let Carried::Object(object) = port {
            // B2.2
            if !(1..=EXCEPTION_STATE_IDENTITY_PROTECTED).contains(&behavior) {
                return Err(KernReturn::INVALID_ARGUMENT);
            }
            // B2.3, macOS 26: only ordinary ports.
            if self.object(object).kind != Kind::Port {
                return Err(KernReturn::INVALID_RIGHT);
            }
        }
        // B2.4
        if registration.flavor != 0 && !state::is_registrable(registration.flavor) {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        // B2.5
        let wide = registration.behavior & MACH_EXCEPTION_CODES != 0;
        let needs_wide = behavior == EXCEPTION_IDENTITY_PROTECTED
            || registration.behavior & MACH_EXCEPTION_BACKTRACE_PREFERRED != 0;
        if needs_wide && !wide {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        Ok(())
    }

    /// Replaces the slots of the mask; `old` sees each action before its port is released (B1.4). Uses up the reference on
    /// `port`.
    fn replace_actions(
        &mut self,
        level: Level,
        registration: Registration,
        port: Carried,
        mut old: impl FnMut(&mut Self, usize, Action),
    ) {
        self.actions_mut(level).present = true;
        let action = Action::new(port, registration.behavior, registration.flavor);
        for exception in types_in(registration.mask) {
            if let Carried::Object(object) = port {
                self.retain(object);
            }
            let replaced = self.actions_mut(level).replace(exception, action);
            old(self, exception, replaced);
            if let Carried::Object(object) = replaced.port() {
                self.release_object(object);
            }
        }
        if let Carried::Object(object) = port {
            self.release_object(object);
        }
    }

    /// Adds a slot to what is returned: to an entry with the same action, or as a new one with a send right of its own (B3.5).
    fn list_action(
        &mut self,
        caller: TaskId,
        list: &mut List,
        exception: usize,
        action: Action,
        compare: Compare,
    ) {
        let stored = action.port().to_word();
        let known = match compare {
            Compare::Stored => &list.stored,
            Compare::Returned => &list.returned,
        };
        let same = (0..list.count).find(|&index| {
            let entry = &list.entries[index];
            known[index] == stored
                && entry.behavior == action.behavior
                && entry.flavor == action.flavor
        });
        if let Some(index) = same {
            list.entries[index].mask |= 1 << exception;
            return;
        }
        let (returned, name) = match action.port() {
            Carried::Null => (Carried::Null, MACH_PORT_NULL),
            Carried::Object(object) if self.object(object).alive => (
                action.port(),
                self.name_send_right(caller, object)
                    .unwrap_or(MACH_PORT_NULL),
            ),
            _ => (Carried::Dead, MACH_PORT_DEAD),
        };
        let at = list.count;
        list.count += 1;
        list.stored[at] = stored;
        list.returned[at] = returned.to_word();
        list.entries[at] = Listed {
            mask: 1 << exception,
            port: name,
            behavior: action.behavior,
            flavor: action.flavor,
        };
    }
}

/// The exception types of a mask, ascending.
fn types_in(mask: u32) -> impl Iterator<Item = usize> {
    (1..TYPES).filter(move |exception| mask & 1 << exception != 0)
}
