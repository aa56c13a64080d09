//! What differs between the machines.

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

/// The machine that this is compiled for.
#[cfg(not(target_arch = "aarch64"))]
pub type Native = X86_64;
/// The machine that this is compiled for.
#[cfg(target_arch = "aarch64")]
pub type Native = Arm64;

/// A machine whose threads can be redirected. Both are available on every host; only [`Native`] can be entered. Sealed.
pub trait Machine: sealed::Rewrite + Copy + Eq + core::fmt::Debug + Send + Sync + 'static {
    /// General registers, as they travel in exception messages.
    type State: Registers + Default + core::fmt::Debug + PartialEq + Send + Sync;
    /// The processor's description of the trap.
    type ExceptionState: Pod + Default + core::fmt::Debug + PartialEq + Send + Sync;
    /// The vector registers that the machine context shows.
    type FloatState: Pod + Default + core::fmt::Debug + PartialEq + Send + Sync;
    /// The machine context in Darwin's layout. With AVX, x86_64's is longer than this one, which is its start: `uc_mcsize` tells.
    type Context: Pod + Default + core::fmt::Debug + PartialEq;

    /// Number of bytes below the stack pointer that functions use without moving it.
    const RED_ZONE: u64 = 128;
    /// The exceptions that the return trap raises. A port that serves redirected threads must be registered for them.
    ///
    /// x86_64: `hlt` is a general protection fault. arm64: `udf` is an undefined instruction, and not `brk`, which debuggers want.
    const RETURN_MASK: ExceptionMask;

    /// Returns the exceptions that the return trap may raise in a process: [`RETURN_MASK`](Self::RETURN_MASK), and under Rosetta
    /// `BAD_ACCESS` and `BAD_INSTRUCTION`, since the translated trap may raise either. The trap is recognized by its address, whichever
    /// it raises.
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

    /// The rewriter's part of a machine.
    pub trait Rewrite: Sized {
        /// Refuses a state that no redirect can come back to.
        fn check(state: &<Self as Machine>::State) -> Result<(), RedirectError>
        where
            Self: Machine;

        /// Refuses a state whose stack pointer the kernel would refuse when the handler has returned.
        fn check_way_back(_: &<Self as Machine>::State) -> Result<(), RedirectError>
        where
            Self: Machine,
        {
            Ok(())
        }

        /// The part of a state that is not the handler's to edit.
        fn kept(state: &<Self as Machine>::State) -> Kept
        where
            Self: Machine;

        /// Puts the part that is not the handler's back.
        fn restore_kept(state: &mut <Self as Machine>::State, kept: Kept)
        where
            Self: Machine;

        /// Refuses a state that the kernel refuses.
        fn check_resumable(state: &<Self as Machine>::State) -> Result<(), ReturnError>
        where
            Self: Machine;

        /// Clears the flags that a handler must not inherit, and notes the frame's address in the trampoline's base register.
        fn enter(state: &mut <Self as Machine>::State, frame: u64)
        where
            Self: Machine;

        /// The trampoline's base register.
        fn frame(state: &<Self as Machine>::State) -> u64
        where
            Self: Machine;

        /// Whether a thread at the return trap says that its vector registers were too long to be saved.
        fn is_too_long(_: &<Self as Machine>::State) -> bool
        where
            Self: Machine,
        {
            false
        }

        /// Bytes of the machine context: [`Machine::Context`], and what the trampoline adds to it.
        fn context_size(save: VectorSave) -> u64;

        /// Puts the machine context together.
        fn context(
            exception: <Self as Machine>::ExceptionState,
            state: &<Self as Machine>::State,
            float: &<Self as Machine>::FloatState,
        ) -> <Self as Machine>::Context
        where
            Self: Machine;

        /// The exception state as far as the codes tell it.
        fn exception_state(
            exception_type: ExceptionType,
            codes: [i64; 2],
        ) -> <Self as Machine>::ExceptionState
        where
            Self: Machine;

        /// The processor's exception state of a thread that stopped for this exception; as far as the codes tell it where the host does
        /// not fill it in (R22).
        fn looked_up(
            exception_type: ExceptionType,
            codes: [i64; 2],
            found: <Self as Machine>::ExceptionState,
        ) -> <Self as Machine>::ExceptionState
        where
            Self: Machine;

        /// The signal that XNU would send, with its siginfo; `None` where it sends none.
        fn signal(
            exception_type: ExceptionType,
            codes: [i64; 2],
            exception: &<Self as Machine>::ExceptionState,
            pc: u64,
        ) -> Option<SignalInfo>
        where
            Self: Machine;

        /// A called function's registers, as if it had returned a value at once.
        fn returned(
            state: &<Self as Machine>::State,
            value: u64,
            memory: &impl Memory,
        ) -> Result<<Self as Machine>::State, Unmapped>
        where
            Self: Machine;

        /// What vector registers given as all zero mean: a thread's first ones. On x86_64 an MXCSR of 0 would unmask every
        /// exception.
        fn initial_float() -> <Self as Machine>::FloatState
        where
            Self: Machine;
    }
}

/// What a handler must not change: system flags and selectors.
pub(crate) type Kept = [u64; 4];

/// Offset of the general registers in the machine context, of both machines.
pub(crate) const CONTEXT_STATE: u64 = 16;
