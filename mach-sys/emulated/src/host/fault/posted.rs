//! The signal that a fault becomes which no handler took: the system's own, or the one that XNU would post.
#![allow(unsafe_code)]

use super::arrived::Arrived;
use super::previous::HostAction;
use crate::config::FallbackSignals;
use crate::host::context::classify::Raised;
use crate::host::sys::main_stack;
use core::sync::atomic::{AtomicBool, Ordering};

use mach_wire::exception::{
    EXC_ARITHMETIC, EXC_BAD_ACCESS, EXC_BAD_INSTRUCTION, EXC_BREAKPOINT, EXC_I386_BOUND,
    EXC_I386_GPFLT, EXC_SOFTWARE,
};
use mach_wire::kern_return::{KERN_INVALID_ADDRESS, KERN_PROTECTION_FAILURE};

/// True if XNU's signals are posted. Set once, at the start.
static XNUS: AtomicBool = AtomicBool::new(false);

/// Notes which signals the configuration asks for.
pub(in crate::host) fn configure(signals: FallbackSignals) {
    XNUS.store(signals == FallbackSignals::Xnu, Ordering::Relaxed);
}

/// Returns whether a bad access is an overflow of the main thread's stack (A12.4).
fn is_overflow(code: i64, address: i64) -> bool {
    code == i64::from(KERN_PROTECTION_FAILURE) && main_stack::is_overflow(address as u64)
}

/// Returns whether XNU's signals are posted, and what it does about an action that does not fit an overflow of the main thread's stack: `SIGSEGV` has its
/// default action then, unless its handler has `SA_ONSTACK` (A12.4).
pub(super) fn is_forced(arrived: &Arrived, action: HostAction) -> bool {
    let Some(raised) = arrived.raised.filter(|_| posts_xnus()) else {
        return false;
    };
    let is_fit = matches!(action, HostAction::Handler(handler) if handler.on_alternate_stack);
    !is_fit && raised.exception == EXC_BAD_ACCESS && is_overflow(raised.codes[0], raised.codes[1])
}

/// Returns whether XNU's signals are posted.
pub(super) fn posts_xnus() -> bool {
    XNUS.load(Ordering::Relaxed)
}

/// Returns the signal that XNU posts for an exception (A12.3), `None` for one that raises no signal.
pub(super) fn signal_of(raised: &Raised) -> Option<i32> {
    match (raised.exception, raised.codes[0]) {
        (EXC_BAD_ACCESS, code) if code == i64::from(KERN_INVALID_ADDRESS) => Some(libc::SIGSEGV),
        (EXC_BAD_ACCESS, code) if is_overflow(code, raised.codes[1]) => Some(libc::SIGSEGV),
        (EXC_BAD_ACCESS, EXC_I386_GPFLT) if cfg!(target_arch = "x86_64") => Some(libc::SIGSEGV),
        (EXC_BAD_ACCESS, _) => Some(libc::SIGBUS),
        (EXC_BAD_INSTRUCTION, _) => Some(libc::SIGILL),
        (EXC_ARITHMETIC, _) => Some(libc::SIGFPE),
        (EXC_BREAKPOINT, _) => Some(libc::SIGTRAP),
        (EXC_SOFTWARE, EXC_I386_BOUND) if cfg!(target_arch = "x86_64") => Some(libc::SIGTRAP),
        _ => None,
    }
}

/// Returns the `si_code` of a signal that XNU posts instead of the system's (A12.6, A12.7). Only those of bad accesses can differ, and
/// that of an `int` instruction.
const fn code_of(signal: i32) -> i32 {
    const SEGV_MAPERR: i32 = 1;
    const SEGV_ACCERR: i32 = 2;
    const BUS_ADRALN: i32 = 1;
    const BUS_ADRERR: i32 = 2;
    const TRAP_BRKPT: i32 = 1;
    match (signal, cfg!(target_arch = "aarch64")) {
        (libc::SIGTRAP, _) => TRAP_BRKPT,
        (libc::SIGSEGV, false) => SEGV_MAPERR,
        (libc::SIGSEGV, true) => SEGV_ACCERR,
        (_, false) => BUS_ADRERR,
        (_, true) => BUS_ADRALN,
    }
}

/// Returns the signal to go on with, and changes its siginfo where that is another than the system's. A sent signal stays what it is.
///
/// # Safety
/// The signal's siginfo is the kernel's, in a frame that nothing else looks at now.
pub(super) unsafe fn posted(arrived: &Arrived) -> Arrived {
    let wanted = match posts_xnus() {
        true => arrived.raised.as_ref().and_then(signal_of),
        false => None,
    };
    match wanted {
        Some(signal) if signal != arrived.signal => {
            // SAFETY: the caller's promise.
            unsafe { arrived.become_signal(signal, code_of(signal)) }
        }
        _ => *arrived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_3_every_row_of_an_exception_that_a_fault_raises() {
        const PROTECTION_FAILURE: i64 = 2;
        let on_intel = |intel, arm| match cfg!(target_arch = "x86_64") {
            true => intel,
            false => arm,
        };
        for (exception, code, signal) in [
            (EXC_BAD_ACCESS, 1, Some(libc::SIGSEGV)),
            (EXC_BAD_ACCESS, PROTECTION_FAILURE, Some(libc::SIGBUS)),
            (EXC_BAD_ACCESS, 10, Some(libc::SIGBUS)),
            (
                EXC_BAD_ACCESS,
                13,
                Some(on_intel(libc::SIGSEGV, libc::SIGBUS)),
            ),
            (EXC_BAD_ACCESS, 0x101, Some(libc::SIGBUS)),
            (EXC_BAD_INSTRUCTION, 1, Some(libc::SIGILL)),
            (EXC_ARITHMETIC, 1, Some(libc::SIGFPE)),
            (EXC_BREAKPOINT, 2, Some(libc::SIGTRAP)),
            (5, 1, None),
        ] {
            let raised = Raised {
                exception,
                codes: [code, 0x1000],
            };
            assert_eq!(signal_of(&raised), signal, "{exception} {code:#x}");
        }
    }
}
