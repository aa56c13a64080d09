//! Exception actions: what a thread or task wants done with each type of exception (A0.1).

use crate::ipc::object::Carried;

/// `EXC_TYPES_COUNT`: slot 0 is unused.
pub(crate) const TYPES: usize = 14;

/// One slot. A live or once live port counts one reference here (B1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// The port, as [`Carried::to_word`] has it.
    port: u32,
    /// As given, modifier bits included (B2.9).
    pub(crate) behavior: i32,
    pub(crate) flavor: i32,
}

impl Action {
    pub(crate) const fn new(port: Carried, behavior: i32, flavor: i32) -> Self {
        Self {
            port: port.to_word(),
            behavior,
            flavor,
        }
    }

    pub(crate) const fn port(self) -> Carried {
        Carried::from_word(self.port)
    }
}

/// The slots of one level.
#[derive(Debug)]
pub(crate) struct Actions {
    slots: [Action; TYPES],
    /// Whether anything was ever set: a thread has no slots before (B4.2).
    pub(crate) present: bool,
}

impl Default for Actions {
    fn default() -> Self {
        Self {
            slots: [Action::new(Carried::Null, 0, 0); TYPES],
            present: false,
        }
    }
}

impl Actions {
    /// The slot of an exception type; `None` for a type that has none (A2.2).
    pub(crate) fn get(&self, exception: i32) -> Option<Action> {
        usize::try_from(exception)
            .ok()
            .and_then(|index| self.slots.get(index))
            .copied()
    }

    /// Replaces the slot of a type and returns the old one.
    pub(super) fn replace(&mut self, exception: usize, action: Action) -> Action {
        core::mem::replace(&mut self.slots[exception], action)
    }

    /// All ports, for release at the end of the thread or task.
    pub(crate) fn take_ports(&mut self) -> [Carried; TYPES] {
        let ports = self.slots.map(Action::port);
        *self = Self::default();
        ports
    }
}
