//! arm64's trampoline.
//!
//! The frame's address is in x19. NEON's registers are saved in the machine context, and restored from there with the handler's
//! edits.
//!
//! The registers beyond NEON that the thread has in use are saved on the stack below the frame. The trampoline reads SVCR to find
//! them: the server cannot see whether the thread is in streaming mode or has ZA on. The handler is called like a Unix signal
//! handler: outside streaming mode, with ZA off, and without a block for the lazy saving of ZA (TPIDR2_EL0 is 0). After the handler
//! SVCR is restored first, because a change of mode clears the registers. A z register's lowest 128 bits are then those of the
//! machine context's v register.
//!
//! Instructions of SVE and SME are written as words: a directive that enables them would enable them in all later code, too.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use mach_sys::darwin::arm_mcontext64_t;
use mach_sys::processor::Arm64Vectors;
use mach_sys::thread_state::{arm_neon_state64_t, arm_thread_state64_t};

use crate::frame::{CONTEXT_AT, flag, word};
use crate::machine::TOO_LONG;
use crate::vector_save::{VectorSave, scalable};

use super::plan::ENTRY;

// Offsets that the assembly below has as literals.
const CONTEXT: usize = CONTEXT_AT as usize;
const NEON: usize = CONTEXT + offset_of!(arm_mcontext64_t, ns);
const _: () = {
    const STATE: usize = CONTEXT + offset_of!(arm_mcontext64_t, ss);
    assert!(STATE == 320);
    assert!(STATE + offset_of!(arm_thread_state64_t, sp) == 568);
    assert!(STATE + offset_of!(arm_thread_state64_t, pc) == 576);
    assert!(NEON == 592);
};
static_assertions::const_assert!(flag::FLOAT_GIVEN == 1 << 1);
static_assertions::const_assert!(ENTRY == 16);
// Bit 0 means SVE here and streaming mode in SVCR: either means that there are z registers. The others are tested by number.
static_assertions::const_assert!(scalable::SVE == 1 << 0);
static_assertions::const_assert!(scalable::SME == 1 << 1);
static_assertions::const_assert!(scalable::SME2 == 1 << 2);
static_assertions::const_assert!(scalable::FA64 == 1 << 3);
static_assertions::const_assert!(scalable::FPMR == 1 << 4);
static_assertions::const_assert!(scalable::VECTORS == 128);
static_assertions::const_assert!(scalable::PER_BYTE == 36);

/// Emits unwind information: the register's value is in the frame (`DW_CFA_expression`: x19 + offset).
macro_rules! saved {
    ($register:literal, $offset:literal) => {
        concat!(
            ".cfi_escape 0x10, ",
            $register,
            ", 3, 0x83, (",
            $offset,
            " & 127) | 128, ",
            $offset,
            " >> 7"
        )
    };
}

/// Expands to the numbers of the z registers.
macro_rules! z_numbers {
    () => {
        "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
    };
}

/// Expands to the numbers of the p registers.
macro_rules! p_numbers {
    () => {
        "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
    };
}

/// Emits a load or store of each register: register n at n times its size from the address in `base`.
macro_rules! each {
    ($numbers:ident, $instruction:literal, $base:literal) => {
        concat!(
            ".irp n, ",
            $numbers!(),
            "\n.inst ",
            $instruction,
            " | (\\n >> 3) << 16 | (\\n & 7) << 10 | ",
            $base,
            " << 5 | \\n\n.endr"
        )
    };
}

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
    // DWARF's number for pc, because lr is a saved register here. It is a value (`DW_CFA_val_expression`), because libgcc has no
    // size for this register.
    ".cfi_return_column 32",
    ".cfi_escape 0x16, 32, 4, 0x83, (576 & 127) | 128, 576 >> 7, 0x06",
    // The frame of the caller, which is the interrupted function, begins at the interrupted sp.
    ".cfi_escape 0x0f, 4, 0x83, (568 & 127) | 128, 568 >> 7, 0x06",
    saved!("0", "320"),
    saved!("1", "328"),
    saved!("2", "336"),
    saved!("3", "344"),
    saved!("4", "352"),
    saved!("5", "360"),
    saved!("6", "368"),
    saved!("7", "376"),
    saved!("8", "384"),
    saved!("9", "392"),
    saved!("10", "400"),
    saved!("11", "408"),
    saved!("12", "416"),
    saved!("13", "424"),
    saved!("14", "432"),
    saved!("15", "440"),
    saved!("16", "448"),
    saved!("17", "456"),
    saved!("18", "464"),
    saved!("19", "472"),
    saved!("20", "480"),
    saved!("21", "488"),
    saved!("22", "496"),
    saved!("23", "504"),
    saved!("24", "512"),
    saved!("25", "520"),
    saved!("26", "528"),
    saved!("27", "536"),
    saved!("28", "544"),
    saved!("29", "552"),
    saved!("30", "560"),
    saved!("72", "720"),
    saved!("73", "736"),
    saved!("74", "752"),
    saved!("75", "768"),
    saved!("76", "784"),
    saved!("77", "800"),
    saved!("78", "816"),
    saved!("79", "832"),
    // Permanently undefined. The number marks the trap in crash reports. The frame's address is in x19 and sp.
    "udf #0x5254",
    ".p2align 4",
    // The entry. A landing pad for any branch: the kernel keeps the interrupted branch type (A4.9).
    "hint #38",
    "add x10, x19, #{neon}",
    "ldr x9, [x19, #{flags}]",
    "tbnz w9, #1, 2f",
    "stp q0, q1, [x10, #0]",
    "stp q2, q3, [x10, #32]",
    "stp q4, q5, [x10, #64]",
    "stp q6, q7, [x10, #96]",
    "stp q8, q9, [x10, #128]",
    "stp q10, q11, [x10, #160]",
    "stp q12, q13, [x10, #192]",
    "stp q14, q15, [x10, #224]",
    "stp q16, q17, [x10, #256]",
    "stp q18, q19, [x10, #288]",
    "stp q20, q21, [x10, #320]",
    "stp q22, q23, [x10, #352]",
    "stp q24, q25, [x10, #384]",
    "stp q26, q27, [x10, #416]",
    "stp q28, q29, [x10, #448]",
    "stp q30, q31, [x10, #480]",
    "mrs x11, fpsr",
    "mrs x12, fpcr",
    "str w11, [x10, #{fpsr}]",
    "str w12, [x10, #{fpcr}]",
    "str xzr, [x10, #{reserved}]",
    "2:",
    "ldr w9, [x19, #{mask}]",
    "cbz w9, 3f",
    // x10: the area; x13: SVCR; x11: bytes of a z register, 0 without; x12: bytes of a vector of ZA, 0 if it is off.
    "ldr x15, [x19, #{save_size}]",
    "sub x10, x19, x15",
    "mov x13, xzr",
    "tbz w9, #1, 4f",
    "mrs x13, s3_3_c4_c2_2",
    "4:",
    "mov x11, xzr",
    "orr w14, w9, w13",
    "tbz w14, #0, 4f",
    ".inst 0x04bf502b", // rdvl x11, #1
    "4:",
    "mov x12, xzr",
    "tbz w13, #1, 4f",
    ".inst 0x04bf582c", // rdsvl x12, #1
    "4:",
    // Does it fit? Nothing is changed yet.
    "mov w14, #{per_byte}",
    "umull x14, w11, w14",
    "madd x14, x12, x12, x14",
    "add x14, x14, #{vectors}",
    "cmp x14, x15",
    "b.hi 8f",
    "mov sp, x10",
    "stp x13, x11, [x10, #0]",
    "str x12, [x10, #16]",
    "tbz w9, #1, 4f",
    "mrs x14, s3_3_c13_c0_5",
    "str x14, [x10, #24]",
    "msr s3_3_c13_c0_5, xzr",
    "4:",
    "tbz w9, #4, 4f",
    "mrs x14, s3_3_c4_c4_2",
    "str x14, [x10, #32]",
    "msr s3_3_c4_c4_2, xzr",
    "4:",
    "add x14, x10, #{vectors}",
    "cbz x11, 5f",
    each!(z_numbers, "0xe5804000", "14"), // str z, [x14, #n, mul vl]
    "add x15, x14, x11, lsl #5",
    each!(p_numbers, "0xe5800000", "15"), // str p, [x15, #n, mul vl]
    // In streaming mode ffr exists only with SME_FA64.
    "tbz w13, #0, 4f",
    "tbz w9, #3, 5f",
    "4:",
    ".inst 0x2519f000", // rdffr p0.b
    ".inst 0xe58201e0", // str p0, [x15, #16, mul vl]
    "5:",
    "cbz x12, 5f",
    "mov w15, #{per_byte}",
    "umaddl x14, w11, w15, x14",
    "mov w15, wzr",
    "4:",
    ".inst 0xe12061c0", // str za[w15, 0], [x14]
    "add x14, x14, x12",
    "add w15, w15, #1",
    "cmp w15, w12",
    "b.lo 4b",
    "tbz w9, #2, 5f",
    "add x14, x10, #{zt0}",
    ".inst 0xe13f81c0", // str zt0, [x14]
    "5:",
    "cbz x13, 3f",
    "msr s3_3_c4_c2_2, xzr",
    "3:",
    "msr fpcr, xzr",
    "msr fpsr, xzr",
    "ldr x9, [x19, #{entry}]",
    "blr x9",
    "add x10, x19, #{neon}",
    "ldr w9, [x19, #{mask}]",
    "cbz w9, 4f",
    // x14: the area; the others as above.
    "ldr x15, [x19, #{save_size}]",
    "sub x14, x19, x15",
    "ldp x13, x11, [x14, #0]",
    "ldr x12, [x14, #16]",
    "tbz w9, #1, 3f",
    "mrs x15, s3_3_c4_c2_2",
    "cmp x15, x13",
    "b.eq 3f",
    "msr s3_3_c4_c2_2, x13",
    "3:",
    "cbnz x11, 5f",
    "4:",
    "ldp q0, q1, [x10, #0]",
    "ldp q2, q3, [x10, #32]",
    "ldp q4, q5, [x10, #64]",
    "ldp q6, q7, [x10, #96]",
    "ldp q8, q9, [x10, #128]",
    "ldp q10, q11, [x10, #160]",
    "ldp q12, q13, [x10, #192]",
    "ldp q14, q15, [x10, #224]",
    "ldp q16, q17, [x10, #256]",
    "ldp q18, q19, [x10, #288]",
    "ldp q20, q21, [x10, #320]",
    "ldp q22, q23, [x10, #352]",
    "ldp q24, q25, [x10, #384]",
    "ldp q26, q27, [x10, #416]",
    "ldp q28, q29, [x10, #448]",
    "ldp q30, q31, [x10, #480]",
    "b 6f",
    "5:",
    // Registers of another length would be loaded from the wrong addresses.
    ".inst 0x04bf502f", // rdvl x15, #1
    "cmp x15, x11",
    "b.ne 8f",
    "add x15, x14, #{vectors}",
    "mov w0, #32",
    "5:",
    "ldp x1, x2, [x10], #16",
    "stp x1, x2, [x15]",
    "add x15, x15, x11",
    "subs w0, w0, #1",
    "b.ne 5b",
    "sub x10, x10, #512",
    "tbz w13, #0, 4f",
    "tbz w9, #3, 5f",
    "4:",
    ".inst 0x858201e0", // ldr p0, [x15, #16, mul vl]
    ".inst 0x25289000", // wrffr p0.b
    "5:",
    each!(p_numbers, "0x85800000", "15"), // ldr p, [x15, #n, mul vl]
    "add x15, x14, #{vectors}",
    each!(z_numbers, "0x85804000", "15"), // ldr z, [x15, #n, mul vl]
    "6:",
    "cbz w9, 3f",
    "cbz x12, 5f",
    ".inst 0x04bf582f", // rdsvl x15, #1
    "cmp x15, x12",
    "b.ne 8f",
    "mov w15, #{per_byte}",
    "umull x0, w11, w15",
    "add x0, x0, x14",
    "add x0, x0, #{vectors}",
    "mov w15, wzr",
    "4:",
    ".inst 0xe1006000", // ldr za[w15, 0], [x0]
    "add x0, x0, x12",
    "add w15, w15, #1",
    "cmp w15, w12",
    "b.lo 4b",
    "tbz w9, #2, 5f",
    "add x0, x14, #{zt0}",
    ".inst 0xe11f8000", // ldr zt0, [x0]
    "5:",
    "tbz w9, #1, 4f",
    "ldr x15, [x14, #24]",
    "msr s3_3_c13_c0_5, x15",
    "4:",
    "tbz w9, #4, 3f",
    "ldr x15, [x14, #32]",
    "msr s3_3_c4_c4_2, x15",
    "3:",
    "ldr w11, [x10, #{fpsr}]",
    "ldr w12, [x10, #{fpcr}]",
    "msr fpsr, x11",
    "msr fpcr, x12",
    "mov sp, x19",
    "b 9b",
    "8:",
    "sub sp, x19, #{too_long}",
    "b 9b",
    ".cfi_endproc",
    flags = const word::FLAGS * 8,
    entry = const word::ENTRY * 8,
    neon = const NEON,
    fpsr = const offset_of!(arm_neon_state64_t, fpsr),
    fpcr = const offset_of!(arm_neon_state64_t, fpcr),
    reserved = const offset_of!(arm_neon_state64_t, reserved),
    mask = const word::SAVE_MASK * 8,
    save_size = const word::SAVE_SIZE * 8,
    vectors = const scalable::VECTORS,
    per_byte = const scalable::PER_BYTE,
    zt0 = const 64,
    too_long = const TOO_LONG,
);

unsafe extern "C" {
    fn signal_redirect_trap();
}

/// No instruction restores all registers and the program counter at once.
pub(super) const fn can_return_directly() -> bool {
    false
}

/// Returns the address of the return trap.
pub(super) fn trap() -> u64 {
    signal_redirect_trap as *const () as u64
}

/// Returns the vector registers of this processor, with the vector lengths of the calling thread. Queries the system at each call.
pub(super) fn vector_save() -> VectorSave {
    let vectors = Arm64Vectors::native();
    let (mut length, mut streaming_length) = (0, 0);
    if vectors.sve {
        // SAFETY: rdvl x0, #1 is an instruction of SVE, which the processor has. It changes only x0.
        unsafe {
            asm!(".inst 0x04bf5020", out("x0") length, options(nomem, nostack, preserves_flags))
        };
    }
    if vectors.sme {
        // SAFETY: rdsvl x0, #1 is an instruction of SME in any mode, which the processor has. It changes only x0.
        unsafe {
            asm!(".inst 0x04bf5820", out("x0") streaming_length, options(nomem, nostack, preserves_flags))
        };
    }
    VectorSave::scalable(vectors, length, streaming_length)
}
