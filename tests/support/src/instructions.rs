//! Instructions that fault.
#![allow(unsafe_code)]

/// The length of [`undefined`], in bytes.
pub const UNDEFINED_LENGTH: u64 = if cfg!(target_arch = "x86_64") { 2 } else { 4 };

/// Executes one undefined instruction. Whatever handles its fault moves the program counter behind it.
pub fn undefined() {
    // SAFETY: the instruction changes nothing; the handler continues behind it.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("ud2");
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("udf #0");
    }
}

/// Moves the context of a signal handler behind the undefined instruction.
///
/// # Safety
/// The context is the third argument of a signal handler that runs, for a fault of [`undefined`].
#[cfg(target_os = "linux")]
pub unsafe fn skip_undefined(context: *mut libc::c_void) {
    // SAFETY: the caller's promise.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    {
        registers.gregs[libc::REG_RIP as usize] += UNDEFINED_LENGTH as i64;
    }
    #[cfg(target_arch = "aarch64")]
    {
        registers.pc += UNDEFINED_LENGTH;
    }
}
