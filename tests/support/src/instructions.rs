//! Instructions that fault, each of the same length, so that one handler can skip any of them.
#![allow(unsafe_code)]

/// The length of each instruction here, in bytes.
pub const LENGTH: u64 = if cfg!(target_arch = "x86_64") { 2 } else { 4 };

/// Executes an undefined instruction. Whatever handles the fault moves the program counter past it.
pub fn undefined() {
    // SAFETY: the instruction changes nothing; the handler continues behind it.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("ud2");
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("udf #0");
    }
}

/// Stores 32 bits at an address that is not writable. Whatever handles the fault moves the program counter past the instruction, or makes
/// the address writable.
pub fn store_to(address: u64) {
    // SAFETY: the store faults; a handler that lets it happen made the memory for it.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("mov [rax], ecx", in("rax") address, in("ecx") 1);
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("str w1, [x0]", in("x0") address, in("w1") 1);
    }
}

/// Executes an undefined instruction with another stack pointer. The thread's own is restored afterwards.
pub fn undefined_with_stack(sp: u64) {
    // SAFETY: the stack pointer is kept in a callee-saved register, which the handler leaves alone, and restored.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "mov r12, rsp",
            "mov rsp, {sp}",
            "ud2",
            "mov rsp, r12",
            sp = in(reg) sp,
            out("r12") _,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "mov x20, sp",
            "mov sp, {sp}",
            "udf #0",
            "mov sp, x20",
            sp = in(reg) sp,
            out("x20") _,
        );
    }
}

/// Moves the context of a signal handler past the instruction.
///
/// # Safety
/// The context is the third argument of a running signal handler, for the fault of an instruction of this module.
#[cfg(target_os = "linux")]
pub unsafe fn skip_undefined(context: *mut libc::c_void) {
    // SAFETY: the caller's promise.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    {
        registers.gregs[libc::REG_RIP as usize] += LENGTH as i64;
    }
    #[cfg(target_arch = "aarch64")]
    {
        registers.pc += LENGTH;
    }
}
