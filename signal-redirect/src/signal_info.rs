//! The signal, code and address of a fault, for the handler's `siginfo_t`.

use mach_sys::darwin::{DarwinSignal, siginfo_t};
use mach_sys::exception::{
    EXC_SOFT_SIGNAL, EXC_UNIX_ABORT, EXC_UNIX_BAD_PIPE, EXC_UNIX_BAD_SYSCALL, ExceptionType,
};

/// The fields of `siginfo_t` that a fault sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    pub(crate) signal: DarwinSignal,
    pub(crate) code: i32,
    pub(crate) address: u64,
}

impl SignalInfo {
    pub(crate) fn siginfo(self) -> siginfo_t {
        siginfo_t {
            si_signo: self.signal.raw(),
            si_code: self.code,
            si_addr: self.address,
            ..Default::default()
        }
    }
}

/// Returns the signal for an exception that has no code of its own for either machine: the generic part of XNU's table (A12.3).
pub(crate) fn software_signal(exception_type: ExceptionType, code: i64) -> Option<DarwinSignal> {
    Some(match (exception_type, code) {
        (ExceptionType::EMULATION, _) => DarwinSignal::EMT,
        (ExceptionType::SYSCALL, _) => DarwinSignal::SYS,
        (ExceptionType::SOFTWARE, EXC_UNIX_BAD_SYSCALL) => DarwinSignal::SYS,
        (ExceptionType::SOFTWARE, EXC_UNIX_BAD_PIPE) => DarwinSignal::PIPE,
        (ExceptionType::SOFTWARE, EXC_UNIX_ABORT) => DarwinSignal::ABRT,
        (ExceptionType::SOFTWARE, EXC_SOFT_SIGNAL) => DarwinSignal::KILL,
        _ => return None,
    })
}
