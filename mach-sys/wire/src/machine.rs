//! The two machines with thread states and codes in this crate.

/// A machine that Darwin runs on. Both are available on every system.
///
/// The enum is exhaustive on purpose: a `match` names both machines, and a third machine would be a breaking change anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// Intel's and AMD's 64-bit machine.
    X86_64,
    /// Apple silicon; arm64e has the same layouts.
    Arm64,
}

impl Machine {
    /// The machine that this crate is compiled for.
    #[cfg(not(target_arch = "aarch64"))]
    pub const NATIVE: Self = Self::X86_64;
    /// The machine that this crate is compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Arm64;
}

impl core::fmt::Display for Machine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}
