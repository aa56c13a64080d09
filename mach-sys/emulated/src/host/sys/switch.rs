//! Calls a function on another stack, which is the thread's alternate signal stack meanwhile.
#![allow(unsafe_code)]

use super::altstack::{self, Stack};
use super::mask::{self, How, SYNCHRONOUS_MASK};
use core::arch::global_asm;

// mach_sys_call_on(argument, stack pointer, function): `function(argument)` with that stack pointer.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".p2align 4",
    ".globl mach_sys_call_on",
    ".hidden mach_sys_call_on",
    ".type mach_sys_call_on, @function",
    "mach_sys_call_on:",
    ".cfi_startproc",
    "endbr64",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov rsp, rsi",
    "call rdx",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    ".cfi_restore rbp",
    "ret",
    ".cfi_endproc",
    ".size mach_sys_call_on, . - mach_sys_call_on",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".p2align 4",
    ".globl mach_sys_call_on",
    ".hidden mach_sys_call_on",
    ".type mach_sys_call_on, %function",
    "mach_sys_call_on:",
    ".cfi_startproc",
    "hint #34",
    "stp x29, x30, [sp, #-16]!",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16",
    ".cfi_offset x30, -8",
    "mov x29, sp",
    ".cfi_def_cfa_register x29",
    "mov sp, x1",
    "blr x2",
    "mov sp, x29",
    "ldp x29, x30, [sp], #16",
    ".cfi_def_cfa sp, 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "ret",
    ".cfi_endproc",
    ".size mach_sys_call_on, . - mach_sys_call_on",
);

unsafe extern "C" {
    fn mach_sys_call_on(
        argument: *mut core::ffi::c_void,
        stack_pointer: usize,
        function: unsafe extern "C" fn(*mut core::ffi::c_void),
    );
}

/// The call that a thread makes on the other stack.
struct Call<'a, F, R> {
    function: Option<F>,
    result: Option<R>,
    stack: &'a Stack,
}

/// Registers the stack that this runs on, and calls the function.
///
/// # Safety
/// The argument is the address of a `Call<F, R>` that nothing else uses, and the five signals are blocked.
unsafe extern "C" fn call<F: FnOnce() -> R, R>(argument: *mut core::ffi::c_void) {
    // SAFETY: the caller's promise.
    let call = unsafe { &mut *argument.cast::<Call<'_, F, R>>() };
    // SAFETY: the stack is free by the promise of `call_on`. A refusal is not possible: the thread does not run on the registered one.
    let _ = unsafe { altstack::register(call.stack) };
    mask::change(How::Unblock, SYNCHRONOUS_MASK);
    call.result = call.function.take().map(|function| function());
    mask::change(How::Block, SYNCHRONOUS_MASK);
}

/// Calls the function on `stack`, which is registered as the thread's alternate signal stack meanwhile; what was registered before is
/// registered again. The five signals that faults raise are blocked around each change, and as `mask` says at the end.
///
/// # Safety
/// The stack is mapped, writable, aligned to 16 bytes at its top, and nothing else uses it. The function does not unwind.
pub(in crate::host) unsafe fn call_on<F: FnOnce() -> R, R>(
    stack: &Stack,
    mask: mask::Mask,
    function: F,
) -> Option<R> {
    let before = altstack::registered();
    let mut made = Call {
        function: Some(function),
        result: None,
        stack,
    };
    mask::change(How::Block, SYNCHRONOUS_MASK);
    // SAFETY: the stack is free by the caller's promise; the function gets the value that belongs to it, which lives across the call.
    unsafe {
        mach_sys_call_on(
            (&raw mut made).cast(),
            stack.base + stack.size,
            call::<F, R>,
        )
    };
    // SAFETY: what was registered before, by its owner. The thread has left the other stack.
    let _ = unsafe { altstack::register(&before) };
    mask::change(How::Set, mask);
    made.result
}
