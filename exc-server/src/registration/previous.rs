//! Registrations, new and previous.

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
    /// The exception types that it was registered for.
    pub mask: ExceptionMask,
    /// Its port; `None` if the slot had a behavior and no port, or the port had died.
    pub port: Option<SendRight>,
    /// Its behavior, including modifiers. It is put back unchanged (B2.9).
    pub behavior: Behavior,
    /// Its flavor, as it was registered; 0 for none. It is put back unchanged, also if the behavior carries no state.
    pub flavor: Flavor,
}

impl PreviousHandler {
    /// Returns a copy with a new reference on the port. A port that died meanwhile becomes `None`.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            mask: self.mask,
            port: self.port.as_ref().and_then(|port| port.try_clone().ok()),
            behavior: self.behavior,
            flavor: self.flavor,
        }
    }

    /// Returns the registration that puts the handler back for the exception types of `mask`. A port that died meanwhile is left out: a
    /// slot without a port behaves the same (A2.3), and holds no dead name.
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

/// The handlers that were registered before, with their send rights.
#[derive(Debug)]
#[non_exhaustive]
pub struct Previous {
    handlers: Vec<PreviousHandler>,
    /// The exception types whose handler's port had died by then.
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

    /// Returns the entry of an exception type, also one without a port; `None` if nothing was registered.
    pub(crate) fn entry(&self, exception_type: ExceptionType) -> Option<&PreviousHandler> {
        self.handlers
            .iter()
            .find(|handler| handler.mask.has(exception_type))
    }

    /// Returns whether nothing was registered for an exception type: neither a port, living or dead, nor a behavior or flavor.
    pub(crate) fn is_unused(&self, exception_type: ExceptionType) -> bool {
        self.entry(exception_type).is_none_or(|handler| {
            let form = (handler.behavior.raw(), handler.flavor.raw);
            handler.port.is_none() && form == (0, 0) && !self.was_dead(exception_type)
        })
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

    /// Returns all previous handlers, including slots without a port.
    #[must_use]
    pub fn handlers(&self) -> &[PreviousHandler] {
        &self.handlers
    }

    /// Returns a copy with new references on the ports.
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

/// The content of one or more slots of a target's exception ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    pub(crate) mask: ExceptionMask,
    pub(crate) port: Option<Name>,
    pub(crate) behavior: Behavior,
    pub(crate) flavor: thread_state_flavor_t,
}

impl Registration {
    /// Returns the registration of a port with a delivery.
    pub(crate) fn of(mask: ExceptionMask, port: &SendRight, delivery: Delivery) -> Self {
        Self {
            mask,
            port: Some(port.name()),
            behavior: delivery.behavior(),
            flavor: delivery.flavor().map_or(0, |flavor| flavor.raw),
        }
    }

    /// Returns whether it has this behavior and flavor.
    pub(crate) fn has_form(&self, behavior: Behavior, flavor: thread_state_flavor_t) -> bool {
        (self.behavior, self.flavor) == (behavior, flavor)
    }

    /// Returns whether port, behavior and flavor are equal; without a port, whether `other` has none either. Ignores the masks.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.port == other.port
            && (self.port.is_none() || self.has_form(other.behavior, other.flavor))
    }

    /// Returns the registration of no handler.
    pub(crate) const fn none(mask: ExceptionMask) -> Self {
        Self {
            mask,
            port: None,
            behavior: Behavior::new(0),
            flavor: 0,
        }
    }
}
