//! Registrations: those that are wanted, and those that were there before.

use crate::delivery::Delivery;
use alloc::vec::Vec;
use mach_sys::exception::{Behavior, ExceptionMask, ExceptionType};
use mach_sys::rights::{Name, Right, SendRight};
use mach_sys::thread_state::Flavor;
use mach_sys::types::thread_state_flavor_t;

/// A handler that was registered before.
#[derive(Debug)]
#[non_exhaustive]
pub struct PreviousHandler {
    /// The exceptions it was registered for.
    pub mask: ExceptionMask,
    /// Its port; `None` where a slot had a behavior and no port, or one that had died.
    pub port: Option<SendRight>,
    /// Its behavior, modifiers included: it is put back exactly (B2.9).
    pub behavior: Behavior,
    /// Its flavor, as it was registered: it is put back exactly, also where the behavior sends no state. 0 is none.
    pub flavor: Flavor,
}

impl PreviousHandler {
    /// The same with a reference of its own. A port that died meanwhile becomes `None`.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            mask: self.mask,
            port: self.port.as_ref().and_then(|port| port.try_clone().ok()),
            behavior: self.behavior,
            flavor: self.flavor,
        }
    }

    /// What putting it back registers. A port that died meanwhile is left out: a slot without a port behaves the same (A2.3), and
    /// does not name the dead.
    pub(crate) fn registration(&self, mask: ExceptionMask) -> Registration {
        let alive = self.port.as_ref().filter(|port| !port.is_dead());
        Registration {
            mask,
            port: alive.map(Right::name),
            behavior: self.behavior,
            flavor: self.flavor.raw,
        }
    }
}

/// The handlers that were registered before; owns their send rights.
#[derive(Debug)]
#[non_exhaustive]
pub struct Previous {
    handlers: Vec<PreviousHandler>,
    /// The exceptions whose handler's port had died by then.
    dead: ExceptionMask,
}

impl Default for Previous {
    fn default() -> Self {
        Self::new(Vec::new(), ExceptionMask::empty())
    }
}

impl Previous {
    pub(crate) fn new(handlers: Vec<PreviousHandler>, dead: ExceptionMask) -> Self {
        Self { handlers, dead }
    }

    /// Returns what was registered for an exception type, if anything: also a slot without a port.
    pub(crate) fn entry(&self, exception_type: ExceptionType) -> Option<&PreviousHandler> {
        self.handlers
            .iter()
            .find(|handler| handler.mask.has(exception_type))
    }

    /// Returns whether the handler's port had died by the time it was displaced.
    pub(crate) fn was_dead(&self, exception_type: ExceptionType) -> bool {
        self.dead.has(exception_type)
    }

    /// Returns the handler of an exception type, if it has a port.
    #[must_use]
    pub fn handler(&self, exception_type: ExceptionType) -> Option<&PreviousHandler> {
        self.handlers
            .iter()
            .find(|handler| handler.mask.has(exception_type) && handler.port.is_some())
    }

    /// Returns all of them.
    #[must_use]
    pub fn handlers(&self) -> &[PreviousHandler] {
        &self.handlers
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self {
            handlers: self
                .handlers
                .iter()
                .map(PreviousHandler::duplicate)
                .collect(),
            dead: self.dead,
        }
    }
}

/// What slots are to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    pub(crate) mask: ExceptionMask,
    pub(crate) port: Option<Name>,
    pub(crate) behavior: Behavior,
    pub(crate) flavor: thread_state_flavor_t,
}

impl Registration {
    /// A port, with what it is to be sent.
    pub(crate) fn of(mask: ExceptionMask, port: &SendRight, delivery: Delivery) -> Self {
        Self {
            mask,
            port: Some(port.name()),
            behavior: delivery.behavior(),
            flavor: delivery.flavor().map_or(0, |flavor| flavor.raw),
        }
    }

    /// Returns whether it is delivered so.
    pub(crate) fn has_form(&self, behavior: Behavior, flavor: thread_state_flavor_t) -> bool {
        (self.behavior, self.flavor) == (behavior, flavor)
    }

    /// Returns whether the same is registered, for whichever exceptions; without a port, whether both have none.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.port == other.port
            && (self.port.is_none() || self.has_form(other.behavior, other.flavor))
    }

    /// No handler.
    pub(crate) const fn none(mask: ExceptionMask) -> Self {
        Self {
            mask,
            port: None,
            behavior: Behavior::new(0),
            flavor: 0,
        }
    }
}
