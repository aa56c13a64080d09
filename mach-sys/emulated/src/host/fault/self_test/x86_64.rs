//! The faulting code on x86_64.
#![allow(unsafe_code)]

use super::probe::{FOUND, GIVEN, SAVED, SHIFT};
use crate::host::context::Context;
use core::arch::global_asm;

/// The registers that are looked at.
pub(super) const NAMES: [&str; 18] = [
    "rax", "rbx", "rcx", "rdx", "rdi", "rsi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "rsp", "rflags", "xmm0",
];
/// The program counter.
pub(super) const PC: &str = "rip";
/// The register with the address that is read.
pub(super) const ADDRESS: usize = 0;
pub(super) const SP: usize = 15;
pub(super) const FLAGS: usize = 16;
/// The carry flag.
pub(super) const FLAG: u64 = 1;
/// Bytes below the stack pointer that are used.
const ROOM: usize = 512;

global_asm!(
    ".p2align 4",
    ".globl mach_sys_self_test, mach_sys_self_test_fault, mach_sys_self_test_end",
    ".hidden mach_sys_self_test, mach_sys_self_test_fault, mach_sys_self_test_end",
    ".type mach_sys_self_test, @function",
    "mach_sys_self_test:",
    ".cfi_startproc",
    "endbr64",
    "push rbx",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset rbx, -16",
    "push rbp",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset rbp, -24",
    "push r12",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset r12, -32",
    "push r13",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset r13, -40",
    "push r14",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset r14, -48",
    "push r15",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset r15, -56",
    "mov [rdi + {saved}], rsp",
    "sub rsp, {room}",
    ".cfi_adjust_cfa_offset {room}",
    // Whether the handler's stack pointer takes effect or not: the probe's address is on top.
    "mov [rsp], rdi",
    "mov [rsp + {shift}], rdi",
    "mov [rdi + {given} + 15 * 8], rsp",
    "movq xmm0, [rdi + {given} + 17 * 8]",
    "mov rax, [rdi + {given} + 0 * 8]",
    "mov rbx, [rdi + {given} + 1 * 8]",
    "mov rcx, [rdi + {given} + 2 * 8]",
    "mov rdx, [rdi + {given} + 3 * 8]",
    "mov rsi, [rdi + {given} + 5 * 8]",
    "mov rbp, [rdi + {given} + 6 * 8]",
    "mov r8, [rdi + {given} + 7 * 8]",
    "mov r9, [rdi + {given} + 8 * 8]",
    "mov r10, [rdi + {given} + 9 * 8]",
    "mov r11, [rdi + {given} + 10 * 8]",
    "mov r12, [rdi + {given} + 11 * 8]",
    "mov r13, [rdi + {given} + 12 * 8]",
    "mov r14, [rdi + {given} + 13 * 8]",
    "mov r15, [rdi + {given} + 14 * 8]",
    "mov rdi, [rdi + {given} + 4 * 8]",
    "stc",
    "mach_sys_self_test_fault:",
    "mov rax, [rax]",
    "mach_sys_self_test_end:",
    "pushfq",
    "push rax",
    "mov rax, [rsp + 16]",
    "mov [rax + {found} + 1 * 8], rbx",
    "mov [rax + {found} + 2 * 8], rcx",
    "mov [rax + {found} + 3 * 8], rdx",
    "mov [rax + {found} + 4 * 8], rdi",
    "mov [rax + {found} + 5 * 8], rsi",
    "mov [rax + {found} + 6 * 8], rbp",
    "mov [rax + {found} + 7 * 8], r8",
    "mov [rax + {found} + 8 * 8], r9",
    "mov [rax + {found} + 9 * 8], r10",
    "mov [rax + {found} + 10 * 8], r11",
    "mov [rax + {found} + 11 * 8], r12",
    "mov [rax + {found} + 12 * 8], r13",
    "mov [rax + {found} + 13 * 8], r14",
    "mov [rax + {found} + 14 * 8], r15",
    "pop rcx",
    "mov [rax + {found} + 0 * 8], rcx",
    "pop rcx",
    "mov [rax + {found} + 16 * 8], rcx",
    "mov [rax + {found} + 15 * 8], rsp",
    "movq [rax + {found} + 17 * 8], xmm0",
    "mov rsp, [rax + {saved}]",
    ".cfi_def_cfa rsp, 56",
    "pop r15",
    ".cfi_adjust_cfa_offset -8",
    "pop r14",
    ".cfi_adjust_cfa_offset -8",
    "pop r13",
    ".cfi_adjust_cfa_offset -8",
    "pop r12",
    ".cfi_adjust_cfa_offset -8",
    "pop rbp",
    ".cfi_adjust_cfa_offset -8",
    "pop rbx",
    ".cfi_adjust_cfa_offset -8",
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
    let vector = context.float().map_or(0, |float| {
        let [low @ .., _, _, _, _, _, _, _, _] = float.fpu_xmm[0].xmm_reg;
        u64::from_le_bytes(low)
    });
    [
        state.rax,
        state.rbx,
        state.rcx,
        state.rdx,
        state.rdi,
        state.rsi,
        state.rbp,
        state.r8,
        state.r9,
        state.r10,
        state.r11,
        state.r12,
        state.r13,
        state.r14,
        state.r15,
        state.rsp,
        state.rflags,
        vector,
    ]
}

/// Writes the registers and the program counter to a frame; of the flags the one that is looked at.
pub(super) fn set_registers(context: &mut Context, registers: &[u64; NAMES.len()], pc: usize) {
    let mut state = context.general();
    [
        state.rax,
        state.rbx,
        state.rcx,
        state.rdx,
        state.rdi,
        state.rsi,
        state.rbp,
        state.r8,
        state.r9,
        state.r10,
        state.r11,
        state.r12,
        state.r13,
        state.r14,
        state.r15,
        state.rsp,
        _,
        _,
    ] = *registers;
    state.rflags = state.rflags & !FLAG | registers[FLAGS] & FLAG;
    state.rip = pc as u64;
    context.set_general(&state);
    if let Some(mut float) = context.float() {
        float.fpu_xmm[0].xmm_reg[..8].copy_from_slice(&registers[17].to_le_bytes());
        context.set_float(&float);
    }
}

/// Returns the context in the words of a frame that [`make_frame`] made.
#[cfg(test)]
pub(super) fn context_of(frame: &mut [u64]) -> *mut core::ffi::c_void {
    frame.as_mut_ptr().cast()
}

/// Writes what a frame has beside the registers: the signal mask, and where the image of the vector registers is.
#[cfg(test)]
pub(super) fn make_frame(frame: &mut [u64], mask: u64) {
    const FPSTATE: usize = 224 / 8;
    const MASK: usize = 296 / 8;
    const IMAGE: usize = 512 / 8;
    frame[FPSTATE] = frame[IMAGE..].as_ptr() as u64;
    frame[MASK] = mask;
}
