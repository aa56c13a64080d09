//! Copies of user memory that may turn out bad: a fault in the copy routine is recognised by its program counter, before anything
//! else, and makes the routine return.
#![allow(unsafe_code)]

use core::arch::global_asm;
use mach_wire::kern_return::KernReturn;

/// A byte could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyFault {
    /// Nothing is mapped there.
    InvalidAddress,
    /// The mapping does not allow it.
    ProtectionFailure,
}

impl From<CopyFault> for KernReturn {
    fn from(fault: CopyFault) -> Self {
        match fault {
            CopyFault::InvalidAddress => Self::INVALID_ADDRESS,
            CopyFault::ProtectionFailure => Self::PROTECTION_FAILURE,
        }
    }
}

// Between `…_begin` and `…_end` an instruction may fault. The entry then continues at `…_end` with the result register set to
// `hardware << 16 | signal << 8 | low byte of si_code`, which is never 0; `hardware` is the trap number on x86_64, on arm64
// whether the context has the fault's address.
// On x86_64 no string instruction: between addresses of different alignment one takes AMD's Zen 3 a byte's time for each byte.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".p2align 4",
    ".globl mach_sys_probed_copy, mach_sys_probed_touch, mach_sys_probed_copy_begin, mach_sys_probed_copy_end",
    ".hidden mach_sys_probed_copy, mach_sys_probed_touch, mach_sys_probed_copy_begin, mach_sys_probed_copy_end",
    ".type mach_sys_probed_copy, @function",
    ".type mach_sys_probed_touch, @function",
    "mach_sys_probed_touch:",
    ".cfi_startproc",
    "endbr64",
    "xor eax, eax",
    "jmp 1f",
    "mach_sys_probed_copy:",
    "endbr64",
    "xor eax, eax",
    "jmp 2f",
    "mach_sys_probed_copy_begin:",
    "1: lock or byte ptr [rdi], 0",
    "jmp mach_sys_probed_copy_end",
    "2: sub rdx, 16",
    "jb 4f",
    "3: movups xmm0, [rsi]",
    "movups [rdi], xmm0",
    "add rsi, 16",
    "add rdi, 16",
    "sub rdx, 16",
    "jae 3b",
    "4: test dl, 8",
    "jz 5f",
    "mov rcx, [rsi]",
    "mov [rdi], rcx",
    "add rsi, 8",
    "add rdi, 8",
    "5: test dl, 4",
    "jz 6f",
    "mov ecx, [rsi]",
    "mov [rdi], ecx",
    "add rsi, 4",
    "add rdi, 4",
    "6: and edx, 3",
    "jz mach_sys_probed_copy_end",
    "7: mov cl, [rsi]",
    "mov [rdi], cl",
    "inc rsi",
    "inc rdi",
    "dec edx",
    "jnz 7b",
    "mach_sys_probed_copy_end:",
    "ret",
    ".cfi_endproc",
    ".size mach_sys_probed_copy, . - mach_sys_probed_copy",
    ".size mach_sys_probed_touch, . - mach_sys_probed_touch",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".p2align 4",
    ".globl mach_sys_probed_copy, mach_sys_probed_touch, mach_sys_probed_copy_begin, mach_sys_probed_copy_end",
    ".hidden mach_sys_probed_copy, mach_sys_probed_touch, mach_sys_probed_copy_begin, mach_sys_probed_copy_end",
    ".type mach_sys_probed_copy, %function",
    ".type mach_sys_probed_touch, %function",
    "mach_sys_probed_touch:",
    ".cfi_startproc",
    "hint #34",
    "mov x3, x0",
    "mov x0, xzr",
    "b 3f",
    "mach_sys_probed_copy:",
    "hint #34",
    "mov x3, x0",
    "mov x0, xzr",
    "b 1f",
    "mach_sys_probed_copy_begin:",
    "3: ldxrb w4, [x3]",
    "stxrb w5, w4, [x3]",
    "cbnz w5, 3b",
    "b mach_sys_probed_copy_end",
    "1: cmp x2, #8",
    "b.lo 2f",
    "ldr x4, [x1], #8",
    "str x4, [x3], #8",
    "sub x2, x2, #8",
    "b 1b",
    "2: cbz x2, mach_sys_probed_copy_end",
    "ldrb w4, [x1], #1",
    "strb w4, [x3], #1",
    "sub x2, x2, #1",
    "b 2b",
    "mach_sys_probed_copy_end:",
    "ret",
    ".cfi_endproc",
    ".size mach_sys_probed_copy, . - mach_sys_probed_copy",
    ".size mach_sys_probed_touch, . - mach_sys_probed_touch",
);

unsafe extern "C" {
    fn mach_sys_probed_copy_begin();
    fn mach_sys_probed_copy_end();
    fn mach_sys_probed_copy(to: usize, from: usize, length: usize) -> usize;
    fn mach_sys_probed_touch(at: usize) -> usize;
}

fn copy(to: u64, from: u64, length: usize) -> Result<(), CopyFault> {
    // SAFETY: the routine touches `length` bytes at each address and nothing else; one of them is a slice of the caller's, and a
    // bad address on the other side ends it with an error. A caller that names memory of Rust objects that others use is bound by
    // the seam's contract, as with any kernel call that writes where it is told.
    fault(unsafe { mach_sys_probed_copy(to as usize, from as usize, length) })
}

/// Tells from a routine's result what ended it.
fn fault(outcome: usize) -> Result<(), CopyFault> {
    match (outcome as i32 >> 8 & 0xff, outcome as i32 & 0xff) {
        (0, _) => Ok(()),
        (libc::SIGSEGV, SEGV_ACCERR | SEGV_PKUERR) => Err(CopyFault::ProtectionFailure),
        _ => Err(CopyFault::InvalidAddress),
    }
}

const SEGV_ACCERR: i32 = 2;
const SEGV_PKUERR: i32 = 4;

/// Returns where a copy goes on that faulted at a program counter, and with what result. `None` if it is no copy's.
pub(in crate::host) fn ended_by(signal: i32, si_code: i32, pc: usize) -> Option<(usize, usize)> {
    let (begin, end) = (
        mach_sys_probed_copy_begin as *const () as usize,
        mach_sys_probed_copy_end as *const () as usize,
    );
    // On x86_64 an alignment check, which says nothing of the address.
    let is_aligned =
        !(cfg!(target_arch = "x86_64") && signal == libc::SIGBUS && si_code == libc::BUS_ADRALN);
    let is_copy = is_aligned
        && (begin..end).contains(&pc)
        && si_code > 0
        && matches!(signal, libc::SIGSEGV | libc::SIGBUS);
    is_copy.then_some((end, (signal as usize) << 8 | si_code as usize & 0xff))
}

/// Copies from user memory.
pub(crate) fn read(from: u64, into: &mut [u8]) -> Result<(), CopyFault> {
    copy(into.as_mut_ptr() as u64, from, into.len())
}

/// Copies to user memory.
pub(crate) fn write(to: u64, from: &[u8]) -> Result<(), CopyFault> {
    copy(to, from.as_ptr() as u64, from.len())
}

/// Finds out whether a byte of user memory can be written, by writing what is there in one atomic access.
pub(crate) fn prove_writable(at: u64) -> Result<(), CopyFault> {
    // SAFETY: the routine changes no byte: what other threads write there at the same time stays. A bad address ends it with an
    // error.
    fault(unsafe { mach_sys_probed_touch(at as usize) })
}

/// Returns whether this system fills in the hardware's words, found out by one fault (R22). `None` if the first page is
/// mapped, so that there was no fault.
pub(in crate::host) fn hardware_words_are_filled_in() -> Option<bool> {
    let mut byte = 0_u8;
    let to = core::ptr::from_mut(&mut byte) as usize;
    // SAFETY: one byte of a local variable is written, if the read succeeds.
    match unsafe { mach_sys_probed_copy(to, 8, 1) } {
        0 => None,
        outcome => Some(outcome >> 16 != 0),
    }
}
