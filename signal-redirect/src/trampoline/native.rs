//! Handlers of this process, and the process's trampoline.
#![allow(unsafe_code)]

use core::borrow::Borrow;
use core::ffi::c_int;
use core::ops::Deref;

use mach_sys::darwin::{siginfo_t, ucontext_t};

use crate::key::Key;
use crate::machine::Native;

use super::plan::{Code, TrampolinePlan};

#[cfg(target_arch = "aarch64")]
use super::arm64 as code;
#[cfg(target_arch = "x86_64")]
use super::x86_64 as code;

/// The type of a signal handler: three arguments, with Darwin's signal number and structures.
#[doc(alias("sa_sigaction", "sigaction"))]
pub type SignalHandler = unsafe extern "C" fn(c_int, *mut siginfo_t, *mut ucontext_t);

/// A handler that threads may be sent to.
///
/// ```
/// use core::ffi::c_int;
/// use mach_sys::darwin::{siginfo_t, ucontext_t};
/// use signal_redirect::Entry;
///
/// /// Lets the faulting instruction run again.
/// unsafe extern "C" fn retry(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
///
/// // SAFETY: it does nothing, and the thread resumes as it was interrupted.
/// let entry = unsafe { Entry::new(retry) };
/// assert_eq!(entry.address(), retry as usize as u64);
/// ```
///
/// Only [`Entry::new`] creates one, under its contract. An address is not an entry:
///
/// ```compile_fail,E0308
/// # use signal_redirect::{Entry, Key, Redirect, Trampoline};
/// fn to_any_address(address: u64) -> Redirect {
///     Redirect::to(address, Trampoline::native(Key::random()))
/// }
/// ```
///
/// ```compile_fail,E0133
/// # use signal_redirect::{Entry, SignalHandler};
/// fn without_a_promise(handler: SignalHandler) -> Entry {
///     Entry::new(handler)
/// }
/// ```
///
/// ```compile_fail,E0423
/// # use signal_redirect::{Entry, SignalHandler};
/// fn out_of_thin_air(handler: SignalHandler) -> Entry {
///     Entry(handler)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Entry(SignalHandler);

impl Entry {
    /// Creates an entry for a handler.
    ///
    /// # Safety
    /// From here on safe code decides which threads are sent to `handler`, and for which exceptions: every thread that a manager
    /// starts or attaches, with any exception in the manager's mask, any number of times and nested. For each of these
    /// calls the following holds.
    ///
    /// The handler may rely on:
    /// - Its arguments: a Darwin signal number, and pointers to a `siginfo_t` and a `ucontext_t` whose `uc_mcontext` is the address of a
    ///   machine context of `uc_mcsize` bytes. All three structures are valid for reads and writes until it returns, and no longer. The
    ///   tag is in the fourth argument register.
    /// - Its stack: the interrupted one, below the interrupted frame and its red zone; or a stack that the redirect has, if it selects
    ///   that stack ([`Redirect::stack`](crate::Redirect::stack)) or the frame did not fit on the first one
    ///   ([`Redirect::emergency`](crate::Redirect::emergency)). In thread-mgr this is the thread's emergency stack, whose size is a
    ///   setting. The stack is aligned as the calling convention requires. Only [`Redirect::room`](crate::Redirect::room) bytes of it
    ///   are known to be writable.
    /// - Its floating-point environment: that of a new thread (x86_64: control word 0x37f, empty stack, MXCSR 0x1f80; arm64: FPCR and
    ///   FPSR 0), DF and TF clear. On arm64 it is outside streaming mode, with ZA off and TPIDR2_EL0 0. When it returns, the interrupted
    ///   vector registers are restored from the machine context, and those beyond the machine context from the stack.
    ///
    /// The handler must not rely on:
    /// - Anything that the interrupted code was in the middle of. It runs between two arbitrary instructions: locks may be held (the
    ///   allocator's, stdio's, the loader's), data that they protect or that the thread owns may be half changed, any `&mut` may be
    ///   live. It calls only async-signal-safe functions, and accesses only what a signal handler may: its own locals, atomics, memory
    ///   that the interrupted code is known not to use. It may assume less interference only if it first checks for a kind of fault that
    ///   rules it out (by the program counter, by the address).
    /// - The signal mask: none is set, unless the redirect sets one ([`Redirect::block_signals`](crate::Redirect::block_signals)). A
    ///   fault inside the handler sends its thread to the handler again, one frame deeper.
    ///
    /// The handler must not:
    /// - unwind. Rust's `extern "C"` aborts at a panic. A foreign exception, `pthread_exit` and `pthread_cancel` would unwind through
    ///   the trampoline: undefined behaviour;
    /// - end the management of its thread, for example by dropping an `Attached`: the stack it runs on may be given to another
    ///   thread;
    /// - fault with the stack pointer off the emergency stack, if it runs on that stack and uses it afterwards: neither on a stack that
    ///   it has switched to, nor with an invalid stack pointer. The thread may be sent to the top of the emergency stack again, and the
    ///   new frame would overwrite the frames there;
    /// - return with other values in the registers that the calling convention preserves, the stack pointer among them: a handler in
    ///   assembly. The trampoline keeps the addresses of its frame and of the thread's [`Innermost`](crate::Innermost) there, which a
    ///   direct return does not check;
    /// - return with another vector length than it was called with (Linux: `PR_SVE_SET_VL`, `PR_SME_SET_VL`);
    /// - return in the child of a fork, unless it returns directly there ([`Redirect::return_directly`](crate::Redirect::return_directly)). The
    ///   child has no server that handles the return trap, so the trap ends it by a signal;
    /// - change the frame outside the machine context's registers, return more than once from one frame, or run a copy of a frame. The
    ///   seal guards against accidents only, because code that reads the key can forge a frame.
    ///
    /// If the handler returns, the thread resumes with the registers in the machine context, as the handler left them. They must be
    /// those that the thread was interrupted with, or ones with which the interrupted code upholds every invariant, as for
    /// `Exception::set_state` of exc-server. A new program counter must be an instruction that expects these registers and this stack. A
    /// skipped instruction must have no effect that later code relies on: a skipped store leaves memory unchanged, a skipped load its
    /// register, and neither is harmless in compiled code. A return at once from a function that faulted skips the destructors of its
    /// values, so nothing may rely on these.
    ///
    /// If it leaves by a jump (`longjmp`, a throw of the runtime's own), the frames between the target and the interrupted instruction are
    /// skipped without destructors. None of them may own a value that must be dropped, and nothing that outlives the jump may rely on one
    /// (a scoped thread, a pinned value, a borrow of the skipped stack in another thread, a lock guard).
    #[must_use]
    pub const unsafe fn new(handler: SignalHandler) -> Self {
        Self(handler)
    }

    /// Returns the handler's address.
    #[must_use]
    pub fn address(self) -> u64 {
        self.0 as *const () as u64
    }
}

/// This process's trampoline: the code that runs around handlers, and the key that seals its frames.
///
/// It dereferences to its [`TrampolinePlan`], which handles the return trap: [`TrampolinePlan::return_from`].
#[doc(alias("sigreturn", "_sigtramp"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trampoline {
    plan: TrampolinePlan<Native>,
    can_return_directly: bool,
}

impl Trampoline {
    /// Returns this process's trampoline, with `key` to seal its frames.
    ///
    /// Call it at a program's start. On x86_64 the first call queries the processor for its vector registers and for shadow stacks (CPUID).
    /// On arm64 every call queries the system for them and reads the calling thread's vector lengths.
    #[must_use]
    pub fn native(key: Key) -> Self {
        Self {
            plan: TrampolinePlan::at(code::trap(), key).vector_save(code::vector_save()),
            can_return_directly: code::can_return_directly(),
        }
    }

    /// Returns this trampoline with another key, for example one for a single thread.
    #[must_use]
    pub const fn with_key(self, key: Key) -> Self {
        Self {
            plan: self.plan.with_key(key),
            ..self
        }
    }

    /// Returns whether the processor can return from a handler without a trap.
    pub(crate) const fn can_return_directly(self) -> bool {
        self.can_return_directly
    }
}

impl Deref for Trampoline {
    type Target = TrampolinePlan<Native>;

    fn deref(&self) -> &Self::Target {
        &self.plan
    }
}

impl Borrow<TrampolinePlan<Native>> for Trampoline {
    fn borrow(&self) -> &TrampolinePlan<Native> {
        &self.plan
    }
}

impl Code<Native> for Trampoline {}

impl super::plan::sealed::Sealed for Trampoline {}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn native_returns_the_processors_own_registers_on_every_call() {
        use super::*;

        let key = Key::new(1);
        let native = Trampoline::native(key);
        assert_eq!(native, Trampoline::native(key));
        if std::is_x86_feature_detected!("avx") {
            // Legacy area, header, sixteen upper halves.
            assert!(native.save().size() >= 576 + 256);
            assert_ne!(native.save().word() & 4, 0);
        }
    }
}
