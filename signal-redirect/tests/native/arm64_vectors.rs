//! arm64's vector registers beyond NEON's: SVE, streaming mode and ZA (SME), over every mode that a thread can be interrupted in.
//!
//! The processor that these need is rarely the one at hand. Under qemu-user the test starts itself once for each of several; on a
//! machine it takes what is there, and says so if that is nothing.

use core::arch::{asm, global_asm};
use core::ffi::c_int;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::processor::Arm64Vectors;
use signal_redirect::{Code, Native, Redirect, VectorSave};

use crate::child::{own_process, watched};
use crate::handlers::context;
use crate::machine::FAULT_LENGTH;
use crate::redirects::TAG;
use crate::{plan, server, signal_frame};

/// Longest vector, in bytes.
const LONGEST: usize = 256;

/// Streaming mode and ZA, as SVCR has them.
const SM: u64 = 1;
const ZA: u64 = 2;

/// The registers, each kind one after the other in the thread's own vector length.
#[repr(C, align(64))]
#[derive(Clone, PartialEq)]
struct Vectors {
    svcr: u64,
    tpidr2: u64,
    fpsr: u64,
    fpcr: u64,
    /// What to load and store: [`HAS_SME`] and so on.
    has: u64,
    reserved: [u64; 3],
    zt0: [u8; 64],
    ffr: [u8; LONGEST / 8],
    p: [u8; 16 * LONGEST / 8],
    z: [u8; 32 * LONGEST],
    za: [u8; LONGEST * LONGEST],
}

const HAS_SME: u64 = 1 << 0;
const HAS_Z: u64 = 1 << 1;
const HAS_FFR: u64 = 1 << 2;
const HAS_ZT0: u64 = 1 << 3;
/// z and p outside streaming mode.
const HAS_SVE: u64 = 1 << 4;

/// An instruction for each register of a kind, as a word that `\n` is the register's number in.
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

/// An instruction for each pair of v registers.
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
    // Takes registers to fault with (x0) and a place for those after it (x1).
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
    // Another value in every register, in both modes and in ZA, and back. What a C function saves for its caller is saved.
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
    /// Takes [`HAS_SME`] and [`HAS_SVE`].
    fn redirect_test_vectors_trash(has: u64);
}

/// What this processor has, as the tests' flags.
fn kinds() -> u64 {
    let vectors = Arm64Vectors::native();
    (u64::from(vectors.sme) * HAS_SME) | (u64::from(vectors.sve) * HAS_SVE)
}

/// Bytes of a z register in a mode, as this thread has it; 16 where there are v registers only.
fn length(svcr: u64) -> usize {
    let mut length = 16;
    // SAFETY: rdsvl x0, #1 and rdvl x0, #1, where there are SME and SVE; each changes x0 only.
    unsafe {
        if svcr & SM != 0 {
            asm!(".inst 0x04bf5820", out("x0") length);
        } else if kinds() & HAS_SVE != 0 {
            asm!(".inst 0x04bf5020", out("x0") length);
        }
    }
    length
}

/// Bytes of a vector of ZA.
fn za_length() -> usize {
    length(SM)
}

impl Vectors {
    fn zero() -> Box<Self> {
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

    /// A value of its own in every register that there is in this mode.
    fn patterned(seed: u64, svcr: u64) -> Box<Self> {
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
                // From its first bit on as many as there are, and then none: no other value is defined.
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
            // ZA is lazily saved: it is on, and there is a block for it.
            vectors.tpidr2 = if svcr & ZA != 0 { 0x7000 + seed } else { 0 };
        }
        // Round up, default NaN; cumulative flags.
        vectors.fpcr = 0x0240_0000;
        vectors.fpsr = 0x11;
        vectors
    }

    #[track_caller]
    fn assert_same(&self, found: &Self) {
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
        // Not shown: it may have 65 536 bytes.
        assert!(self.za == found.za, "ZA, SVCR {mode}");
    }
}

fn generator(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Faults with these registers, and gives what is found after it.
fn run(given: &Vectors) -> Box<Vectors> {
    let mut found = Vectors::zero();
    // SAFETY: the assembly keeps to the calling convention, and the handler steps over its fault.
    unsafe { redirect_test_vectors(given, &mut *found) };
    found
}

/// The modes that this processor has.
fn modes() -> impl Iterator<Item = u64> {
    let last = if kinds() & HAS_SME != 0 { SM | ZA } else { 0 };
    0..=last
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
/// v5 as the last handler was shown it.
static SHOWN: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
static EDIT: AtomicBool = AtomicBool::new(false);
/// Faults inside handlers, from the first on.
static NESTING: AtomicUsize = AtomicUsize::new(0);

fn shown() -> [u8; 16] {
    let words = SHOWN
        .each_ref()
        .map(|word| word.load(Relaxed).to_le_bytes());
    words.concat().try_into().unwrap()
}

unsafe extern "C" fn on_fault(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    CALLS.fetch_add(1, Relaxed);
    if kinds() & HAS_SME != 0 {
        let (svcr, tpidr2): (u64, u64);
        // SAFETY: there is SME; both are read only.
        unsafe {
            asm!("mrs {}, s3_3_c4_c2_2", "mrs {}, s3_3_c13_c0_5", out(reg) svcr, out(reg) tpidr2);
        }
        assert_eq!((svcr, tpidr2), (0, 0), "SVCR, TPIDR2_EL0");
    }
    let words = [1u64, 2];
    let sum: u64;
    // SAFETY: loads a local variable. In streaming mode this need not be an instruction.
    unsafe {
        asm!("ld1 {{v0.2d}}, [{1}]", "addp {0:d}, v0.2d", out(vreg) sum, in(reg) &words, out("v0") _);
    }
    assert_eq!(sum, 3);
    crate::machine::assert_default_environment();
    let depth = NESTING.load(Relaxed);
    if depth != 0 {
        NESTING.store(depth - 1, Relaxed);
        for mode in modes() {
            let given = Vectors::patterned(100 + depth as u64, mode);
            given.assert_same(&run(&given));
        }
    }
    // SAFETY: `uc` is what this handler was given.
    let context = unsafe { context(uc) };
    let v5 = context.ns.v[5].to_le_bytes();
    for (word, bytes) in SHOWN.iter().zip(v5.chunks(8)) {
        word.store(u64::from_le_bytes(bytes.try_into().unwrap()), Relaxed);
    }
    if EDIT.load(Relaxed) {
        context.ns.v[3] = u128::MAX / 3;
        context.ns.fpsr = 0x10;
    }
    context.ss.pc += FAULT_LENGTH;
    // SAFETY: keeps to the calling convention but for the floating-point environment, which the trampoline restores.
    unsafe { redirect_test_vectors_trash(kinds()) };
}

/// Processors of qemu-user's: everything; streaming mode without the whole instruction set; vectors of an M4; the longest ones; SVE
/// only.
const PROCESSORS: [&str; 5] = [
    "max",
    "max,sme_fa64=off",
    "max,sme-default-vector-length=64,sme_fa64=off",
    "max,sme-default-vector-length=256,sve-default-vector-length=256",
    "max,sme=off",
];

/// The longest vectors of ZA, in bytes, with which the emulation serves a thread: it copies a signal frame of 16 KiB at most.
const LONGEST_EMULATED: usize = 64;

/// Serves the calling thread's faults: over a port, or from its signal frames where the emulation has no room for them.
fn serve_with<C>(plan: Redirect<Native, C>)
where
    C: Code<Native> + Clone + Send + 'static,
{
    if KERNEL == Kernel::Emulated && kinds() & HAS_SME != 0 && za_length() > LONGEST_EMULATED {
        signal_frame::serve_with(plan);
    } else {
        server::serve_with(plan);
    }
}

/// Lets a thread that is refused for its vectors' length go on behind the instruction that faulted, with its own registers.
fn step_over_long_vectors() {
    server::with_served(|served| served.step_over_long_vectors = FAULT_LENGTH);
}

fn long_vectors() -> usize {
    server::with_served(|served| served.long_vectors)
}

/// Runs `body` in a process of its own, under qemu-user on each of [`PROCESSORS`], where the processor has what it needs. `body` returns what
/// the processor lacks.
fn on_each_processor(name: &str, body: impl Fn() -> Result<(), &'static str>) {
    // A Mac has no other processor than its own.
    let several = if KERNEL == Kernel::Xnu {
        1
    } else {
        PROCESSORS.len()
    };
    let mut shown = 0;
    for processor in &PROCESSORS[..several] {
        let body = || {
            if let Err(reason) = watched(&body) {
                println!("{WANTING}{reason}");
            }
        };
        let Some((status, text)) =
            own_process::outcome_with(name, &[("QEMU_CPU", processor)], body)
        else {
            return;
        };
        assert!(status.success(), "{processor}: {status}\n{text}");
        assert!(text.contains("1 passed"), "nothing ran:\n{text}");
        if !text.contains(WANTING) {
            shown += 1;
        }
    }
    if shown == 0 {
        own_process::report_skipped(name, "no processor at hand has these registers");
    }
}

const WANTING: &str = "wanting: ";

fn sme() -> Result<(), &'static str> {
    let has = Arm64Vectors::native().sme;
    has.then_some(()).ok_or("this processor has no SME")
}

/// Every mode, every register; the handler is called outside all of them and trashes them.
#[test]
fn every_mode_is_left_for_the_handler_and_comes_back() {
    const NAME: &str = "arm64_vectors::every_mode_is_left_for_the_handler_and_comes_back";
    on_each_processor(NAME, || {
        if kinds() == 0 {
            return Err("this processor has neither SVE nor SME");
        }
        serve_with(plan(on_fault));
        let mut calls = 0;
        for seed in 0..8 {
            for mode in modes() {
                let given = Vectors::patterned(seed, mode);
                given.assert_same(&run(&given));
                assert_eq!(shown()[..], given.z[5 * length(mode)..][..16]);
                calls += 1;
            }
        }
        assert_eq!(CALLS.load(Relaxed), calls);
        Ok(())
    });
}

/// The machine context's v register is the lowest part of the z register: an edit changes that, and nothing else of it.
#[test]
fn an_edit_of_a_v_register_leaves_the_rest_of_its_z_register() {
    const NAME: &str = "arm64_vectors::an_edit_of_a_v_register_leaves_the_rest_of_its_z_register";
    on_each_processor(NAME, || {
        if kinds() == 0 {
            return Err("this processor has neither SVE nor SME");
        }
        serve_with(plan(on_fault));
        EDIT.store(true, Relaxed);
        for mode in modes() {
            let mut given = Vectors::patterned(17, mode);
            let found = run(&given);
            given.z[3 * length(mode)..][..16].fill(0x55);
            given.fpsr = 0x10;
            given.assert_same(&found);
        }
        Ok(())
    });
}

/// A handler that uses streaming mode itself, and faults in it.
#[test]
fn faults_of_handlers_in_streaming_mode_nest() {
    const NAME: &str = "arm64_vectors::faults_of_handlers_in_streaming_mode_nest";
    on_each_processor(NAME, || {
        sme()?;
        serve_with(plan(on_fault));
        let before = server::returns();
        for mode in modes() {
            NESTING.store(3, Relaxed);
            let given = Vectors::patterned(5, mode);
            given.assert_same(&run(&given));
            assert_eq!(NESTING.load(Relaxed), 0);
        }
        // Of each of the four: one fault, and four inside each of three handlers.
        assert_eq!(server::returns() - before, 4 * (1 + 3 * 4));
        Ok(())
    });
}

/// A processor as an M4 is: z and p in streaming mode only, and no ffr. The trampoline is told so; this one has more.
#[test]
fn without_sve_streaming_mode_comes_back_all_the_same() {
    const NAME: &str = "arm64_vectors::without_sve_streaming_mode_comes_back_all_the_same";
    on_each_processor(NAME, || {
        sme()?;
        let mut vectors = Arm64Vectors::native();
        (vectors.sve, vectors.sme_fa64) = (false, false);
        let save = VectorSave::scalable(vectors, 0, za_length() as u64);
        let plan = Redirect::plan(on_fault as *const () as u64, server::trampoline_with(save));
        serve_with(plan.tag(TAG));
        for seed in 0..4 {
            for mode in [SM, ZA | SM] {
                let mut given = Vectors::patterned(seed, mode);
                given.has &= !HAS_FFR;
                given.ffr.fill(0);
                given.assert_same(&run(&given));
            }
            // ZA, and of z what the machine context has.
            let given = Vectors::patterned(seed, ZA);
            let found = run(&given);
            assert_eq!((found.svcr, found.tpidr2), (ZA, given.tpidr2));
            assert!(found.za == given.za, "ZA");
            for number in 0..32 {
                let low = number * length(0)..number * length(0) + 16;
                assert_eq!(found.z[low.clone()], given.z[low], "v{number}");
            }
        }
        assert_eq!(CALLS.load(Relaxed), 4 * 3);
        Ok(())
    });
}

/// A thread whose vectors are longer than what its frame has room for is not sent to its handler: nothing is written below the frame, and
/// the server is told why.
#[test]
fn longer_vectors_than_there_is_room_for_are_refused() {
    const NAME: &str = "arm64_vectors::longer_vectors_than_there_is_room_for_are_refused";
    on_each_processor(NAME, || {
        sme()?;
        // Room for the shortest.
        let save = VectorSave::scalable(Arm64Vectors::native(), 16, 16);
        let plan = Redirect::plan(on_fault as *const () as u64, server::trampoline_with(save));
        serve_with(plan.tag(TAG));
        step_over_long_vectors();
        for (count, mode) in modes().enumerate() {
            let given = Vectors::patterned(9, mode);
            let found = run(&given);
            // The thread has its registers and modes still, but for those that the trampoline reckons with.
            assert_eq!(found.svcr, given.svcr);
            assert!(found.za == given.za, "ZA");
            assert_eq!(found.z, given.z);
            assert_eq!(long_vectors(), count + 1);
        }
        assert_eq!(CALLS.load(Relaxed), 0);
        Ok(())
    });
}

unsafe extern "C" fn shortening(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {
    CALLS.fetch_add(1, Relaxed);
    let length: u64;
    // SAFETY: Linux's system call 167, prctl(PR_SME_SET_VL, 16), changes the thread's own vector length, which nothing in this handler
    // relies on; the trampoline does, and sees it.
    unsafe {
        asm!(
            "svc #0", in("x8") 167u64, inout("x0") 63u64 => length, in("x1") 16u64, in("x2") 0u64, in("x3") 0u64,
            in("x4") 0u64, clobber_abi("C"),
        );
    }
    assert_eq!(length & 0xffff, 16);
}

/// Registers of one length are not loaded in another: what lies behind them on the stack is not theirs.
#[test]
fn a_handler_that_changes_the_vector_length_is_refused() {
    const NAME: &str = "arm64_vectors::a_handler_that_changes_the_vector_length_is_refused";
    if KERNEL == Kernel::Xnu {
        return own_process::report_skipped(
            NAME,
            "a thread cannot change its vectors' length there",
        );
    }
    on_each_processor(NAME, || {
        sme()?;
        assert!(za_length() > 16);
        serve_with(plan(shortening));
        step_over_long_vectors();
        run(&Vectors::patterned(9, SM | ZA));
        assert_eq!((CALLS.load(Relaxed), long_vectors()), (1, 1));
        Ok(())
    });
}
