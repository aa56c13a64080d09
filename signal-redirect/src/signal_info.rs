//! What a handler is told about a fault in its `siginfo_t`.

use mach_sys::darwin::{DarwinSignal, siginfo_t};
use mach_sys::exception::{
    EXC_SOFT_SIGNAL, EXC_UNIX_ABORT, EXC_UNIX_BAD_PIPE, EXC_UNIX_BAD_SYSCALL, ExceptionType,
};

/// The part of `siginfo_t` that a fault fills.
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

/// The generic part of XNU's table (A12.3), for what neither machine treats itself.
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
