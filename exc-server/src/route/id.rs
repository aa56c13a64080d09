//! The identity of a route, stored in its port's context.

/// The identity of a route: the index of its record, and its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteId {
    pub(crate) index: u32,
    pub(super) generation: u32,
}

impl RouteId {
    /// Returns the context of the route's port.
    pub(crate) const fn to_context(self) -> u64 {
        (self.index as u64) << 32 | self.generation as u64
    }

    /// Returns the identity in a port's context.
    pub(crate) const fn from_context(context: u64) -> Self {
        Self {
            index: (context >> 32) as u32,
            generation: context as u32,
        }
    }

    /// Returns whether the generation is that of an open route: open ones are odd.
    pub(super) const fn is_open(self) -> bool {
        self.generation % 2 == 1
    }
}
