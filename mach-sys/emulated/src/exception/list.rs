//! The entries that a get or swap of exception ports returns (B3, B4).

use crate::ipc::copyout;
use crate::ipc::kmsg::Right;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::right;
use crate::ipc::state::Ipc;
use crate::thread::action::Action;
use mach_wire::exception::{Behavior, EXC_TYPES_COUNT, ExceptionMask, ExceptionType};
use mach_wire::machine::Machine;
use mach_wire::thread_state::Flavor;

/// Some types of exceptions with the same action, as handed to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) mask: ExceptionMask,
    pub(crate) port: Name,
    pub(crate) behavior: Behavior,
    pub(crate) flavor: Flavor,
}

/// At most one entry per type.
#[derive(Debug)]
pub(crate) struct List {
    entries: [Listed; EXC_TYPES_COUNT],
    compared: [Right; EXC_TYPES_COUNT],
    count: usize,
    compare: Compare,
}

/// Key by which slots with equal actions are grouped (B3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    /// get: the port that is stored.
    Stored,
    /// swap: the port that an earlier entry returned; one that died after registration returned "dead".
    Returned,
}

impl List {
    pub(crate) fn new(compare: Compare) -> Self {
        let nothing = Listed {
            mask: ExceptionMask::empty(),
            port: Name::NULL,
            behavior: Behavior::new(0),
            flavor: Flavor::new(Machine::NATIVE, 0),
        };
        Self {
            entries: [nothing; EXC_TYPES_COUNT],
            compared: [Right::Null; EXC_TYPES_COUNT],
            count: 0,
            compare,
        }
    }

    pub(crate) fn entries(&self) -> &[Listed] {
        &self.entries[..self.count]
    }

    /// Adds a slot: to an entry with the same action, or as a new one with a send right of its own (B3.5).
    pub(super) fn add(
        &mut self,
        ipc: &mut Ipc<'_, '_>,
        space: SpaceId,
        exception: ExceptionType,
        action: Action,
    ) {
        let same = (0..self.count).find(|&index| {
            let entry = &self.entries[index];
            self.compared[index] == action.port
                && entry.behavior == action.behavior
                && entry.flavor == action.flavor
        });
        if let Some(index) = same {
            self.entries[index].mask |= exception.mask();
            return;
        }
        let live = action.port.port().filter(|port| ipc.port(*port).alive);
        let (returned, name) = match (action.port, live) {
            (Right::Null, _) => (Right::Null, Name::NULL),
            (stored, Some(port)) => {
                let copy = right::copy_send(ipc, port);
                (stored, copyout::copyout(ipc, space, copy))
            }
            (_, None) => (Right::Dead, Name::DEAD),
        };
        let at = self.count;
        self.count += 1;
        self.compared[at] = match self.compare {
            Compare::Stored => action.port,
            Compare::Returned => returned,
        };
        self.entries[at] = Listed {
            mask: exception.mask(),
            port: name,
            behavior: action.behavior,
            flavor: action.flavor,
        };
    }
}
