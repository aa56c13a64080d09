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
