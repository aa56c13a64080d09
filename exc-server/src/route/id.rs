//! The identity of a route, which its port's context carries.

/// Which route, of which generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteId {
    pub(crate) index: u32,
    pub(super) generation: u32,
}

impl RouteId {
    /// As a port's context.
    pub(crate) const fn to_context(self) -> u64 {
        (self.index as u64) << 32 | self.generation as u64
    }

    pub(crate) const fn from_context(context: u64) -> Self {
        Self {
            index: (context >> 32) as u32,
            generation: context as u32,
        }
    }

    pub(super) const fn is_open(self) -> bool {
        self.generation % 2 == 1
    }
}
