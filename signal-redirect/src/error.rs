//! Why a thread was not redirected, or a frame not returned from.

use mach_sys::exception::ExceptionType;

use crate::memory::Unmapped;

/// The thread was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// The address space, or the given stack, ends before the frame does.
    #[error("no room for the frame below {top:#x}")]
    StackFull {
        /// Where the frame would have ended.
        top: u64,
    },
    /// The stack pointer is not on the stack that it was said to be on.
    #[error("the stack pointer {0:#x} is outside the given stack")]
    ForeignStack(u64),
    /// A part of the frame cannot be written.
    #[error("writing the frame")]
    Memory(#[from] Unmapped),
    /// XNU sends no signal for this exception (A12.3), and none was chosen.
    #[error("no signal stands for {0} with code {1:#x}")]
    NoSignal(ExceptionType, i64),
    /// x86_64: the thread runs 32-bit code. Setting a state forces the 64-bit segment (A4.8), so that there is no way back.
    #[error("the thread runs in the 32-bit code segment {0:#x}")]
    CodeSegment(u64),
    /// arm64e: the kernel signed the program counter or the link register; setting them needs the thread's keys (A4.11).
    #[error("the state's pointers are signed, flags {0:#x}")]
    Signed(u32),
}

/// A thread sits on the return trap, but cannot go back from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnError {
    /// What should be a frame was not written by a redirect with this key, at this address, or was changed since.
    #[error("no frame of this process at {0:#x}")]
    Forged(u64),
    /// The frame was returned from before.
    #[error("the frame at {0:#x} was already returned from")]
    Stale(u64),
    /// The redirect said that its handler does not return.
    #[error("the handler entered by the frame at {0:#x} was not to return")]
    NeverReturns(u64),
    /// The handler left registers that the kernel refuses (A4.8: rip and rsp below 0x7ffffffff000).
    #[error("no thread can resume at pc {pc:#x} with sp {sp:#x}")]
    Unresumable {
        /// Program counter.
        pc: u64,
        /// Stack pointer.
        sp: u64,
    },
    /// The frame cannot be read, or not be marked as used.
    #[error("reading the frame")]
    Memory(#[from] Unmapped),
}
