//! The system's context as the signal fallback sees it, and the ways out of a handler.

use core::arch::global_asm;
use core::cell::Cell;

/// Changes the interrupted program counter.
///
/// # Safety
/// `uc` is the context that the kernel gave to a handler.
pub(crate) unsafe fn add_to_pc(uc: *mut libc::ucontext_t, length: u64) {
    // SAFETY: the caller's promise.
    let context = unsafe { &mut (*uc).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    {
        context.gregs[libc::REG_RIP as usize] += length as i64;
    }
    #[cfg(target_arch = "aarch64")]
    {
        context.pc += length;
    }
}

/// Returns whether the context's floating-point state follows it, in one piece with it.
///
/// # Safety
/// `uc` is the context that the kernel gave to a handler.
pub(crate) unsafe fn is_in_one_piece(uc: *const libc::ucontext_t) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the caller's promise.
        let state = unsafe { (*uc).uc_mcontext.fpregs } as usize;
        state.wrapping_sub(uc as usize) < 4096
    }
    #[cfg(target_arch = "aarch64")]
    {
        // It is part of the context itself.
        !uc.is_null()
    }
}

// `guard(f, saved)` calls `f` and returns 0; `leap(saved)` makes that call of `guard` return 1.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl test_guard",
    "test_guard:",
    "mov [rsi], rbx",
    "mov [rsi + 8], rbp",
    "mov [rsi + 16], r12",
    "mov [rsi + 24], r13",
    "mov [rsi + 32], r14",
    "mov [rsi + 40], r15",
    "mov [rsi + 48], rsp",
    "sub rsp, 8",
    "call rdi",
    "add rsp, 8",
    "xor eax, eax",
    "ret",
    ".globl test_leap",
    "test_leap:",
    "mov rbx, [rdi]",
    "mov rbp, [rdi + 8]",
    "mov r12, [rdi + 16]",
    "mov r13, [rdi + 24]",
    "mov r14, [rdi + 32]",
    "mov r15, [rdi + 40]",
    "mov rsp, [rdi + 48]",
    "mov eax, 1",
    "ret",
    // One undefined instruction with a stack pointer that is none.
    ".globl test_bad_stack_pointer",
    "test_bad_stack_pointer:",
    "mov rax, rsp",
    "mov esp, 64",
    "ud2",
    "mov rsp, rax",
    "ret",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl test_guard",
    "test_guard:",
    "stp x19, x20, [x1]",
    "stp x21, x22, [x1, #16]",
    "stp x23, x24, [x1, #32]",
    "stp x25, x26, [x1, #48]",
    "stp x27, x28, [x1, #64]",
    "stp x29, x30, [x1, #80]",
    "stp d8, d9, [x1, #96]",
    "stp d10, d11, [x1, #112]",
    "stp d12, d13, [x1, #128]",
    "stp d14, d15, [x1, #144]",
    "mov x2, sp",
    "str x2, [x1, #160]",
    "stp x29, x30, [sp, #-16]!",
    "blr x0",
    "ldp x29, x30, [sp], #16",
    "mov x0, xzr",
    "ret",
    ".globl test_leap",
    "test_leap:",
    "ldp x19, x20, [x0]",
    "ldp x21, x22, [x0, #16]",
    "ldp x23, x24, [x0, #32]",
    "ldp x25, x26, [x0, #48]",
    "ldp x27, x28, [x0, #64]",
    "ldp x29, x30, [x0, #80]",
    "ldp d8, d9, [x0, #96]",
    "ldp d10, d11, [x0, #112]",
    "ldp d12, d13, [x0, #128]",
    "ldp d14, d15, [x0, #144]",
    "ldr x2, [x0, #160]",
    "mov sp, x2",
    "mov x0, #1",
    "ret",
    ".globl test_bad_stack_pointer",
    "test_bad_stack_pointer:",
    "mov x0, sp",
    "mov x1, #64",
    "mov sp, x1",
    "udf #0",
    "mov sp, x0",
    "ret",
);

unsafe extern "C" {
    fn test_guard(f: extern "C" fn(), saved: *const Cell<u64>) -> u64;
    fn test_leap(saved: *const Cell<u64>) -> !;
    fn test_bad_stack_pointer();
}

thread_local! {
    static SAVED: [Cell<u64>; 21] = const { [const { Cell::new(0) }; 21] };
}

/// Calls `f`. Whether [`escape`] was called in it.
pub(crate) fn guarded(f: extern "C" fn()) -> bool {
    SAVED.with(|saved| {
        // SAFETY: `f` has nothing to drop when it is left by a jump; the array has room for all registers.
        unsafe { test_guard(f, saved.as_ptr()) == 1 }
    })
}

/// Leaves the guarded call of this thread.
///
/// # Safety
/// Such a call is under way on this thread, and no frame above it has anything to drop.
pub(crate) unsafe fn escape() -> ! {
    SAVED.with(|saved| {
        // SAFETY: the caller's promise.
        unsafe { test_leap(saved.as_ptr()) }
    })
}

/// Faults with a stack pointer that points nowhere.
pub(crate) fn undefined_with_bad_stack_pointer() {
    // SAFETY: the function restores the stack pointer once the instruction is skipped.
    unsafe { test_bad_stack_pointer() };
}
