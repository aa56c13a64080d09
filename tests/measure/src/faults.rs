//! The faults that are timed, and the way on behind them.
#![allow(unsafe_code)]

use mach_sys::exception::ExceptionMask;
use mach_sys::thread_state::{NativeState, Registers};

/// Bytes of each instruction here.
pub const LENGTH: u64 = if cfg!(target_arch = "x86_64") { 2 } else { 4 };

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

/// Executes an undefined instruction.
#[cfg(target_arch = "x86_64")]
pub fn undefined() {
    // SAFETY: the instruction has no effect, and whatever handles its fault skips it.
    unsafe { core::arch::asm!("ud2") };
}

/// Executes an undefined instruction.
#[cfg(target_arch = "aarch64")]
pub fn undefined() {
    // SAFETY: the instruction has no effect, and whatever handles its fault skips it.
    unsafe { core::arch::asm!("udf #0") };
}

/// Stores to address 0x18, where no page is.
#[cfg(target_arch = "x86_64")]
fn store() {
    // SAFETY: nothing is stored, and whatever handles the fault skips the instruction.
    unsafe { core::arch::asm!("mov [rax], ecx", in("rax") 0x18, in("ecx") 1) };
}

/// Stores to address 0x18, where no page is.
#[cfg(target_arch = "aarch64")]
fn store() {
    // SAFETY: nothing is stored, and whatever handles the fault skips the instruction.
    unsafe { core::arch::asm!("str w1, [x0]", in("x0") 0x18, in("w1") 1) };
}

/// Moves a stopped thread behind its instruction.
pub fn skip(state: &mut NativeState) {
    state.set_pc(state.pc() + LENGTH);
}
