//! Instructions that fault, by the length that their handlers skip: 2 bytes on x86_64, 4 on arm64.
#![allow(unsafe_code)]

use mach_sys::darwin::ucontext_t;
use mach_sys::thread_state::{NativeState, Registers};

/// Bytes of each instruction here.
pub const LENGTH: u64 = if cfg!(target_arch = "x86_64") { 2 } else { 4 };

/// An instruction that there is not.
pub fn undefined() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: whoever handles the fault skips it.
    unsafe {
        core::arch::asm!("ud2")
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: whoever handles the fault skips it.
    unsafe {
        core::arch::asm!("udf #0")
    };
}

/// A breakpoint, in the calling function's own code. On x86_64 the thread stops behind it, on arm64 before it.
#[inline(always)]
pub fn breakpoint() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a breakpoint touches nothing.
    unsafe {
        core::arch::asm!("int3")
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a breakpoint touches nothing; whoever handles it skips it.
    unsafe {
        core::arch::asm!("brk #1")
    };
}

/// A store of 32 bits.
pub fn store_to(address: u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: whoever handles the fault skips it.
    unsafe {
        core::arch::asm!("mov [rax], ecx", in("rax") address, in("ecx") 1)
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: whoever handles the fault skips it.
    unsafe {
        core::arch::asm!("str w1, [x0]", in("x0") address, in("w1") 1)
    };
}

/// An undefined instruction with another stack pointer; the thread's own is back afterwards.
pub fn undefined_with_stack(sp: u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the stack pointer is kept in a callee-saved register, which the handler leaves alone, and restored.
    unsafe {
        core::arch::asm!(
            "mov r12, rsp",
            "mov rsp, {sp}",
            "ud2",
            "mov rsp, r12",
            sp = in(reg) sp,
            out("r12") _,
        )
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "mov x20, sp",
            "mov sp, {sp}",
            "udf #0",
            "mov sp, x20",
            sp = in(reg) sp,
            out("x20") _,
        )
    };
}

/// Moves a stopped thread behind its instruction.
pub fn skip(state: &mut NativeState) {
    state.set_pc(state.pc() + LENGTH);
}

/// The general registers in the context that a redirected handler is given.
///
/// # Safety
/// The context is one that a redirect made, and is not used by anybody else while the reference lives.
pub unsafe fn registers<'c>(context: *mut ucontext_t) -> &'c mut NativeState {
    // SAFETY: a redirect made the context, and nothing else uses it (caller's promise).
    unsafe { (*context).registers_mut() }
}
