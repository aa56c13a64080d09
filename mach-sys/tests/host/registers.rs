//! Patterns in every register around one undefined instruction, and a server that writes where a redirect would.

use mach_sys::thread_state::{NativeState, Registers};
use port_server::{Fault, Server};

/// Words of general registers, of vector registers, and of the red zone.
#[cfg(target_arch = "x86_64")]
const COUNTS: [usize; 3] = [15, 64, 16];
#[cfg(target_arch = "aarch64")]
const COUNTS: [usize; 3] = [31, 64, 0];

const WORDS: usize = COUNTS[0] + COUNTS[1] + COUNTS[2];

// `f(from, to)`: loads all registers from `from`, executes one undefined instruction, stores them all to `to`.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    // AVX: upper halves too.
    ".globl test_registers_round",
    "test_registers_round:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rsi",
    ".set i, 0",
    ".rept 16",
    "mov rax, [rdi + 632 + 8 * i]",
    "mov [rsp - 8 - 8 * i], rax",
    ".set i, i + 1",
    ".endr",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "vmovdqu ymm\\n, [rdi + 120 + 32 * \\n]",
    ".endr",
    "mov rax, [rdi]",
    "mov rbx, [rdi + 8]",
    "mov rcx, [rdi + 16]",
    "mov rdx, [rdi + 24]",
    "mov rsi, [rdi + 32]",
    "mov rbp, [rdi + 48]",
    ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
    "mov r\\n, [rdi + 56 + 8 * (\\n - 8)]",
    ".endr",
    "mov rdi, [rdi + 40]",
    "ud2",
    "xchg rax, [rsp]",
    "mov [rax + 8], rbx",
    "mov [rax + 16], rcx",
    "mov [rax + 24], rdx",
    "mov [rax + 32], rsi",
    "mov [rax + 40], rdi",
    "mov [rax + 48], rbp",
    ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
    "mov [rax + 56 + 8 * (\\n - 8)], r\\n",
    ".endr",
    "mov rcx, [rsp]",
    "mov [rax], rcx",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "vmovdqu [rax + 120 + 32 * \\n], ymm\\n",
    ".endr",
    ".set i, 0",
    ".rept 16",
    "mov rcx, [rsp - 8 - 8 * i]",
    "mov [rax + 632 + 8 * i], rcx",
    ".set i, i + 1",
    ".endr",
    "vzeroupper",
    "pop rsi",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl test_registers_round",
    "test_registers_round:",
    "stp x29, x30, [sp, #-16]!",
    "stp x27, x28, [sp, #-16]!",
    "stp x25, x26, [sp, #-16]!",
    "stp x23, x24, [sp, #-16]!",
    "stp x21, x22, [sp, #-16]!",
    "stp x19, x20, [sp, #-16]!",
    "stp d8, d9, [sp, #-16]!",
    "stp d10, d11, [sp, #-16]!",
    "stp d12, d13, [sp, #-16]!",
    "stp d14, d15, [sp, #-16]!",
    "stp x1, xzr, [sp, #-16]!",
    "add x2, x0, #248",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
    "ldr q\\n, [x2], #16",
    ".endr",
    ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
    "ldr x\\n, [x0, #(8 * \\n)]",
    ".endr",
    "ldr x0, [x0]",
    "udf #0",
    "str x0, [sp, #8]",
    "ldr x0, [sp]",
    ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
    "str x\\n, [x0, #(8 * \\n)]",
    ".endr",
    "ldr x1, [sp, #8]",
    "str x1, [x0]",
    "add x2, x0, #248",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
    "str q\\n, [x2], #16",
    ".endr",
    "add sp, sp, #16",
    "ldp d14, d15, [sp], #16",
    "ldp d12, d13, [sp], #16",
    "ldp d10, d11, [sp], #16",
    "ldp d8, d9, [sp], #16",
    "ldp x19, x20, [sp], #16",
    "ldp x21, x22, [sp], #16",
    "ldp x23, x24, [sp], #16",
    "ldp x25, x26, [sp], #16",
    "ldp x27, x28, [sp], #16",
    "ldp x29, x30, [sp], #16",
    "ret",
);

unsafe extern "C" {
    fn test_registers_round(from: *const u64, to: *mut u64);
}

/// Faults `rounds` times with other patterns in all registers each time, and asserts that all of them are there afterwards.
pub(crate) fn assert_kept(rounds: usize) {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64 ^ core::ptr::from_ref(&rounds) as u64;
    for round in 0..rounds {
        let mut from = [0_u64; WORDS];
        for word in &mut from {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *word = seed;
        }
        let mut to = [0_u64; WORDS];
        // SAFETY: both arrays have all words; the server skips the instruction.
        unsafe { test_registers_round(from.as_ptr(), to.as_mut_ptr()) };
        for index in 0..WORDS {
            assert_eq!(
                to[index], from[index],
                "round {round}, word {index} of {COUNTS:?}"
            );
        }
    }
}

/// Number of bytes that the server overwrites below the red zone: the kernel's frame, if it is there.
const OVERWRITTEN: usize = 8 * 1024;
const RED_ZONE: usize = 128;

/// Returns a server that counts, overwrites what a redirect may use of the stack, and skips undefined instructions.
pub(crate) fn server() -> Server<usize> {
    Server::start(0, |served, fault: Fault, state: &mut NativeState| {
        assert_eq!(fault.exception, 2, "only undefined instructions here");
        let end = state.sp() as usize - RED_ZONE;
        // SAFETY: below the red zone a stack is free for handlers; the tests' stacks have room for this much.
        unsafe { core::ptr::write_bytes((end - OVERWRITTEN) as *mut u8, 0x66, OVERWRITTEN) };
        crate::faults::skip(fault.exception, state);
        *served += 1;
        true
    })
}
