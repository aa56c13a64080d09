//! The rules that differ from one macOS to the next (kernel-semantics F, F5, F6).

/// A macOS whose kernel is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Generation {
    /// macOS 11 (xnu-7195).
    MacOs11,
    /// macOS 15 (xnu-11417).
    MacOs15,
    /// macOS 26 (xnu-12377).
    #[default]
    MacOs26,
}
