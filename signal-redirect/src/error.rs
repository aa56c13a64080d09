//! Errors of redirects and of returns from handlers.

use mach_sys::exception::ExceptionType;

use crate::memory::Unmapped;

/// A thread could not be redirected. Its registers are unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// The address space, or the given stack, ends before the frame does.
    #[error("no room for the frame below {top:#x}")]
    StackFull {
        /// Address at which the frame would have ended.
        top: u64,
    },
    /// The stack pointer is not on the stack that it was said to be on.
    #[error("the stack pointer {0:#x} is outside the given stack")]
    ForeignStack(u64),
    /// A part of the frame cannot be written.
    #[error("the frame could not be written")]
    Memory(#[from] Unmapped),
    /// XNU sends no signal for this exception (A12.3). Use [`Fault::signal`](crate::Fault::signal) to choose one.
    #[error("no signal stands for {0} with code {1:#x}")]
    NoSignal(ExceptionType, i64),
    /// x86_64: the thread runs 32-bit code. Setting a state forces the 64-bit segment (A4.8), so that there is no way back.
    #[error("the thread runs in the 32-bit code segment {0:#x}")]
    CodeSegment(u64),
    /// arm64e: the kernel signed the program counter or the link register; setting them needs the thread's keys (A4.11).
    #[error("the state's pointers are signed, flags {0:#x}")]
    Signed(u32),
    /// The interrupted stack pointer is none that the kernel lets a thread resume with (A4.8: rsp below 0x7ffffffff000), and the redirect was
    /// planned with [`only_resumable`](crate::Redirect::only_resumable).
    #[error("no thread can come back to the stack pointer {0:#x}")]
    Unresumable(u64),
    /// The thread holds redirects off ([`Mask`](crate::Mask)).
    #[error("the thread holds redirects off")]
    Held,
}

/// A thread is stopped at the return trap and cannot return to the interrupted code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnError {
    /// The header at this address was not written by a redirect with this key, or was changed since.
    #[error("no frame of this process at {0:#x}")]
    Forged(u64),
    /// The handler of this frame has returned before.
    #[error("the handler of the frame at {0:#x} has returned before")]
    Stale(u64),
    /// The redirect was planned with [`Return::Never`](crate::Return::Never).
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
    /// arm64: the vectors of this frame's thread do not have the length that the frame was made for, and its handler was not called; or
    /// the handler changed the length. A thread may choose its own on Linux (`PR_SVE_SET_VL`, `PR_SME_SET_VL`); the frame has room for
    /// that of the thread that called [`Trampoline::native`](crate::Trampoline::native).
    #[error("the thread's vectors do not have the length that the frame at {0:#x} was made for")]
    VectorLength(u64),
    /// The frame cannot be read, or not be marked as used.
    #[error("the frame could not be read or marked as used")]
    Memory(#[from] Unmapped),
}

impl RedirectError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Memory(error) => error.code(),
            Self::StackFull { .. } => 0x5101,
            Self::ForeignStack(_) => 0x5102,
            Self::NoSignal(..) => 0x5103,
            Self::CodeSegment(_) => 0x5104,
            Self::Signed(_) => 0x5105,
            Self::Unresumable(_) => 0x5106,
            Self::Held => 0x5107,
        }
    }
}

impl ReturnError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::Memory(error) => error.code(),
            Self::Forged(_) => 0x5201,
            Self::Stale(_) => 0x5202,
            Self::NeverReturns(_) => 0x5203,
            Self::Unresumable { .. } => 0x5204,
            Self::VectorLength(_) => 0x5205,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::error::Error;

    /// Every error with its code.
    fn all() -> Vec<(Box<dyn Error>, u32, u32)> {
        let unmapped = Unmapped::at(0x123);
        let mut all: Vec<(Box<dyn Error>, u32, u32)> = Vec::new();
        macro_rules! push {
            ($($error:expr => $code:literal,)*) => {
                $({ let error = $error; let code = error.code(); all.push((Box::new(error), code, $code)); })*
            };
        }
        push! {
            unmapped => 0x5001,
            RedirectError::Memory(unmapped) => 0x5001,
            RedirectError::StackFull { top: 0 } => 0x5101,
            RedirectError::ForeignStack(0) => 0x5102,
            RedirectError::NoSignal(ExceptionType::CRASH, 0) => 0x5103,
            RedirectError::CodeSegment(0) => 0x5104,
            RedirectError::Signed(0) => 0x5105,
            RedirectError::Unresumable(0) => 0x5106,
            RedirectError::Held => 0x5107,
            ReturnError::Memory(unmapped) => 0x5001,
            ReturnError::Forged(0) => 0x5201,
            ReturnError::Stale(0) => 0x5202,
            ReturnError::NeverReturns(0) => 0x5203,
            ReturnError::Unresumable { pc: 0, sp: 0 } => 0x5204,
            ReturnError::VectorLength(0) => 0x5205,
        }
        all
    }

    #[test]
    fn codes_never_change() {
        for (error, code, expected) in all() {
            assert_eq!(code, expected, "{error}");
        }
    }

    #[test]
    fn a_cause_is_the_source_and_not_in_the_text() {
        let mut with_cause = 0;
        for (error, ..) in all() {
            let mut error: &dyn Error = &*error;
            while let Some(cause) = error.source() {
                assert!(!error.to_string().contains(&cause.to_string()), "{error}");
                assert!(!error.to_string().contains("0x123"), "{error}");
                error = cause;
                with_cause += 1;
            }
        }
        assert_eq!(with_cause, 2);
    }
}
