//! The machines, and the parts of a redirect that differ between them.

mod arm64;
mod x86_64;

use mach_sys::capabilities::Capabilities;
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::pod::Pod;
use mach_sys::thread_state::Registers;

use crate::error::{RedirectError, ReturnError};
use crate::memory::{Memory, Unmapped};
use crate::signal_info::SignalInfo;
use crate::vector_save::VectorSave;

pub use arm64::Arm64;
#[cfg(target_arch = "aarch64")]
pub(crate) use arm64::TOO_LONG;
pub use x86_64::X86_64;

/// The rewriter of the machine that this crate is compiled for.
#[cfg(not(target_arch = "aarch64"))]
pub type Native = X86_64;
/// The rewriter of the machine that this crate is compiled for.
#[cfg(target_arch = "aarch64")]
pub type Native = Arm64;

/// The rewriter of one machine, [`X86_64`] or [`Arm64`]: the types of its registers, and how a redirect changes them. Both are available on
/// every system; only [`Native`]'s trampoline can run. Sealed.
pub trait Rewriter: sealed::Rewrite + Copy + Eq + core::fmt::Debug + Send + Sync + 'static {
    /// Thread state: the general registers, as exception messages carry them.
    type State: Registers + Default + core::fmt::Debug + PartialEq + Send + Sync;
    /// Exception state: the processor's description of the trap.
    type ExceptionState: Pod + Default + core::fmt::Debug + PartialEq + Send + Sync;
    /// Float state: the vector registers that the machine context shows.
    type FloatState: Pod + Default + core::fmt::Debug + PartialEq + Send + Sync;
    /// The machine context in Darwin's layout. On x86_64 with AVX this is only the start of a longer one; `uc_mcsize` has the size.
    type Context: Pod + Default + core::fmt::Debug + PartialEq;

    /// Bytes below the stack pointer that functions use without moving it.
    const RED_ZONE: u64 = 128;
    /// The exceptions that the return trap raises. A port that serves redirected threads must be registered for them.
    ///
    /// x86_64: `hlt` raises a general protection fault. arm64: `udf` is an undefined instruction; `brk` is left to debuggers.
    const RETURN_MASK: ExceptionMask;

    /// Returns the exceptions that the return trap may raise in a process: [`RETURN_MASK`](Self::RETURN_MASK), and if Rosetta may
    /// translate the process, `BAD_ACCESS` and `BAD_INSTRUCTION`, because the translated trap may raise either. The trap is recognized by
    /// its address, whichever exception it raises.
    #[must_use]
    fn return_mask(capabilities: &Capabilities) -> ExceptionMask {
        if capabilities.may_be_translated() {
            Self::RETURN_MASK | ExceptionMask::BAD_ACCESS | ExceptionMask::BAD_INSTRUCTION
        } else {
            Self::RETURN_MASK
        }
    }
}

pub(crate) mod sealed {
    use super::*;

    /// The functions of a machine that only this crate uses.
    pub trait Rewrite: Sized {
        /// Offset of the vector registers in the machine context, in bytes. They are the last of [`Rewriter::Context`], whose first is
        /// the exception state, and whose second, at [`CONTEXT_STATE`], the thread state.
        const FLOAT_AT: u64;

        /// Returns an error if a thread with this state cannot be redirected and resumed.
        fn check(state: &<Self as Rewriter>::State) -> Result<(), RedirectError>
        where
            Self: Rewriter;

        /// Returns an error if the kernel would refuse this state's stack pointer after the handler has returned.
        fn check_way_back(_: &<Self as Rewriter>::State) -> Result<(), RedirectError>
        where
            Self: Rewriter,
        {
            Ok(())
        }

        /// Returns the part of a state that a handler must not change.
        fn kept(state: &<Self as Rewriter>::State) -> Kept
        where
            Self: Rewriter;

        /// Restores the part of a state that a handler must not change.
        fn restore_kept(state: &mut <Self as Rewriter>::State, kept: Kept)
        where
            Self: Rewriter;

        /// Returns an error if the kernel would refuse this state.
        fn check_resumable(state: &<Self as Rewriter>::State) -> Result<(), ReturnError>
        where
            Self: Rewriter;

        /// Clears the flags that a handler must not inherit, and sets the trampoline's base register to the frame's address. x86_64 sets
        /// another one to the address of the thread's [`Innermost`](crate::Innermost), 0 for none.
        fn enter(state: &mut <Self as Rewriter>::State, frame: u64, innermost: u64)
        where
            Self: Rewriter;

        /// Returns the trampoline's base register, which holds the frame's address.
        fn frame(state: &<Self as Rewriter>::State) -> u64
        where
            Self: Rewriter;

        /// Returns `true` if a thread at the return trap reports that its vector registers did not fit in the frame.
        fn is_too_long(_: &<Self as Rewriter>::State) -> bool
        where
            Self: Rewriter,
        {
            false
        }

        /// Returns the bytes of the machine context: of [`Rewriter::Context`], and of what the trampoline adds to it.
        fn context_size(save: VectorSave) -> u64;

        /// Returns the exception state, as far as it can be derived from the codes.
        fn exception_state(
            exception_type: ExceptionType,
            codes: [i64; 2],
        ) -> <Self as Rewriter>::ExceptionState
        where
            Self: Rewriter;

        /// Returns `true` if the exception state that is derived from these codes is the processor's.
        fn codes_tell(exception_type: ExceptionType, codes: [i64; 2]) -> bool
        where
            Self: Rewriter;

        /// Returns the exception state of a thread that stopped for this exception: `found`, or the one derived from the codes if the
        /// kernel has not filled `found` in (R22).
        fn looked_up(
            exception_type: ExceptionType,
            codes: [i64; 2],
            found: <Self as Rewriter>::ExceptionState,
        ) -> <Self as Rewriter>::ExceptionState
        where
            Self: Rewriter;

        /// Returns the signal that XNU would send, with its code and address; `None` if it sends none.
        fn signal(
            exception_type: ExceptionType,
            codes: [i64; 2],
            exception: &<Self as Rewriter>::ExceptionState,
            pc: u64,
        ) -> Option<SignalInfo>
        where
            Self: Rewriter;

        /// Returns the registers after a call, as if the called function had returned `value` at once.
        fn returned(
            state: &<Self as Rewriter>::State,
            value: u64,
            memory: &impl Memory,
        ) -> Result<<Self as Rewriter>::State, Unmapped>
        where
            Self: Rewriter;

        /// Returns the vector registers of a new thread, which replace registers given as all zero. On x86_64 an MXCSR of 0 would
        /// unmask every exception.
        fn initial_float() -> <Self as Rewriter>::FloatState
        where
            Self: Rewriter;
    }
}

/// The part of a thread state that a handler must not change: system flags and selectors.
pub(crate) type Kept = [u64; 4];

/// Offset of the general registers in the machine context, in bytes, on both machines.
pub(crate) const CONTEXT_STATE: u64 = 16;
