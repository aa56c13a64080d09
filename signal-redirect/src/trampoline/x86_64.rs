//! x86_64's trampoline.
//!
//! The frame's address is in rbx, that of the thread's [`Innermost`](crate::Innermost) in r12, or 0. FXSAVE saves the x87 and SSE
//! registers in the machine context, and they are restored from there with the handler's edits. XSAVE saves the components beyond them on the stack below the frame; AVX's is copied into the machine
//! context and back. All are restored exactly: a component in its initial state is in it again, and MXCSR comes from the machine
//! context, not from XSAVE's area.
#![allow(unsafe_code)]

use core::arch::x86_64::__cpuid_count;
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use mach_sys::darwin::{x86_mcontext_avx64_t, x86_mcontext64_t};
use mach_sys::thread_state::{x86_avx_state64_t, x86_thread_state64_t};

use crate::frame::{CONTEXT_AT, flag, word};
use crate::vector_save::VectorSave;

use super::direct;
use super::plan::ENTRY;

// Offsets that the assembly below has as literals.
const CONTEXT: usize = CONTEXT_AT as usize;
const _: () = {
    const STATE: usize = CONTEXT + offset_of!(x86_mcontext64_t, ss);
    assert!(STATE == 320);
    assert!(STATE + offset_of!(x86_thread_state64_t, rsp) == 376);
    assert!(STATE + offset_of!(x86_thread_state64_t, rip) == 448);
    // What follows the FXSAVE image: to the end without AVX, and with it to the upper halves, and behind them.
    assert!(FX + 520 == CONTEXT + size_of::<x86_mcontext64_t>());
    assert!(FX + 564 + 16 == YMMH);
    assert!(YMMH + 256 + 4 == CONTEXT + size_of::<x86_mcontext_avx64_t>());
};
static_assertions::const_assert!(ENTRY == 16);

/// Emits unwind information: the register's value is in the frame (`DW_CFA_expression`: rbx + offset).
macro_rules! saved {
    ($register:literal, $offset:literal) => {
        concat!(
            ".cfi_escape 0x10, ",
            $register,
            ", 3, 0x73, (",
            $offset,
            " & 127) | 128, ",
            $offset,
            " >> 7"
        )
    };
}

/// Repeats instructions for each of the sixteen upper halves; `\\at` is its offset from the first.
macro_rules! for_each_half {
    ($($instruction:literal),*) => {
        concat!(
            ".irp at, 0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240\n",
            $($instruction, "\n",)*
            ".endr"
        )
    };
}
static_assertions::const_assert!(VectorSave::AVX_SIZE == 16 * 16);

global_asm!(
    // Mach-O's symbols begin with an underscore, ELF's do not. Both are defined on both.
    ".globl signal_redirect_trap",
    ".globl _signal_redirect_trap",
    ".p2align 4",
    "signal_redirect_trap:",
    "_signal_redirect_trap:",
    // A local name for the jump back: in a shared object the global one would go through a table and the loader.
    "9:",
    ".cfi_startproc simple",
    ".cfi_signal_frame",
    // The frame of the caller, which is the interrupted function, begins at the interrupted rsp. This also gives rsp's value.
    ".cfi_escape 0x0f, 4, 0x73, (376 & 127) | 128, 376 >> 7, 0x06",
    saved!("0", "320"), // rax
    saved!("1", "344"), // rdx
    saved!("2", "336"), // rcx
    saved!("3", "328"), // rbx
    saved!("4", "360"), // rsi
    saved!("5", "352"), // rdi
    saved!("6", "368"), // rbp
    saved!("8", "384"), // r8
    saved!("9", "392"), // r9
    saved!("10", "400"), // r10
    saved!("11", "408"), // r11
    saved!("12", "416"), // r12
    saved!("13", "424"), // r13
    saved!("14", "432"), // r14
    saved!("15", "440"), // r15
    saved!("16", "448"), // rip
    // Privileged: raises a general protection fault, with rip here and the frame's address in rbx and rsp.
    "hlt",
    "ud2",
    ".p2align 4, 0xcc",
    // The entry. A thread that returns directly saves its errno.
    "test r12, r12",
    "jz 13f",
    "mov rax, [rbx + {errno_at}]",
    "test rax, rax",
    "jz 13f",
    "mov eax, [rax]",
    "mov [rbx + {errno}], eax",
    "13:",
    "test byte ptr [rbx + {flags}], {float_given}",
    "jnz 2f",
    // Some processors save the last x87 instruction and its operand only while an exception is pending.
    "xor eax, eax",
    "mov [rbx + {fx}], rax",
    "mov [rbx + {fx} + 8], rax",
    "mov [rbx + {fx} + 16], rax",
    "fxsave64 [rbx + {fx}]",
    // The rest of the machine context: what FXSAVE never writes, and in one with AVX what follows.
    "mov [rbx + {fx} - 8], rax",
    "pxor xmm0, xmm0",
    ".irp at, 416, 432, 448, 464, 480, 496\n movups [rbx + {fx} + \\at], xmm0\n.endr",
    "mov [rbx + {fx} + 512], rax",
    "test byte ptr [rbx + {mask}], {avx_bit}",
    "jz 2f",
    ".irp at, 520, 536, 552, 564\n movups [rbx + {fx} + \\at], xmm0\n.endr",
    for_each_half!("movups [rbx + {ymmh} + \\at], xmm0"),
    "mov dword ptr [rbx + {ymmh} + 256], eax",
    "2:",
    "mov eax, [rbx + {mask}]",
    "test eax, eax",
    "jz 3f",
    // Keep those of the handler's arguments whose registers are needed. r12 has the address of the thread's `Innermost`, and keeps it.
    "mov r8, rdx",
    "mov r11, rcx",
    "sub rsp, [rbx + {save_size}]",
    // XSAVE does not write most of its header, and XRSTOR faults unless the rest of it is 0.
    "xor edx, edx",
    "mov [rsp + 512], rdx",
    "mov [rsp + 520], rdx",
    "mov [rsp + 528], rdx",
    "mov [rsp + 536], rdx",
    "mov [rsp + 544], rdx",
    "mov [rsp + 552], rdx",
    "mov [rsp + 560], rdx",
    "mov [rsp + 568], rdx",
    "xsave64 [rsp]",
    // XCR0: the components that this thread has switched on, which may differ from another thread's. XSAVE and XRSTOR skip the rest.
    "xor ecx, ecx",
    "xgetbv",
    "test al, {avx_bit}",
    "jz 8f",
    // The upper halves, for the handler to see. In their initial state they are zero, in the frame, too.
    "test byte ptr [rsp + {in_use}], {avx_bit}",
    "jz 8f",
    "vzeroupper",
    for_each_half!("movups xmm0, [rsp + {avx} + \\at]", "movups [rbx + {ymmh} + \\at], xmm0"),
    "8:",
    "mov rdx, r8",
    "mov rcx, r11",
    "3:",
    // Clears a pending exception without raising it.
    "fninit",
    "push 0x1f80",
    "ldmxcsr [rsp]",
    "pop rax",
    "call [rbx + {entry}]",
    // r12 becomes 1 if the thread returns directly.
    "test r12, r12",
    "jz 6f",
    // A handler in assembly may leave any flag set. Downwards, or with checks of alignment, no function may be called; with the flag of
    // nested tasks iretq would fault.
    "push 2",
    "popfq",
    "mov rdi, rbx",
    "mov rsi, r12",
    "call {prepare}",
    "movzx r12d, al",
    "6:",
    "cmp dword ptr [rbx + {mask}], 0",
    "je 4f",
    // The upper halves with the handler's edits, if the thread has AVX on: XRSTOR refuses a component that is off. If they were in
    // their initial state and are still zero, they stay in it: otherwise the processor may run more slowly.
    "xor ecx, ecx",
    "xgetbv",
    "test al, {avx_bit}",
    "jz 7f",
    "test byte ptr [rsp + {in_use}], {avx_bit}",
    "jnz 5f",
    "pxor xmm0, xmm0",
    for_each_half!("movups xmm1, [rbx + {ymmh} + \\at]", "por xmm0, xmm1"),
    "pxor xmm1, xmm1",
    "pcmpeqb xmm0, xmm1",
    "pmovmskb eax, xmm0",
    "cmp eax, 0xffff",
    "jne 14f",
    // Zeroes the upper halves, which is AVX's initial state, in less time than XRSTOR.
    "cmp dword ptr [rbx + {mask}], {avx_bit}",
    "jne 7f",
    "vzeroupper",
    "jmp 4f",
    "14:",
    "or byte ptr [rsp + {in_use}], {avx_bit}",
    "5:",
    for_each_half!("movups xmm0, [rbx + {ymmh} + \\at]", "movups [rsp + {avx} + \\at], xmm0"),
    "7:",
    "mov eax, [rbx + {mask}]",
    "xor edx, edx",
    "xrstor64 [rsp]",
    "4:",
    // A bit of MXCSR that the processor does not have would fault.
    "mov eax, [rbx + {mxcsr_mask}]",
    "and [rbx + {mxcsr}], eax",
    "fxrstor64 [rbx + {fx}]",
    "test r12d, r12d",
    "jnz 12f",
    "mov rsp, rbx",
    "jmp 9b",
    // The direct return. Until the last instruction everything lies at or above rsp, in case another redirect interrupts it.
    "12:",
    "lea rsp, [rbx + {popped}]",
    "mov rax, [rbx + 320]",
    "mov rcx, [rbx + 336]",
    "mov rdx, [rbx + 344]",
    "mov rdi, [rbx + 352]",
    "mov rsi, [rbx + 360]",
    "mov rbp, [rbx + 368]",
    "mov r8, [rbx + 384]",
    "mov r9, [rbx + 392]",
    "mov r10, [rbx + 400]",
    "mov r11, [rbx + 408]",
    "mov r12, [rbx + 416]",
    "mov r13, [rbx + 424]",
    "mov r14, [rbx + 432]",
    "mov r15, [rbx + 440]",
    "mov rbx, [rbx + 328]",
    // rbx does not lead to the frame any more. The caller's rsp is the fourth word that is popped, its rip the first; all others are
    // in their registers.
    ".cfi_escape 0x0f, 3, 0x77, 24, 0x06",
    ".cfi_same_value rax",
    ".cfi_same_value rdx",
    ".cfi_same_value rcx",
    ".cfi_same_value rbx",
    ".cfi_same_value rsi",
    ".cfi_same_value rdi",
    ".cfi_same_value rbp",
    ".cfi_same_value r8",
    ".cfi_same_value r9",
    ".cfi_same_value r10",
    ".cfi_same_value r11",
    ".cfi_same_value r12",
    ".cfi_same_value r13",
    ".cfi_same_value r14",
    ".cfi_same_value r15",
    ".cfi_escape 0x10, 16, 2, 0x77, 0",
    "iretq",
    ".cfi_endproc",
    flags = const word::FLAGS * 8,
    float_given = const flag::FLOAT_GIVEN,
    mask = const word::SAVE_MASK * 8,
    mxcsr_mask = const word::SAVE_MASK * 8 + 4,
    errno_at = const word::ERRNO_AT * 8,
    errno = const word::ERRNO * 8,
    save_size = const word::SAVE_SIZE * 8,
    entry = const word::ENTRY * 8,
    fx = const FX,
    mxcsr = const FX + 24,
    avx = const VectorSave::AVX_OFFSET,
    ymmh = const YMMH,
    in_use = const 512,
    avx_bit = const 4,
    prepare = sym direct::prepare,
    popped = const direct::POPPED * 8,
);

/// Offset of the FXSAVE image from the header, in bytes. The state's first 8 bytes are XNU's.
const FX: usize = CONTEXT + offset_of!(x86_mcontext64_t, fs) + 8;

/// Offset of the upper halves from the header, in bytes.
const YMMH: usize =
    CONTEXT + offset_of!(x86_mcontext_avx64_t, fs) + offset_of!(x86_avx_state64_t, fpu_ymmh);

unsafe extern "C" {
    fn signal_redirect_trap();
}

/// Returns whether the calling thread can return by `iretq`: it has no user shadow stack, which `iretq` would not pop. Queries CPUID.
pub(super) fn can_return_directly() -> bool {
    /// The result of the first call: 1 for yes, 2 for no.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    const CET_SS: u32 = 1 << 7;
    match KNOWN.load(Ordering::Relaxed) {
        0 => {}
        known => return known == 1,
    }
    let mut shadow = 0_u64;
    if cpuid(0, 0)[0] >= 7 && cpuid(7, 0)[2] & CET_SS != 0 {
        // SAFETY: rdsspq rax reads the shadow stack's pointer, or does nothing if there is none.
        unsafe {
            asm!(".byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8", inout("rax") shadow, options(nomem, nostack, preserves_flags));
        }
    }
    KNOWN.store(if shadow == 0 { 1 } else { 2 }, Ordering::Relaxed);
    shadow == 0
}

/// Returns the address of the return trap.
pub(super) fn trap() -> u64 {
    signal_redirect_trap as *const () as u64
}

/// Returns the vector registers of this processor. Queries CPUID once: under a hypervisor it can cost as much as a fault.
pub(super) fn vector_save() -> VectorSave {
    /// The result: components in the low byte, size from bit 8 on, bit 31 for "known", MXCSR's mask above.
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    const IS_KNOWN: u64 = 1 << 31;
    let mut known = KNOWN.load(Ordering::Relaxed);
    if known & IS_KNOWN == 0 {
        let save = VectorSave::of_x86_64(cpuid, mxcsr_mask());
        known = save.word() | save.size() << 8 | IS_KNOWN;
        KNOWN.store(known, Ordering::Relaxed);
    }
    VectorSave::xsave(known & 0xff, known >> 8 & 0x7f_ffff, (known >> 32) as u32)
}

fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    // The function is safe in newer compilers.
    #[allow(unused_unsafe)]
    // SAFETY: every 64-bit processor has the instruction.
    let answer = unsafe { __cpuid_count(leaf, subleaf) };
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

/// Returns the bits of MXCSR that the processor implements.
fn mxcsr_mask() -> u32 {
    #[repr(C, align(16))]
    struct Image([u32; 128]);
    let mut image = Image([0; 128]);
    // SAFETY: every 64-bit processor has FXSAVE; it writes 512 bytes to an address aligned to 16, which `image` is.
    unsafe {
        asm!("fxsave64 [{}]", in(reg) &raw mut image.0, options(nostack, preserves_flags));
    }
    match image.0[7] {
        0 => VectorSave::NONE.mxcsr_mask,
        mask => mask,
    }
}
