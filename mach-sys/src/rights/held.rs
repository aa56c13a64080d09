//! What every right is made of: a name, and the process that it belongs to.

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

    /// Returns whether the calling process is the one that the name belongs to; `false` in the child of a fork, where the name is another
    /// right or none.
    pub(super) fn is_current(&self) -> bool {
        self.origin.is_current()
    }
}
