//! Exception actions: a thread's or task's registration for each exception type (A0.1).

use crate::ipc::kmsg::Right;
use mach_wire::exception::{Behavior, EXC_TYPES_COUNT, ExceptionType};
use mach_wire::thread_state::Flavor;

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// A send right, which the slot owns (B1.3), or none.
    pub(crate) port: Right,
    /// The behavior as registered, modifier bits included (B2.9).
    pub(crate) behavior: Behavior,
    pub(crate) flavor: Flavor,
    /// True if it was adopted (B8.2): of a reply's state arm64 takes less (A4.12).
    pub(crate) hardened: bool,
}

impl Action {
    /// No handler.
    const NONE: Self = Self {
        port: Right::Null,
        behavior: Behavior::new(0),
        flavor: Flavor::new(mach_wire::machine::Machine::NATIVE, 0),
        hardened: false,
    };
}

/// The slots of one level. Slot 0 is unused.
#[derive(Debug)]
pub(crate) struct Actions {
    slots: [Action; EXC_TYPES_COUNT],
    /// True once anything was set: a thread has no slots before (B4.2).
    pub(crate) present: bool,
}

impl Default for Actions {
    fn default() -> Self {
        Self {
            slots: [Action::NONE; EXC_TYPES_COUNT],
            present: false,
        }
    }
}

impl Actions {
    /// Returns the slot of an exception type; `None` for a type that has none (A2.2).
    pub(crate) fn get(&self, exception: ExceptionType) -> Option<Action> {
        let index = usize::try_from(exception.raw()).ok()?;
        self.slots.get(index).copied()
    }

    /// Replaces the slot of a type and returns the old one; `None` for a type that has none.
    pub(crate) fn replace(&mut self, exception: ExceptionType, action: Action) -> Option<Action> {
        let index = usize::try_from(exception.raw()).ok()?;
        let slot = self.slots.get_mut(index)?;
        Some(core::mem::replace(slot, action))
    }

    /// Takes all rights, for release at the end of the thread or task.
    pub(crate) fn take_ports(&mut self) -> [Right; EXC_TYPES_COUNT] {
        let ports = self.slots.map(|action| action.port);
        *self = Self::default();
        ports
    }
}
