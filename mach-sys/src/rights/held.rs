//! What every right is made of: a name, and the process that it belongs to.

use super::label::{self, Label};
use super::name::Name;
use crate::kernel::system::Origin;

/// A name with its origin. Owns nothing by itself.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) name: Name,
    origin: Origin,
}

impl Held {
    /// Notes a name of the calling process.
    pub(super) fn new(name: Name) -> Self {
        Self {
            name,
            origin: Origin::current(),
        }
    }

    /// Notes a name of the calling process that a right type owns from here on, which a census tells.
    pub(super) fn owned(name: Name) -> Self {
        let held = Self::new(name);
        held.label(Label::Owned);
        held
    }

    pub(super) fn label(&self, label: Label) {
        label::set(self.name, self.origin, label);
    }

    /// Gives up what [`owned`](Self::owned) noted.
    pub(super) fn give_up(&self) -> Name {
        label::clear(self.name, self.origin);
        self.name
    }

    /// Returns `true` if the calling process is the one that the name belongs to; `false` in the child of a fork, where the name is another
    /// right or none.
    pub(super) fn is_current(&self) -> bool {
        self.origin.is_current()
    }
}
