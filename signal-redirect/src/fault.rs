//! Why the thread is redirected, and what its handler is told: exceptions become signals as XNU makes them (A12.3 to A12.7).

use mach_sys::darwin::DarwinSignal;
use mach_sys::exception::ExceptionType;
use mach_sys::thread_state::Registers;

use crate::error::RedirectError;
use crate::machine::{Machine, Native};
use crate::signal_info::SignalInfo;

/// What stopped the thread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault<M: Machine = Native> {
    cause: Cause,
    exception: Option<M::ExceptionState>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    Exception(ExceptionType, [i64; 2]),
    Signal(SignalInfo),
}

impl<M: Machine> Fault<M> {
    /// An exception, with its code and subcode as they came.
    ///
    /// The handler sees the signal and `siginfo_t` that XNU would have made of it; the one thing left out is the turn from
    /// SIGBUS to SIGSEGV below the main thread's stack (A12.4), where a caller that knows the stack uses [`Self::signal`].
    pub const fn new(kind: ExceptionType, code: i64, subcode: i64) -> Self {
        Self {
            cause: Cause::Exception(kind, [code, subcode]),
            exception: None,
        }
    }

    /// A signal of the caller's choice: an interrupt, or an exception that stands for no signal of XNU's.
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

    /// What the processor said, for the machine context and `si_addr`. Without it the codes tell: of a page fault everything
    /// but whether it was a write.
    pub const fn exception_state(mut self, state: M::ExceptionState) -> Self {
        self.exception = Some(state);
        self
    }

    /// The exception state for the machine context, and the signal.
    pub(crate) fn describe(
        &self,
        state: &M::State,
    ) -> Result<(M::ExceptionState, SignalInfo), RedirectError> {
        match self.cause {
            Cause::Signal(info) => Ok((self.exception.unwrap_or_default(), info)),
            Cause::Exception(kind, codes) => {
                let exception = self
                    .exception
                    .unwrap_or_else(|| M::exception_state(kind, codes));
                let info = M::signal(kind, codes, &exception, state.pc())
                    .ok_or(RedirectError::NoSignal(kind, codes[0]))?;
                Ok((exception, info))
            }
        }
    }
}
