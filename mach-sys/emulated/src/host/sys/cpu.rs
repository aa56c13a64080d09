//! The CPU that a thread runs on. The C library's `sched_getcpu` reads thread-local storage, which a thread that has faulted may not have: its
//! segment base or thread pointer may be a guest's, or 0.
#![allow(unsafe_code)]

use super::call::call;

/// Returns the CPU that the calling thread ran on a moment ago; `u32::MAX` if the system does not say.
pub(crate) fn current() -> u32 {
    told_by_the_processor().unwrap_or_else(told_by_the_kernel)
}

/// Reads the CPU's number without the kernel. Linux keeps it in a segment's limit, where its own `getcpu` finds it without a system call.
#[cfg(target_arch = "x86_64")]
fn told_by_the_processor() -> Option<u32> {
    /// The selector of that segment, in the ring of programs (`__CPUNODE_SEG`).
    const SELECTOR: u32 = 15 << 3 | 3;
    /// Bits of the limit that are the CPU's; the node's follow.
    const CPU_BITS: u32 = 12;
    let limit: u32;
    let found: u8;
    // SAFETY: the instruction reads a segment's limit; for a selector that there is not it clears the zero flag and does nothing else.
    unsafe {
        core::arch::asm!(
            "lsl {limit:e}, {selector:e}", "setz {found}",
            selector = in(reg) SELECTOR, limit = inout(reg) 0_u32 => limit, found = out(reg_byte) found,
            options(nomem, nostack)
        );
    }
    (found != 0).then_some(limit & ((1 << CPU_BITS) - 1))
}

#[cfg(target_arch = "aarch64")]
fn told_by_the_processor() -> Option<u32> {
    None
}

fn told_by_the_kernel() -> u32 {
    let mut cpu = u32::MAX;
    // SAFETY: the kernel writes the number to a local variable; the other pointers are null.
    unsafe { call(libc::SYS_getcpu, [(&raw mut cpu) as usize, 0, 0, 0, 0, 0]) };
    cpu
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_and_the_kernel_tell_the_same() {
        // The thread may move between the two.
        let same = (0..1000).any(|_| {
            let told = told_by_the_processor();
            told.is_none_or(|told| told == told_by_the_kernel())
        });
        assert!(same);
        // SAFETY: no arguments.
        let asked = (0..1000).any(|_| unsafe { libc::sched_getcpu() } as u32 == current());
        assert!(asked);
    }
}
