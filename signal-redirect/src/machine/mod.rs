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

/// The machine that this crate is compiled for.
#[cfg(not(target_arch = "aarch64"))]
pub type Native = X86_64;
/// The machine that this crate is compiled for.
#[cfg(target_arch = "aarch64")]
pub type Native = Arm64;

/// A machine whose threads can be redirected. Both are available on every host; only [`Native`] can be entered. Sealed.
pub trait Machine: sealed::Rewrite + Copy + Eq + core::fmt::Debug + Send + Sync + 'static {
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
        /// Returns an error if a thread with this state cannot be redirected and resumed.
        fn check(state: &<Self as Machine>::State) -> Result<(), RedirectError>
        where
            Self: Machine;

        /// Returns an error if the kernel would refuse this state's stack pointer after the handler has returned.
        fn check_way_back(_: &<Self as Machine>::State) -> Result<(), RedirectError>
        where
            Self: Machine,
        {
            Ok(())
        }

        /// Returns the part of a state that a handler must not change.
        fn kept(state: &<Self as Machine>::State) -> Kept
        where
            Self: Machine;

        /// Restores the part of a state that a handler must not change.
        fn restore_kept(state: &mut <Self as Machine>::State, kept: Kept)
        where
            Self: Machine;

        /// Returns an error if the kernel would refuse this state.
        fn check_resumable(state: &<Self as Machine>::State) -> Result<(), ReturnError>
        where
            Self: Machine;

        /// Clears the flags that a handler must not inherit, and sets the trampoline's base register to the frame's address.
        fn enter(state: &mut <Self as Machine>::State, frame: u64)
        where
            Self: Machine;

        /// Returns the trampoline's base register, which holds the frame's address.
        fn frame(state: &<Self as Machine>::State) -> u64
        where
            Self: Machine;

        /// Returns `true` if a thread at the return trap reports that its vector registers did not fit in the frame.
        fn is_too_long(_: &<Self as Machine>::State) -> bool
        where
            Self: Machine,
        {
            false
        }

        /// Returns the bytes of the machine context: of [`Machine::Context`], and of what the trampoline adds to it.
        fn context_size(save: VectorSave) -> u64;

        /// Returns the machine context with these states.
        fn context(
            exception: <Self as Machine>::ExceptionState,
            state: &<Self as Machine>::State,
            float: &<Self as Machine>::FloatState,
        ) -> <Self as Machine>::Context
        where
            Self: Machine;

        /// Returns the exception state, as far as it can be derived from the codes.
        fn exception_state(
            exception_type: ExceptionType,
            codes: [i64; 2],
        ) -> <Self as Machine>::ExceptionState
        where
            Self: Machine;

        /// Returns the exception state of a thread that stopped for this exception: `found`, or the one derived from the codes if the
        /// kernel has not filled `found` in (R22).
        fn looked_up(
            exception_type: ExceptionType,
            codes: [i64; 2],
            found: <Self as Machine>::ExceptionState,
        ) -> <Self as Machine>::ExceptionState
        where
            Self: Machine;

        /// Returns the signal that XNU would send, with its code and address; `None` if it sends none.
        fn signal(
            exception_type: ExceptionType,
            codes: [i64; 2],
            exception: &<Self as Machine>::ExceptionState,
            pc: u64,
        ) -> Option<SignalInfo>
        where
            Self: Machine;

        /// Returns the registers after a call, as if the called function had returned `value` at once.
        fn returned(
            state: &<Self as Machine>::State,
            value: u64,
            memory: &impl Memory,
        ) -> Result<<Self as Machine>::State, Unmapped>
        where
            Self: Machine;

        /// Returns the vector registers of a new thread, which replace registers given as all zero. On x86_64 an MXCSR of 0 would
        /// unmask every exception.
        fn initial_float() -> <Self as Machine>::FloatState
        where
            Self: Machine;
    }
}

/// The part of a thread state that a handler must not change: system flags and selectors.
pub(crate) type Kept = [u64; 4];

/// Offset of the general registers in the machine context, in bytes, on both machines.
pub(crate) const CONTEXT_STATE: u64 = 16;
