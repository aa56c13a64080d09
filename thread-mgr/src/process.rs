//! Which process a value belongs to: the child of a fork has copies of what the parent has, and none of its ports and threads.

/// The process that a value was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn current() -> Self {
        Self(std::process::id())
    }

    /// Whether this is still that process, and not a child of it.
    pub(crate) fn is_current(self) -> bool {
        self == Self::current()
    }
}
