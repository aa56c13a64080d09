//! A thread that computes with chosen registers, and with a stack pointer that may be none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory that a spinning thread and the test share. The layout is the loop's.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Spin {
    /// Counts up with each round.
    pub(crate) rounds: AtomicU64,
    /// Ends the loop once it is not 0.
    pub(crate) stop: AtomicU64,
    /// The value of the loop's own register in the last round, a callee-saved one: [`PATTERN`] until it is changed from outside.
    pub(crate) seen: AtomicU64,
}

/// The value in the loop's own register.
pub(crate) const PATTERN: u64 = 0x1122_3344_5566_7788;

impl Spin {
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.stop.store(1, Ordering::SeqCst);
    }

    /// Waits until the loop has gone on.
    pub(crate) fn wait_for_rounds(&self) {
        let before = self.rounds();
        test_support::wait::wait_for("another round", || self.rounds() > before + 1);
    }
}

/// Spins until [`Spin::end`], with the stack pointer `sp`; with its own if that is `None`.
pub(crate) fn run(spin: &Arc<Spin>, sp: Option<usize>) {
    // SAFETY: the loop touches the three words, which live as long, and no stack; it leaves with the stack pointer that it began with.
    unsafe { mach_sys_test_spin(Arc::as_ptr(spin), sp.unwrap_or(0), u64::from(sp.is_some())) };
}

unsafe extern "C" {
    fn mach_sys_test_spin(spin: *const Spin, sp: usize, other: u64);
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl mach_sys_test_spin",
    "mach_sys_test_spin:",
    "push rbx",
    "push rbp",
    "mov rbp, rsp",
    "movabs rbx, 0x1122334455667788",
    "test rdx, rdx",
    "jz 2f",
    "mov rsp, rsi",
    "2:",
    "mov [rdi + 16], rbx",
    "lock inc qword ptr [rdi]",
    "cmp qword ptr [rdi + 8], 0",
    "je 2b",
    "mov rsp, rbp",
    "pop rbp",
    "pop rbx",
    "ret",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl mach_sys_test_spin",
    "mach_sys_test_spin:",
    "stp x29, x30, [sp, #-32]!",
    "str x19, [sp, #16]",
    "mov x29, sp",
    "movz x19, #0x7788",
    "movk x19, #0x5566, lsl #16",
    "movk x19, #0x3344, lsl #32",
    "movk x19, #0x1122, lsl #48",
    "cbz x2, 2f",
    "mov sp, x1",
    "2:",
    "str x19, [x0, #16]",
    "3:",
    "ldaxr x3, [x0]",
    "add x3, x3, #1",
    "stlxr w4, x3, [x0]",
    "cbnz w4, 3b",
    "ldr x3, [x0, #8]",
    "cbz x3, 2b",
    "mov sp, x29",
    "ldr x19, [sp, #16]",
    "ldp x29, x30, [sp], #32",
    "ret",
);
