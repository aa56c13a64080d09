//! arm64's trampoline.
//!
//! The frame's address is in x19. Vector registers are saved straight into the machine context, and restored from there with
//! the handler's edits.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::mem::offset_of;

use mach_sys::darwin::arm_mcontext64_t;
use mach_sys::thread_state::{arm_neon_state64_t, arm_thread_state64_t};

use crate::frame::{HEADER_SIZE, flag, word};
use crate::vector_save::VectorSave;

use super::plan::ENTRY;

// What the assembly below has as literals.
const HEADER: usize = HEADER_SIZE as usize;
const NEON: usize = HEADER + offset_of!(arm_mcontext64_t, ns);
const _: () = {
    const STATE: usize = HEADER + offset_of!(arm_mcontext64_t, ss);
    assert!(STATE == 128);
    assert!(STATE + offset_of!(arm_thread_state64_t, sp) == 376);
    assert!(STATE + offset_of!(arm_thread_state64_t, pc) == 384);
    assert!(NEON == 400);
};
static_assertions::const_assert!(flag::FLOAT_GIVEN == 1 << 1);
static_assertions::const_assert!(ENTRY == 16);

/// Unwind information: a register's value is in the frame (`DW_CFA_expression`: x19 + offset).
macro_rules! saved {
    ($register:literal, $offset:literal) => {
        concat!(
            ".cfi_escape 0x10, ",
            $register,
            ", 3, 0x83, (",
            $offset,
            " & 127) | 128, ",
            $offset,
            " >> 7"
        )
    };
}

global_asm!(
    // Mach-O's symbols begin with an underscore, ELF's do not: both are there on both.
    ".globl signal_redirect_trap",
    ".globl _signal_redirect_trap",
    ".p2align 4",
    "signal_redirect_trap:",
    "_signal_redirect_trap:",
    // A local name for the jump back: in a shared object the global one would go through a table and the loader.
    "9:",
    ".cfi_startproc simple",
    ".cfi_signal_frame",
    // DWARF's own number for pc, since lr is a register like any other here. A value (`DW_CFA_val_expression`), for libgcc
    // knows no size of this register.
    ".cfi_return_column 32",
    ".cfi_escape 0x16, 32, 4, 0x83, (384 & 127) | 128, 384 >> 7, 0x06",
    // The frame of the caller, which is the interrupted function, begins at the interrupted sp.
    ".cfi_escape 0x0f, 4, 0x83, (376 & 127) | 128, 376 >> 7, 0x06",
    saved!("0", "128"),
    saved!("1", "136"),
    saved!("2", "144"),
    saved!("3", "152"),
    saved!("4", "160"),
    saved!("5", "168"),
    saved!("6", "176"),
    saved!("7", "184"),
    saved!("8", "192"),
    saved!("9", "200"),
    saved!("10", "208"),
    saved!("11", "216"),
    saved!("12", "224"),
    saved!("13", "232"),
    saved!("14", "240"),
    saved!("15", "248"),
    saved!("16", "256"),
    saved!("17", "264"),
    saved!("18", "272"),
    saved!("19", "280"),
    saved!("20", "288"),
    saved!("21", "296"),
    saved!("22", "304"),
    saved!("23", "312"),
    saved!("24", "320"),
    saved!("25", "328"),
    saved!("26", "336"),
    saved!("27", "344"),
    saved!("28", "352"),
    saved!("29", "360"),
    saved!("30", "368"),
    saved!("72", "528"),
    saved!("73", "544"),
    saved!("74", "560"),
    saved!("75", "576"),
    saved!("76", "592"),
    saved!("77", "608"),
    saved!("78", "624"),
    saved!("79", "640"),
    // Undefined for ever; the number is a mark for readers of crash reports. The frame's address is in x19 and sp.
    "udf #0x5254",
    ".p2align 4",
    // The entry. A landing pad for any branch: the kernel keeps the interrupted branch type (A4.9).
    "hint #38",
    "add x10, x19, #{neon}",
    "ldr x9, [x19, #{flags}]",
    "tbnz w9, #1, 2f",
    "stp q0, q1, [x10, #0]",
    "stp q2, q3, [x10, #32]",
    "stp q4, q5, [x10, #64]",
    "stp q6, q7, [x10, #96]",
    "stp q8, q9, [x10, #128]",
    "stp q10, q11, [x10, #160]",
    "stp q12, q13, [x10, #192]",
    "stp q14, q15, [x10, #224]",
    "stp q16, q17, [x10, #256]",
    "stp q18, q19, [x10, #288]",
    "stp q20, q21, [x10, #320]",
    "stp q22, q23, [x10, #352]",
    "stp q24, q25, [x10, #384]",
    "stp q26, q27, [x10, #416]",
    "stp q28, q29, [x10, #448]",
    "stp q30, q31, [x10, #480]",
    "mrs x11, fpsr",
    "mrs x12, fpcr",
    "str w11, [x10, #{fpsr}]",
    "str w12, [x10, #{fpcr}]",
    "2:",
    "msr fpcr, xzr",
    "msr fpsr, xzr",
    "ldr x9, [x19, #{entry}]",
    "blr x9",
    "add x10, x19, #{neon}",
    "ldp q0, q1, [x10, #0]",
    "ldp q2, q3, [x10, #32]",
    "ldp q4, q5, [x10, #64]",
    "ldp q6, q7, [x10, #96]",
    "ldp q8, q9, [x10, #128]",
    "ldp q10, q11, [x10, #160]",
    "ldp q12, q13, [x10, #192]",
    "ldp q14, q15, [x10, #224]",
    "ldp q16, q17, [x10, #256]",
    "ldp q18, q19, [x10, #288]",
    "ldp q20, q21, [x10, #320]",
    "ldp q22, q23, [x10, #352]",
    "ldp q24, q25, [x10, #384]",
    "ldp q26, q27, [x10, #416]",
    "ldp q28, q29, [x10, #448]",
    "ldp q30, q31, [x10, #480]",
    "ldr w11, [x10, #{fpsr}]",
    "ldr w12, [x10, #{fpcr}]",
    "msr fpsr, x11",
    "msr fpcr, x12",
    "mov sp, x19",
    "b 9b",
    ".cfi_endproc",
    flags = const word::FLAGS * 8,
    entry = const word::ENTRY * 8,
    neon = const NEON,
    fpsr = const offset_of!(arm_neon_state64_t, fpsr),
    fpcr = const offset_of!(arm_neon_state64_t, fpcr),
);

unsafe extern "C" {
    fn signal_redirect_trap();
}

/// The address of the return trap.
pub(super) fn trap() -> u64 {
    signal_redirect_trap as *const () as u64
}

/// All vector registers are in the machine context.
pub(super) fn vector_save() -> VectorSave {
    VectorSave::NONE
}
