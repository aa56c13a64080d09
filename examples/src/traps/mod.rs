//! Instructions that trap, in routines that load every register before and store every register after.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

pub use machine::Registers;

use core::fmt;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A load from a page that is not mapped. The handler supplies the value and skips the load.
    ReadUnmapped,
    /// A store to a page that is not mapped. The handler changes the address register, and the store is done again.
    WriteUnmapped,
    /// A store to a guarded page. The handler opens the page, and the store is done again.
    WriteGuarded,
    /// An integer division by zero. The handler changes the divisor, and the division is done again. arm64 has no such trap.
    Divide,
    /// An instruction that there is not. The handler skips it.
    Illegal,
    /// A breakpoint instruction.
    Breakpoint,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ReadUnmapped,
        Self::WriteUnmapped,
        Self::WriteGuarded,
        Self::Divide,
        Self::Illegal,
        Self::Breakpoint,
    ];

    /// Returns whether this machine traps there.
    #[must_use]
    pub const fn traps(self) -> bool {
        !(cfg!(target_arch = "aarch64") && matches!(self, Self::Divide))
    }

    /// Returns the name to print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadUnmapped => "read of an unmapped page",
            Self::WriteUnmapped => "write to an unmapped page",
            Self::WriteGuarded => "write to a guarded page",
            Self::Divide => "integer division by zero",
            Self::Illegal => "illegal instruction",
            Self::Breakpoint => "breakpoint",
        }
    }

    /// Runs the instruction with these registers, and returns those after it. The faulting instruction's address is
    /// [`pc`](Self::pc).
    ///
    /// # Safety
    /// A handler handles the fault as the kind says; the registers make the instruction touch only memory that is the caller's.
    #[must_use]
    pub unsafe fn run(self, registers: &Registers) -> Registers {
        // SAFETY: the caller's promise.
        unsafe { machine::run(self, registers) }
    }

    /// Returns the address of its instruction.
    #[must_use]
    pub fn pc(self) -> u64 {
        machine::pc(self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
