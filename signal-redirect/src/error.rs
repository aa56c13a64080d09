//! Errors of redirects and of returns from handlers.

use mach_sys::exception::ExceptionType;

use crate::memory::Unmapped;

/// The error of a thread that could not be redirected. Its registers are unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// The frame does not fit on the given stack, or in the address space below the stack pointer.
    #[error("no room for the frame below {top:#x}")]
    StackFull {
        /// Address at which the frame would have ended.
        top: u64,
    },
    /// The stack pointer is outside the bounds of [`Stack::Within`](crate::Stack::Within).
    #[error("the stack pointer {0:#x} is outside the given stack")]
    ForeignStack(u64),
    /// Memory cannot be accessed: the frame cannot be written, or the stack pointer, `errno` or the return address cannot be read.
    #[error("the thread's memory could not be accessed")]
    Memory(#[from] Unmapped),
    /// XNU sends no signal for this exception (A12.3). Use [`Fault::signal`](crate::Fault::signal) to choose one.
    #[error("XNU sends no signal for {0} with code {1:#x}")]
    NoSignal(ExceptionType, i64),
    /// x86_64: the thread runs 32-bit code. Setting a state forces the 64-bit segment (A4.8), so the thread could not resume.
    #[error("the thread runs in the 32-bit code segment {0:#x}")]
    CodeSegment(u64),
    /// arm64e: the kernel signed the program counter or the link register; setting them needs the thread's keys (A4.11).
    #[error("the state's pointers are signed, flags {0:#x}")]
    Signed(u32),
    /// The kernel would refuse to resume the thread with the interrupted stack pointer (A4.8: rsp must be below 0x7ffffffff000), and
    /// the redirect was planned with [`only_resumable`](crate::Redirect::only_resumable).
    #[error("no thread can resume with the stack pointer {0:#x}")]
    Unresumable(u64),
    /// The thread holds redirects off ([`RedirectMask`](crate::RedirectMask)).
    #[error("the thread holds redirects off")]
    Held,
}

/// The error of a thread that is stopped at the return trap and cannot return to the interrupted code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReturnError {
    /// The header at this address was not written by a redirect with this key, or has changed since.
    #[error("no frame of this process at {0:#x}")]
    Forged(u64),
    /// The handler of this frame has already returned.
    #[error("the handler of the frame at {0:#x} has already returned")]
    Stale(u64),
    /// The redirect was planned with [`Return::Never`](crate::Return::Never).
    #[error("the handler of the frame at {0:#x} was not allowed to return")]
    NeverReturns(u64),
    /// The handler left registers that the kernel refuses (A4.8: rip and rsp must be below 0x7ffffffff000).
    #[error("no thread can resume at pc {pc:#x} with sp {sp:#x}")]
    Unresumable {
        /// Program counter.
        pc: u64,
        /// Stack pointer.
        sp: u64,
    },
    /// arm64: the thread's vectors are longer than the frame has room for, and its handler was not called; or the handler changed their
    /// length. On Linux a thread may choose its own vector length (`PR_SVE_SET_VL`, `PR_SME_SET_VL`); the frame has room for that of
    /// the thread that called [`Trampoline::native`](crate::Trampoline::native).
    #[error("the thread's vectors do not have the length that the frame at {0:#x} was made for")]
    VectorLength(u64),
    /// The frame cannot be read or marked as used, or `errno` cannot be written.
    #[error("the frame could not be read or marked as used, or errno could not be written")]
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

    /// Returns every error with its code and the code that it must have.
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
