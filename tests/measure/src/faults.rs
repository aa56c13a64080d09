//! The faults that are timed, and the way on behind them.

use mach_sys::exception::ExceptionMask;
use mach_sys::thread_state::{NativeState, Registers};
use test_support::instructions::store_to;

pub use test_support::instructions::{LENGTH, undefined};

/// A fault: an instruction, and the signal that the host makes of it.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name in the report.
    pub name: &'static str,
    /// The host's signal.
    pub signal: i32,
    /// Executes the instruction. Whatever handles the fault skips it.
    pub take: fn(),
}

/// The faults that are timed.
pub const KINDS: [Kind; 2] = [
    Kind {
        name: if cfg!(target_arch = "x86_64") {
            "ud2"
        } else {
            "udf"
        },
        signal: libc::SIGILL,
        take: undefined,
    },
    Kind {
        name: "page fault",
        signal: libc::SIGSEGV,
        take: store,
    },
];

/// The exceptions that these faults raise.
pub const MASK: ExceptionMask = ExceptionMask::BAD_ACCESS.union(ExceptionMask::BAD_INSTRUCTION);

/// Stores to address 0x18, where no page is.
fn store() {
    store_to(0x18);
}

/// Moves a stopped thread behind its instruction.
pub fn skip(state: &mut NativeState) {
    state.set_pc(state.pc() + LENGTH);
}
