//! All registers of arm64: the tests load them, fault with `udf`, and read them again.

use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::thread_state::NativeState;

use crate::handlers::{Context, Float};
use crate::patterns::generator;

/// Bytes of the store instruction.
const STORE_LENGTH: u64 = 4;
pub(crate) const FAULT_LENGTH: u64 = 4;
/// DWARF's numbers of x19 to x29.
pub(crate) const DWARF_SAVED: [i32; 11] = [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29];
/// Signal and `si_code` of a store to unmapped memory, and to read-only memory (A12.6, A12.7).
pub(crate) const UNMAPPED: (i32, i32) = (11, 2);
pub(crate) const PROTECTED: (i32, i32) = (10, 1);
pub(crate) const ILL_CODE: i32 = 2;
/// Values of FPCR: round to zero with flushing, default NaN; alternative half precision with rounding up; the default.
pub(crate) const CONTROL_WORDS: &[u32] = &[0x03c0_0000, 0x0440_0000, 0];

const NZCV: u64 = 0xf000_0000;

#[repr(C, align(16))]
#[derive(Clone)]
pub(crate) struct Registers {
    /// x0 to x30, and sp at the fault.
    general: [u64; 32],
    red_zone: [u64; 16],
    float: Float,
    flags: u64,
    reserved: u64,
}

static mut INPUT: Registers = Registers::ZERO;
static mut OUTPUT: Registers = Registers::ZERO;
static TRUE_SP: AtomicU64 = AtomicU64::new(0);

global_asm!(
    ".globl redirect_test_run, _redirect_test_run",
    "redirect_test_run:", "_redirect_test_run:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-176]!",
    ".cfi_def_cfa_offset 176",
    ".cfi_offset x29, -176", ".cfi_offset x30, -168",
    "stp x19, x20, [sp, #16]", "stp x21, x22, [sp, #32]", "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]", "stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]", "stp d10, d11, [sp, #112]", "stp d12, d13, [sp, #128]", "stp d14, d15, [sp, #144]",
    "str x1, [sp, #160]",
    "mov x10, sp",
    "str x10, [x2]",
    "mov x30, x0",
    // The words of the red zone, the first one next to the stack pointer.
    "add x9, x30, #{red_zone}",
    "mov x11, #16",
    "2: ldr x12, [x9], #8",
    "str x12, [x10, #-8]!",
    "sub x11, x11, #1",
    "cbnz x11, 2b",
    "add x9, x30, #{float}",
    "ldp q0, q1, [x9, #0]",
    "ldp q2, q3, [x9, #32]",
    "ldp q4, q5, [x9, #64]",
    "ldp q6, q7, [x9, #96]",
    "ldp q8, q9, [x9, #128]",
    "ldp q10, q11, [x9, #160]",
    "ldp q12, q13, [x9, #192]",
    "ldp q14, q15, [x9, #224]",
    "ldp q16, q17, [x9, #256]",
    "ldp q18, q19, [x9, #288]",
    "ldp q20, q21, [x9, #320]",
    "ldp q22, q23, [x9, #352]",
    "ldp q24, q25, [x9, #384]",
    "ldp q26, q27, [x9, #416]",
    "ldp q28, q29, [x9, #448]",
    "ldp q30, q31, [x9, #480]",
    "ldr w10, [x9, #512]",
    "msr fpsr, x10",
    "ldr w10, [x9, #516]",
    "msr fpcr, x10",
    "ldr x10, [x30, #{flags}]",
    "msr nzcv, x10",
    // A stack pointer of the test's own, if the word is not all ones.
    "ldr x10, [x30, #248]",
    "mvn x11, x10",
    "cbz x11, 3f",
    "mov sp, x10",
    "3:",
    "ldp x0, x1, [x30, #0]",
    "ldp x2, x3, [x30, #16]",
    "ldp x4, x5, [x30, #32]",
    "ldp x6, x7, [x30, #48]",
    "ldp x8, x9, [x30, #64]",
    "ldp x10, x11, [x30, #80]",
    "ldp x12, x13, [x30, #96]",
    "ldp x14, x15, [x30, #112]",
    "ldp x16, x17, [x30, #128]",
    "ldp x18, x19, [x30, #144]",
    "ldp x20, x21, [x30, #160]",
    "ldp x22, x23, [x30, #176]",
    "ldp x24, x25, [x30, #192]",
    "ldp x26, x27, [x30, #208]",
    "ldp x28, x29, [x30, #224]",
    "ldr x30, [x30, #240]",
    "6:",
    "udf #7",
    // Nothing uses the stack below the red zone.
    "str x30, [sp, #-192]",
    "ldr x30, [sp, #160]",
    "stp x0, x1, [x30, #0]",
    "stp x2, x3, [x30, #16]",
    "stp x4, x5, [x30, #32]",
    "stp x6, x7, [x30, #48]",
    "stp x8, x9, [x30, #64]",
    "stp x10, x11, [x30, #80]",
    "stp x12, x13, [x30, #96]",
    "stp x14, x15, [x30, #112]",
    "stp x16, x17, [x30, #128]",
    "stp x18, x19, [x30, #144]",
    "stp x20, x21, [x30, #160]",
    "stp x22, x23, [x30, #176]",
    "stp x24, x25, [x30, #192]",
    "stp x26, x27, [x30, #208]",
    "stp x28, x29, [x30, #224]",
    "ldr x9, [sp, #-192]",
    "str x9, [x30, #240]",
    "mov x10, sp",
    "str x10, [x30, #248]",
    "mrs x9, nzcv",
    "str x9, [x30, #{flags}]",
    "add x9, x30, #{red_zone}",
    "mov x11, #16",
    "4: ldr x12, [x10, #-8]!",
    "str x12, [x9], #8",
    "sub x11, x11, #1",
    "cbnz x11, 4b",
    "add x9, x30, #{float}",
    "stp q0, q1, [x9, #0]",
    "stp q2, q3, [x9, #32]",
    "stp q4, q5, [x9, #64]",
    "stp q6, q7, [x9, #96]",
    "stp q8, q9, [x9, #128]",
    "stp q10, q11, [x9, #160]",
    "stp q12, q13, [x9, #192]",
    "stp q14, q15, [x9, #224]",
    "stp q16, q17, [x9, #256]",
    "stp q18, q19, [x9, #288]",
    "stp q20, q21, [x9, #320]",
    "stp q22, q23, [x9, #352]",
    "stp q24, q25, [x9, #384]",
    "stp q26, q27, [x9, #416]",
    "stp q28, q29, [x9, #448]",
    "stp q30, q31, [x9, #480]",
    "mrs x10, fpsr",
    "str w10, [x9, #512]",
    "mrs x10, fpcr",
    "str w10, [x9, #516]",
    "msr fpsr, xzr",
    "msr fpcr, xzr",
    "ldp x19, x20, [sp, #16]", "ldp x21, x22, [sp, #32]", "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]", "ldp x27, x28, [sp, #80]",
    "ldp d8, d9, [sp, #96]", "ldp d10, d11, [sp, #112]", "ldp d12, d13, [sp, #128]", "ldp d14, d15, [sp, #144]",
    "ldp x29, x30, [sp], #176",
    "ret",
    ".cfi_endproc",
    "8:",
    // Offsets of the fault and of the end in the function. In Mach-O a symbol there would start another function (G5.11).
    ".data",
    ".globl redirect_test_offsets, _redirect_test_offsets",
    ".p2align 2",
    "redirect_test_offsets:", "_redirect_test_offsets:",
    ".long 6b - _redirect_test_run",
    ".long 8b - _redirect_test_run",
    ".text",
    ".p2align 2",
    // A function that never returns, with its link register in a frame, right before one whose first instruction faults.
    ".globl redirect_test_before, _redirect_test_before",
    "redirect_test_before:", "_redirect_test_before:",
    ".cfi_startproc",
    ".cfi_def_cfa_offset 64",
    ".cfi_offset x30, -8",
    "b redirect_test_run",
    ".cfi_endproc",
    ".globl redirect_test_first, _redirect_test_first",
    "redirect_test_first:", "_redirect_test_first:",
    ".cfi_startproc",
    "udf #8",
    "ret",
    ".cfi_endproc",
    // Calls its argument.
    ".globl redirect_test_call, _redirect_test_call",
    "redirect_test_call:", "_redirect_test_call:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-16]!",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset x29, -16", ".cfi_offset x30, -8",
    "blr x0",
    "ldp x29, x30, [sp], #16",
    ".cfi_def_cfa_offset 0",
    ".cfi_restore x29", ".cfi_restore x30",
    "ret",
    ".cfi_endproc",
    // Stores to its argument.
    ".globl redirect_test_store, _redirect_test_store",
    "redirect_test_store:", "_redirect_test_store:",
    ".cfi_startproc",
    "strb w0, [x0]",
    "ret",
    ".cfi_endproc",
    red_zone = const offset_of!(Registers, red_zone),
    float = const offset_of!(Registers, float),
    flags = const offset_of!(Registers, flags),
);

unsafe extern "C" {
    /// Faults with the registers `input`, stores the registers after the fault to `output`, and the stack pointer to `true_sp`. (ELF
    /// and Mach-O spell the address of a variable differently, so the assembly names none.)
    fn redirect_test_run(
        input: *const Registers,
        output: *mut Registers,
        true_sp: *const AtomicU64,
    );
    fn redirect_test_before();
    fn redirect_test_first();
    fn redirect_test_call(target: u64) -> u64;
    fn redirect_test_store(target: u64);
    static redirect_test_offsets: [u32; 2];
}

/// Returns an address in the function that faults, by the index of its offset.
fn in_run(number: usize) -> u64 {
    // SAFETY: reads a constant that the assembly above defines.
    let offset = unsafe { redirect_test_offsets[number] };
    redirect_test_run as *const () as u64 + u64::from(offset)
}

pub(crate) fn fault_site() -> u64 {
    in_run(0)
}

pub(crate) fn is_in_run(pc: u64) -> bool {
    (redirect_test_run as *const () as u64..in_run(1)).contains(&pc)
}

pub(crate) fn true_stack_pointer() -> u64 {
    TRUE_SP.load(Relaxed)
}

pub(crate) fn set_true_stack_pointer(sp: u64) {
    TRUE_SP.store(sp, Relaxed);
}

/// Calls an address and returns the call's result.
pub(crate) fn call(target: u64) -> u64 {
    // SAFETY: the call faults at once, and the handler returns from it.
    unsafe { redirect_test_call(target) }
}

/// Stores to an address.
pub(crate) fn store(target: u64) {
    // SAFETY: the store faults, and the handler steps over it.
    unsafe { redirect_test_store(target) }
}

/// Returns the address of the store instruction, and its length in bytes.
pub(crate) fn store_site() -> (u64, u64) {
    (redirect_test_store as *const () as u64, STORE_LENGTH)
}

/// Overwrites the stack below the caller with ones, so that memory that the trampoline must clear is not zero by chance.
#[inline(never)]
fn dirty_stack() {
    core::hint::black_box(&mut [0xffu8; 16 * 1024]);
}

/// Faults at the first instruction of a function. Returns the address of that instruction, and one in the caller.
#[inline(never)]
pub(crate) fn fault_at_first_instruction() -> (u64, u64) {
    // A reference, so that the linker keeps the function before it.
    core::hint::black_box(redirect_test_before as *const ());
    // SAFETY: the function does nothing but fault and return; the handler steps over the fault.
    unsafe { redirect_test_first() };
    (
        redirect_test_first as *const () as u64,
        fault_at_first_instruction as *const () as u64,
    )
}

/// Loads the registers, faults, and returns the registers after the fault.
#[inline(never)]
pub(crate) fn run(given: &Registers) -> Registers {
    run_with_stack_pointer(given, u64::MAX)
}

/// Does the same as [`run`], with the stack pointer `sp` at the fault, unless `sp` is all ones.
#[inline(never)]
pub(crate) fn run_with_stack_pointer(given: &Registers, sp: u64) -> Registers {
    // SAFETY: only the child's test thread uses the two variables, and a nested run finishes with them before the outer one reads
    // them again; the assembly follows the calling convention.
    unsafe {
        let input = &raw mut INPUT;
        let output = &raw mut OUTPUT;
        input.write(given.clone());
        (*input).general[31] = sp;
        output.write(Registers::ZERO);
        dirty_stack();
        redirect_test_run(input, output, &TRUE_SP);
        let mut found = (*output).clone();
        assert_eq!(found.general[31], TRUE_SP.load(Relaxed), "sp");
        found.general[31] = u64::MAX;
        found
    }
}

impl Registers {
    const ZERO: Self = Self {
        general: [0; 32],
        red_zone: [0; 16],
        float: mach_sys::pod::zeroed(),
        flags: 0,
        reserved: 0,
    };

    /// Returns the registers of a new thread, with this FPCR.
    pub(crate) fn initial(fpcr: u32) -> Self {
        let mut registers = Self::ZERO;
        registers.general[31] = u64::MAX;
        registers.float.fpcr = fpcr;
        registers
    }

    /// Returns registers with a different value in each.
    pub(crate) fn patterned(seed: u64) -> Self {
        // Round up, default NaN.
        let mut registers = Self::initial(0x0240_0000);
        let mut next = generator(seed);
        registers.general = core::array::from_fn(|_| next());
        registers.general[31] = u64::MAX;
        if KERNEL == Kernel::Xnu {
            // Reserved on Apple's systems: the kernel may clear it at any time.
            registers.general[18] = 0;
        }
        registers.red_zone = core::array::from_fn(|_| next());
        registers.flags = next() & NZCV;
        registers.float.v = core::array::from_fn(|_| u128::from(next()) << 64 | u128::from(next()));
        // Cumulative flags and saturation.
        registers.float.fpsr = next() as u32 & 0x0800_009f;
        registers
    }

    /// Returns registers with unusual rounding and flushing (R18).
    pub(crate) fn hostile_environment(seed: u64) -> Self {
        let mut registers = Self::patterned(seed);
        registers.float.fpcr =
            [0x03c0_0000, 0x0100_0000, 0x0080_0000, 0x0640_0000][seed as usize % 4];
        registers.float.fpsr = 0x9f;
        registers
    }

    /// Returns the values of the registers in [`DWARF_SAVED`].
    pub(crate) fn saved_by_callees(&self) -> Vec<u64> {
        self.general[19..30].to_vec()
    }

    /// Returns the registers with the edits of [`edit`].
    pub(crate) fn with_edits(&self) -> Self {
        let mut edited = self.clone();
        edited.general[2] = 0xed17;
        edited.flags ^= 1 << 29;
        edited.float.fpcr = 0x0080_0000;
        edited.float.fpsr = 0x10;
        edited.float.v[3] = u128::MAX / 3;
        edited.float.v[31] = 0x17;
        edited
    }

    pub(crate) fn with_float_of(&self, other: &Self) -> Self {
        Self {
            float: other.float,
            ..self.clone()
        }
    }

    pub(crate) fn float(&self) -> Float {
        self.float
    }

    #[track_caller]
    pub(crate) fn assert_same(&self, found: &Self) {
        assert_eq!(self.general, found.general, "general registers");
        assert_eq!(
            self.flags, found.flags,
            "{:#x}, {:#x}",
            self.flags, found.flags
        );
        assert_eq!(self.red_zone, found.red_zone, "red zone");
        assert_eq!(self.float, found.float, "vector registers");
    }

    #[track_caller]
    pub(crate) fn assert_general(&self, state: &NativeState) {
        assert_eq!(self.general[..29], state.x);
        assert_eq!(self.general[29..31], [state.fp, state.lr]);
        assert_eq!(state.sp, true_stack_pointer());
        assert_eq!(u64::from(state.cpsr) & NZCV, self.flags);
    }

    #[track_caller]
    pub(crate) fn assert_float(&self, state: &Float) {
        assert_eq!(self.float, *state);
    }
}

/// Returns `true` if this processor has the instructions that these tests use.
pub(crate) fn has_enough() -> bool {
    true
}

/// Overwrites every register that a C function may change, and the floating-point control words.
pub(crate) fn trash() {
    // SAFETY: every register written is declared as changed, or is a control word that the trampoline restores: the handler
    // returns at once.
    unsafe {
        asm!(
            "mov x9, #0x5aa5",
            "dup v0.2d, x9", "dup v1.2d, x9", "dup v2.2d, x9", "dup v3.2d, x9", "dup v4.2d, x9", "dup v5.2d, x9",
            "dup v6.2d, x9", "dup v7.2d, x9", "dup v8.2d, x9", "dup v9.2d, x9", "dup v10.2d, x9", "dup v11.2d, x9",
            "dup v12.2d, x9", "dup v13.2d, x9", "dup v14.2d, x9", "dup v15.2d, x9", "dup v16.2d, x9",
            "dup v17.2d, x9", "dup v18.2d, x9", "dup v19.2d, x9", "dup v20.2d, x9", "dup v21.2d, x9",
            "dup v22.2d, x9", "dup v23.2d, x9", "dup v24.2d, x9", "dup v25.2d, x9", "dup v26.2d, x9",
            "dup v27.2d, x9", "dup v28.2d, x9", "dup v29.2d, x9", "dup v30.2d, x9", "dup v31.2d, x9",
            "mov x10, #0x1f", "msr fpsr, x10",
            "mov x10, #0x00c00000", "msr fpcr, x10",
            "cmp x9, x9",
            "mov x0, x9", "mov x1, x9", "mov x2, x9", "mov x3, x9", "mov x4, x9", "mov x5, x9", "mov x6, x9",
            "mov x7, x9", "mov x8, x9", "mov x10, x9", "mov x11, x9", "mov x12, x9", "mov x13, x9", "mov x14, x9",
            "mov x15, x9", "mov x16, x9", "mov x17, x9",
            clobber_abi("C"),
            out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _, out("v14") _,
            out("v15") _,
        );
    }
}

/// Returns the fourth argument register. It holds the tag only at the start of a handler.
#[inline(always)]
pub(crate) fn fourth_argument() -> u64 {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, x3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Returns the offsets of the bytes in a machine context of that size in which no register is: behind FPCR.
pub(crate) fn reserved(size: usize) -> Vec<usize> {
    (808..size).collect()
}

pub(crate) fn float_of(context: &Context) -> Float {
    context.ns
}

/// Makes the edits that [`Registers::with_edits`] expects.
pub(crate) fn edit(context: &mut Context) {
    context.ss.x[2] = 0xed17;
    context.ss.cpsr ^= 1 << 29;
    context.ns.fpcr = 0x0080_0000;
    context.ns.fpsr = 0x10;
    context.ns.v[3] = u128::MAX / 3;
    context.ns.v[31] = 0x17;
}

pub(crate) fn assert_default_environment() {
    let fpcr: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags)) };
    assert_eq!(fpcr, 0, "FPCR");
}
