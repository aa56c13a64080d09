//! The faulting code on arm64.
#![allow(unsafe_code)]

use super::probe::{FOUND, GIVEN, SAVED, SHIFT};
use crate::host::context::Context;
use core::arch::global_asm;

/// The registers that are looked at.
pub(super) const NAMES: [&str; 34] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
    "x28", "x29", "x30", "sp", "nzcv", "v0",
];
/// The program counter.
pub(super) const PC: &str = "pc";
/// The register with the address that is read.
pub(super) const ADDRESS: usize = 0;
pub(super) const SP: usize = 31;
pub(super) const FLAGS: usize = 32;
/// The carry flag.
pub(super) const FLAG: u64 = 1 << 29;
/// Bytes below the stack pointer that are used.
const ROOM: usize = 512;

global_asm!(
    ".p2align 4",
    ".globl mach_sys_self_test, mach_sys_self_test_fault, mach_sys_self_test_end",
    ".hidden mach_sys_self_test, mach_sys_self_test_fault, mach_sys_self_test_end",
    ".type mach_sys_self_test, %function",
    "mach_sys_self_test:",
    ".cfi_startproc",
    "hint #34",
    "stp x29, x30, [sp, #-112]!",
    ".cfi_def_cfa_offset 112",
    ".cfi_offset x29, -112",
    ".cfi_offset x30, -104",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    // x18 is the platform's, where it has one: it is put back.
    "str x18, [sp, #96]",
    "mov x9, sp",
    "str x9, [x0, {saved}]",
    "sub sp, sp, {room}",
    ".cfi_def_cfa_offset 112 + {room}",
    // Whether the handler's stack pointer takes effect or not: the probe's address is on top.
    "str x0, [sp]",
    "str x0, [sp, {shift}]",
    "mov x9, sp",
    "str x9, [x0, {given} + 31 * 8]",
    "ldr d0, [x0, {given} + 33 * 8]",
    "ldp x1, x2, [x0, {given} + 1 * 8]",
    "ldp x3, x4, [x0, {given} + 3 * 8]",
    "ldp x5, x6, [x0, {given} + 5 * 8]",
    "ldp x7, x8, [x0, {given} + 7 * 8]",
    "ldp x9, x10, [x0, {given} + 9 * 8]",
    "ldp x11, x12, [x0, {given} + 11 * 8]",
    "ldp x13, x14, [x0, {given} + 13 * 8]",
    "ldp x15, x16, [x0, {given} + 15 * 8]",
    "ldp x17, x18, [x0, {given} + 17 * 8]",
    "ldp x19, x20, [x0, {given} + 19 * 8]",
    "ldp x21, x22, [x0, {given} + 21 * 8]",
    "ldp x23, x24, [x0, {given} + 23 * 8]",
    "ldp x25, x26, [x0, {given} + 25 * 8]",
    "ldp x27, x28, [x0, {given} + 27 * 8]",
    "ldp x29, x30, [x0, {given} + 29 * 8]",
    "ldr x0, [x0, {given} + 0 * 8]",
    // Sets the carry flag.
    "cmp sp, #0",
    "mach_sys_self_test_fault:",
    "ldr x0, [x0]",
    "mach_sys_self_test_end:",
    "str x0, [sp, #8]",
    "ldr x0, [sp]",
    "stp x1, x2, [x0, {found} + 1 * 8]",
    "stp x3, x4, [x0, {found} + 3 * 8]",
    "stp x5, x6, [x0, {found} + 5 * 8]",
    "stp x7, x8, [x0, {found} + 7 * 8]",
    "stp x9, x10, [x0, {found} + 9 * 8]",
    "stp x11, x12, [x0, {found} + 11 * 8]",
    "stp x13, x14, [x0, {found} + 13 * 8]",
    "stp x15, x16, [x0, {found} + 15 * 8]",
    "stp x17, x18, [x0, {found} + 17 * 8]",
    "stp x19, x20, [x0, {found} + 19 * 8]",
    "stp x21, x22, [x0, {found} + 21 * 8]",
    "stp x23, x24, [x0, {found} + 23 * 8]",
    "stp x25, x26, [x0, {found} + 25 * 8]",
    "stp x27, x28, [x0, {found} + 27 * 8]",
    "stp x29, x30, [x0, {found} + 29 * 8]",
    "mov x9, sp",
    "str x9, [x0, {found} + 31 * 8]",
    "mrs x10, nzcv",
    "str x10, [x0, {found} + 32 * 8]",
    "str d0, [x0, {found} + 33 * 8]",
    "ldr x9, [sp, #8]",
    "str x9, [x0, {found} + 0 * 8]",
    "ldr x9, [x0, {saved}]",
    "mov sp, x9",
    ".cfi_def_cfa_offset 112",
    "ldr x18, [sp, #96]",
    "ldp x19, x20, [sp, #16]",
    "ldp x21, x22, [sp, #32]",
    "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]",
    "ldp x27, x28, [sp, #80]",
    "ldp x29, x30, [sp], #112",
    ".cfi_def_cfa_offset 0",
    "ret",
    ".cfi_endproc",
    ".size mach_sys_self_test, . - mach_sys_self_test",
    given = const GIVEN,
    found = const FOUND,
    saved = const SAVED,
    shift = const SHIFT,
    room = const ROOM,
);

/// Returns the registers in a frame.
pub(super) fn registers(context: &Context) -> [u64; NAMES.len()] {
    let state = context.general();
    let mut registers = [0; NAMES.len()];
    registers[..29].copy_from_slice(&state.x);
    registers[29] = state.fp;
    registers[30] = state.lr;
    registers[SP] = state.sp;
    registers[FLAGS] = state.cpsr.into();
    registers[33] = context.float().map_or(0, |float| float.v[0] as u64);
    registers
}

/// Writes the registers and the program counter to a frame; of the flags the one that is looked at.
pub(super) fn set_registers(context: &mut Context, registers: &[u64; NAMES.len()], pc: usize) {
    let mut state = context.general();
    state.x.copy_from_slice(&registers[..29]);
    state.fp = registers[29];
    state.lr = registers[30];
    state.sp = registers[SP];
    state.cpsr = state.cpsr & !(FLAG as u32) | (registers[FLAGS] & FLAG) as u32;
    state.pc = pc as u64;
    context.set_general(&state);
    if let Some(mut float) = context.float() {
        float.v[0] = registers[33].into();
        context.set_float(&float);
    }
}

/// Number of words of a siginfo, which precedes the context.
#[cfg(test)]
const SIGINFO: usize = 128 / 8;

/// Returns the context in the words of a frame that [`make_frame`] made.
#[cfg(test)]
pub(super) fn context_of(frame: &mut [u64]) -> *mut core::ffi::c_void {
    frame[SIGINFO..].as_mut_ptr().cast()
}

/// Writes what a frame has beside the registers: the signal mask, and a record for the vector registers.
#[cfg(test)]
pub(super) fn make_frame(frame: &mut [u64], mask: u64) {
    const FPSIMD: u64 = 0x4650_8001;
    const RECORDS: usize = SIGINFO + 464 / 8;
    const MASK: usize = SIGINFO + 40 / 8;
    frame[RECORDS] = 528 << 32 | FPSIMD;
    frame[MASK] = mask;
}
