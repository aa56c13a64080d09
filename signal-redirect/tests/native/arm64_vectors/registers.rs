//! arm64's vector registers: the tests load them, fault with `udf`, and read them again.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use mach_sys::processor::Arm64Vectors;

use crate::patterns::generator;

/// Bytes of the longest vector.
pub(super) const LONGEST: usize = 256;

/// Bits of SVCR: streaming mode and ZA.
pub(super) const SM: u64 = 1;
pub(super) const ZA: u64 = 2;

/// The registers, each kind stored contiguously in the thread's own vector length.
#[repr(C, align(64))]
#[derive(Clone, PartialEq)]
pub(super) struct Vectors {
    pub(super) svcr: u64,
    pub(super) tpidr2: u64,
    pub(super) fpsr: u64,
    pub(super) fpcr: u64,
    /// Registers to load and store: [`HAS_SME`] and the other flags.
    pub(super) has: u64,
    pub(super) reserved: [u64; 3],
    pub(super) zt0: [u8; 64],
    pub(super) ffr: [u8; LONGEST / 8],
    pub(super) p: [u8; 16 * LONGEST / 8],
    pub(super) z: [u8; 32 * LONGEST],
    pub(super) za: [u8; LONGEST * LONGEST],
}

pub(super) const HAS_SME: u64 = 1 << 0;
pub(super) const HAS_Z: u64 = 1 << 1;
pub(super) const HAS_FFR: u64 = 1 << 2;
pub(super) const HAS_ZT0: u64 = 1 << 3;
/// Flag: the processor has z and p outside streaming mode.
pub(super) const HAS_SVE: u64 = 1 << 4;

/// Emits an instruction for each register of a kind, as a word in which `\n` is the register's number.
macro_rules! each_z {
    ($word:literal) => {
        concat!(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n",
            ".inst ", $word, "\n.endr"
        )
    };
}

macro_rules! each_p {
    ($word:literal) => {
        concat!(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n.inst ",
            $word,
            "\n.endr"
        )
    };
}

/// Emits an instruction for each pair of v registers.
macro_rules! each_pair {
    ($word:literal) => {
        concat!(
            ".irp n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30\n.inst ",
            $word,
            "\n.endr"
        )
    };
}

global_asm!(
    // Faults with the registers at x0, and stores the registers after the fault to x1.
    ".globl redirect_test_vectors, _redirect_test_vectors",
    ".p2align 2",
    "redirect_test_vectors:", "_redirect_test_vectors:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-96]!",
    ".cfi_def_cfa_offset 96",
    ".cfi_offset x29, -96", ".cfi_offset x30, -88",
    "stp x19, x20, [sp, #16]",
    "stp d8, d9, [sp, #32]", "stp d10, d11, [sp, #48]", "stp d12, d13, [sp, #64]", "stp d14, d15, [sp, #80]",
    "mov x19, x0",
    "mov x20, x1",
    "ldr x9, [x19, #{has}]",
    "ldr x13, [x19, #{svcr}]",
    "tbz w9, #0, 2f",
    "msr s3_3_c4_c2_2, x13",
    "ldr x10, [x19, #{tpidr2}]",
    "msr s3_3_c13_c0_5, x10",
    "2:",
    "tbz w9, #1, 3f",
    "tbz w9, #2, 2f",
    "add x10, x19, #{ffr}",
    ".inst 0x85800140", // ldr p0, [x10]
    ".inst 0x25289000", // wrffr p0.b
    "2:",
    "add x10, x19, #{z}",
    "add x11, x19, #{p}",
    // ldr z, [x10, #n, mul vl]; ldr p, [x11, #n, mul vl]
    each_z!("0x85804140 | (\\n >> 3) << 16 | (\\n & 7) << 10 | \\n"),
    each_p!("0x85800160 | (\\n >> 3) << 16 | (\\n & 7) << 10 | \\n"),
    "b 4f",
    "3:",
    "add x10, x19, #{z}",
    each_pair!("0xad400140 | \\n << 15 | (\\n + 1) << 10 | \\n"), // ldp q, q, [x10, #16 * n]
    "4:",
    "tbz w13, #1, 3f",
    "mov x10, #{za}",
    "add x10, x19, x10",
    ".inst 0x04bf582b", // rdsvl x11, #1
    "mov w12, wzr",
    "2:",
    ".inst 0xe1000140", // ldr za[w12, 0], [x10]
    "add x10, x10, x11",
    "add w12, w12, #1",
    "cmp w12, w11",
    "b.lo 2b",
    "tbz w9, #3, 3f",
    "add x10, x19, #{zt0}",
    ".inst 0xe11f8140", // ldr zt0, [x10]
    "3:",
    "ldr x10, [x19, #{fpsr}]",
    "msr fpsr, x10",
    "ldr x10, [x19, #{fpcr}]",
    "msr fpcr, x10",
    "udf #11",
    "mrs x10, fpsr",
    "str x10, [x20, #{fpsr}]",
    "mrs x10, fpcr",
    "str x10, [x20, #{fpcr}]",
    "ldr x9, [x19, #{has}]",
    "str x9, [x20, #{has}]",
    "mov x13, xzr",
    "tbz w9, #0, 2f",
    "mrs x13, s3_3_c4_c2_2",
    "mrs x10, s3_3_c13_c0_5",
    "str x10, [x20, #{tpidr2}]",
    "2:",
    "str x13, [x20, #{svcr}]",
    "tbz w9, #1, 3f",
    "add x10, x20, #{z}",
    "add x11, x20, #{p}",
    // str z, [x10, #n, mul vl]; str p, [x11, #n, mul vl]
    each_z!("0xe5804140 | (\\n >> 3) << 16 | (\\n & 7) << 10 | \\n"),
    each_p!("0xe5800160 | (\\n >> 3) << 16 | (\\n & 7) << 10 | \\n"),
    "tbz w9, #2, 4f",
    "add x10, x20, #{ffr}",
    ".inst 0x2519f000", // rdffr p0.b
    ".inst 0xe5800140", // str p0, [x10]
    "b 4f",
    "3:",
    "add x10, x20, #{z}",
    each_pair!("0xad000140 | \\n << 15 | (\\n + 1) << 10 | \\n"), // stp q, q, [x10, #16 * n]
    "4:",
    "tbz w13, #1, 3f",
    "mov x10, #{za}",
    "add x10, x20, x10",
    ".inst 0x04bf582b", // rdsvl x11, #1
    "mov w12, wzr",
    "2:",
    ".inst 0xe1200140", // str za[w12, 0], [x10]
    "add x10, x10, x11",
    "add w12, w12, #1",
    "cmp w12, w11",
    "b.lo 2b",
    "tbz w9, #3, 3f",
    "add x10, x20, #{zt0}",
    ".inst 0xe13f8140", // str zt0, [x10]
    "3:",
    "tbz w9, #0, 2f",
    "msr s3_3_c4_c2_2, xzr",
    "msr s3_3_c13_c0_5, xzr",
    "2:",
    "msr fpcr, xzr",
    "msr fpsr, xzr",
    "ldp x19, x20, [sp, #16]",
    "ldp d8, d9, [sp, #32]", "ldp d10, d11, [sp, #48]", "ldp d12, d13, [sp, #64]", "ldp d14, d15, [sp, #80]",
    "ldp x29, x30, [sp], #96",
    "ret",
    ".cfi_endproc",
    // Overwrites every register, in both modes and in ZA, and restores the registers that a C function must preserve.
    ".globl redirect_test_vectors_trash, _redirect_test_vectors_trash",
    ".p2align 2",
    "redirect_test_vectors_trash:", "_redirect_test_vectors_trash:",
    ".cfi_startproc",
    "sub sp, sp, #64",
    ".cfi_def_cfa_offset 64",
    "stp d8, d9, [sp, #0]", "stp d10, d11, [sp, #16]", "stp d12, d13, [sp, #32]", "stp d14, d15, [sp, #48]",
    "mov x9, #3",
    "tbz w0, #0, 3f",
    "msr s3_3_c4_c2_2, x9",
    "mov x10, #0x5a",
    "msr s3_3_c13_c0_5, x10",
    ".inst 0x2518e3e0", // ptrue p0.b
    each_z!("0x2538cb40 | \\n"), // mov z.b, #0x5a
    ".inst 0x04bf582b", // rdsvl x11, #1
    "mov w12, wzr",
    "2:",
    ".inst 0xc0000000", // mov za0h.b[w12, 0], p0/m, z0.b
    "add w12, w12, #1",
    "cmp w12, w11",
    "b.lo 2b",
    "msr s3_3_c4_c2_2, xzr",
    "msr s3_3_c13_c0_5, xzr",
    "3:",
    each_z!("0x4f02e740 | \\n"), // movi v.16b, #0x5a
    "tbz w0, #4, 4f",
    each_z!("0x2538cb40 | \\n"),
    each_p!("0x2558e3e0 | \\n"), // ptrue p.h
    ".inst 0x252c9000", // setffr
    "4:",
    "mov x10, #0x1f",
    "msr fpsr, x10",
    "mov x10, #0x00c00000",
    "msr fpcr, x10",
    "ldp d8, d9, [sp, #0]", "ldp d10, d11, [sp, #16]", "ldp d12, d13, [sp, #32]", "ldp d14, d15, [sp, #48]",
    "add sp, sp, #64",
    "ret",
    ".cfi_endproc",
    svcr = const offset_of!(Vectors, svcr),
    tpidr2 = const offset_of!(Vectors, tpidr2),
    fpsr = const offset_of!(Vectors, fpsr),
    fpcr = const offset_of!(Vectors, fpcr),
    has = const offset_of!(Vectors, has),
    zt0 = const offset_of!(Vectors, zt0),
    ffr = const offset_of!(Vectors, ffr),
    p = const offset_of!(Vectors, p),
    z = const offset_of!(Vectors, z),
    za = const offset_of!(Vectors, za),
);

unsafe extern "C" {
    fn redirect_test_vectors(input: *const Vectors, output: *mut Vectors);
    /// Overwrites the vector registers. `has` is a combination of [`HAS_SME`] and [`HAS_SVE`].
    pub(super) fn redirect_test_vectors_trash(has: u64);
}

/// Returns [`HAS_SME`] and [`HAS_SVE`] as this processor has them.
pub(super) fn kinds() -> u64 {
    let vectors = Arm64Vectors::native();
    (u64::from(vectors.sme) * HAS_SME) | (u64::from(vectors.sve) * HAS_SVE)
}

/// Returns the bytes of a z register in a mode on this thread; 16 if there are only v registers.
pub(super) fn length(svcr: u64) -> usize {
    let mut length = 16;
    // SAFETY: rdsvl x0, #1 and rdvl x0, #1, on a processor with SME and SVE; each changes only x0.
    unsafe {
        if svcr & SM != 0 {
            asm!(".inst 0x04bf5820", out("x0") length);
        } else if kinds() & HAS_SVE != 0 {
            asm!(".inst 0x04bf5020", out("x0") length);
        }
    }
    length
}

/// Returns the bytes of a vector of ZA.
pub(super) fn za_length() -> usize {
    length(SM)
}

impl Vectors {
    pub(super) fn zero() -> Box<Self> {
        Box::new(Self {
            svcr: 0,
            tpidr2: 0,
            fpsr: 0,
            fpcr: 0,
            has: 0,
            reserved: [0; 3],
            zt0: [0; 64],
            ffr: [0; LONGEST / 8],
            p: [0; 16 * LONGEST / 8],
            z: [0; 32 * LONGEST],
            za: [0; LONGEST * LONGEST],
        })
    }

    /// Returns registers with a different value in each that exists in this mode.
    pub(super) fn patterned(seed: u64, svcr: u64) -> Box<Self> {
        let native = Arm64Vectors::native();
        let mut next = generator(seed * 4 + svcr);
        let mut fill = |bytes: &mut [u8]| bytes.fill_with(|| (next() >> 32) as u8);
        let mut vectors = Self::zero();
        let streaming = svcr & SM != 0;
        vectors.svcr = svcr;
        vectors.has = kinds();
        let length = length(svcr);
        fill(&mut vectors.z[..32 * length]);
        if streaming || native.sve {
            vectors.has |= HAS_Z;
            fill(&mut vectors.p[..16 * length / 8]);
            if !streaming || native.sme_fa64 {
                vectors.has |= HAS_FFR;
                // A run of ones from the first bit, then zeroes: other values are not defined.
                vectors.ffr[..1 + seed as usize % (length / 8)].fill(0xff);
            }
        }
        if svcr & ZA != 0 {
            let length = za_length();
            fill(&mut vectors.za[..length * length]);
            if native.sme2 {
                vectors.has |= HAS_ZT0;
                fill(&mut vectors.zt0);
            }
        }
        if native.sme {
            // With ZA on, TPIDR2_EL0 points to a block for its lazy saving.
            vectors.tpidr2 = if svcr & ZA != 0 { 0x7000 + seed } else { 0 };
        }
        // Round up, default NaN; cumulative flags.
        vectors.fpcr = 0x0240_0000;
        vectors.fpsr = 0x11;
        vectors
    }

    #[track_caller]
    pub(super) fn assert_same(&self, found: &Self) {
        assert_eq!(self.svcr, found.svcr, "SVCR");
        assert_eq!(self.tpidr2, found.tpidr2, "TPIDR2_EL0");
        assert_eq!(
            (self.fpsr, self.fpcr),
            (found.fpsr, found.fpcr),
            "fpsr, fpcr"
        );
        let mode = self.svcr;
        let length = length(mode);
        for (number, (given, found)) in self
            .z
            .chunks(length)
            .zip(found.z.chunks(length))
            .enumerate()
        {
            assert_eq!(given, found, "z{number}, SVCR {mode}");
        }
        assert_eq!(self.p, found.p, "p, SVCR {mode}");
        assert_eq!(self.ffr, found.ffr, "ffr, SVCR {mode}");
        assert_eq!(self.zt0, found.zt0, "ZT0, SVCR {mode}");
        // Not printed: it may have 65 536 bytes.
        assert!(self.za == found.za, "ZA, SVCR {mode}");
    }
}

/// Faults with these registers, and returns the registers after the fault.
pub(super) fn run(given: &Vectors) -> Box<Vectors> {
    let mut found = Vectors::zero();
    // SAFETY: the assembly follows the calling convention, and the handler steps over its fault.
    unsafe { redirect_test_vectors(given, &mut *found) };
    found
}

/// Returns the modes that this processor has, as values of SVCR.
pub(super) fn modes() -> impl Iterator<Item = u64> {
    let last = if kinds() & HAS_SME != 0 { SM | ZA } else { 0 };
    0..=last
}
