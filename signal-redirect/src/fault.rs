//! The reason why a thread stopped, and the signal that its handler sees: exceptions become signals as in XNU (A12.3 to A12.7).

use mach_sys::darwin::DarwinSignal;
use mach_sys::exception::ExceptionType;
use mach_sys::thread_state::Registers;

use crate::error::RedirectError;
use crate::machine::{Native, Rewriter};
use crate::signal_info::SignalInfo;

/// The exception or signal that stopped a thread.
///
/// ```
/// use mach_sys::exception::ExceptionType;
/// use signal_redirect::{DarwinSignal, Fault, Native};
///
/// // The handler sees what it would see on XNU: here SIGSEGV at address 0x18.
/// let fault = Fault::<Native>::new(ExceptionType::BAD_ACCESS, 1, 0x18);
/// // A signal of the caller's choice, with `si_code` and `si_addr`.
/// let interrupt = Fault::<Native>::signal(DarwinSignal::USR1, 0, 0);
/// # let _ = (fault, interrupt);
/// ```
#[doc(alias("siginfo_t", "ux_exception"))]
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Fault<M: Rewriter = Native> {
    cause: Cause,
    exception: Option<M::ExceptionState>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    Exception(ExceptionType, [i64; 2]),
    Signal(SignalInfo),
}

impl<M: Rewriter> Fault<M> {
    /// Creates a fault from an exception, with its code and subcode as received.
    ///
    /// The handler sees the signal and `siginfo_t` that XNU would make of it. One case differs: below the main thread's stack XNU turns
    /// SIGBUS into SIGSEGV (A12.4). A caller that knows the stack uses [`signal`](Self::signal) there.
    pub const fn new(exception_type: ExceptionType, code: i64, subcode: i64) -> Self {
        Self {
            cause: Cause::Exception(exception_type, [code, subcode]),
            exception: None,
        }
    }

    /// Creates a fault with a signal of the caller's choice: for an interrupt, or for an exception that XNU sends no signal for.
    pub const fn signal(signal: DarwinSignal, si_code: i32, si_addr: u64) -> Self {
        Self {
            cause: Cause::Signal(SignalInfo {
                signal,
                code: si_code,
                address: si_addr,
            }),
            exception: None,
        }
    }

    /// Sets the processor's exception state, for the machine context and `si_addr`. By default both are derived from the codes, which do
    /// not say whether a page fault was a write.
    pub const fn exception_state(mut self, state: M::ExceptionState) -> Self {
        self.exception = Some(state);
        self
    }

    /// Replaces the processor's exception state with the one that `look` returns: that of the stopped thread, read with
    /// `thread_get_state`.
    ///
    /// `look` is not called for exceptions of x86_64 whose codes contain the trap's number and error code: all in A12.10 but page faults,
    /// whose codes do not say whether it was a write. For them, and if `look` returns `None` or a state that the kernel has not filled in
    /// (R22), the state is derived from the codes: `int 0x7f` is shown as an undefined instruction.
    ///
    /// A fault made by [`signal`](Self::signal) has no codes. Its state is the one that `look` returns, or zero.
    pub fn look_up(mut self, look: impl FnOnce() -> Option<M::ExceptionState>) -> Self {
        self.exception = match self.cause {
            Cause::Exception(exception_type, codes) if M::codes_tell(exception_type, codes) => None,
            Cause::Exception(exception_type, codes) => {
                look().map(|found| M::looked_up(exception_type, codes, found))
            }
            Cause::Signal(_) => look(),
        };
        self
    }

    /// Returns the exception state for the machine context, and the signal.
    pub(crate) fn describe(
        &self,
        state: &M::State,
    ) -> Result<(M::ExceptionState, SignalInfo), RedirectError> {
        match self.cause {
            Cause::Signal(info) => Ok((self.exception.unwrap_or_default(), info)),
            Cause::Exception(exception_type, codes) => {
                let exception = self
                    .exception
                    .unwrap_or_else(|| M::exception_state(exception_type, codes));
                let info = M::signal(exception_type, codes, &exception, state.pc())
                    .ok_or(RedirectError::NoSignal(exception_type, codes[0]))?;
                Ok((exception, info))
            }
        }
    }
}
