//! The call on x86_64, both System V's convention: rdi argument, rsi body, rdx where to note the stack pointer.

use core::arch::global_asm;

// Both spellings: Mach-O puts an underscore before C names, ELF does not.
global_asm!(
    ".p2align 4",
    ".globl thread_mgr_call, _thread_mgr_call, thread_mgr_return, _thread_mgr_return",
    "thread_mgr_call:",
    "_thread_mgr_call:",
    "endbr64",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    // The rounding modes are the callee's to preserve as well.
    "stmxcsr [rsp]",
    "fnstcw [rsp + 4]",
    "mov [rdx], rsp",
    "call rsi",
    "2:",
    "ldmxcsr [rsp]",
    "fldcw [rsp + 4]",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".p2align 4",
    "thread_mgr_return:",
    "_thread_mgr_return:",
    "endbr64",
    "mov rsp, rdi",
    "cld",
    "jmp 2b",
);
