//! arm64's vector registers beyond NEON: SVE, streaming mode and ZA (SME), in every mode in which a thread can be interrupted.
//!
//! Few processors have these registers. Under qemu-user a test starts itself once for each of several processors. On a real machine it
//! uses the processor's registers, and reports itself skipped if there are none.

mod registers;

use core::arch::asm;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::processor::Arm64Vectors;
use signal_redirect::{Code, Native, Redirect, VectorSave};

use crate::child::{isolated, watched};
use crate::handlers::context;
use crate::machine::FAULT_LENGTH;
use crate::redirects::TAG;
use crate::{plan, server, signal_frame};
use registers::*;

static CALLS: AtomicUsize = AtomicUsize::new(0);
/// v5 as the last handler saw it.
static SHOWN: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
static EDIT: AtomicBool = AtomicBool::new(false);
/// Number of handlers that fault themselves, from the first on.
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
        // SAFETY: the processor has SME; both registers are only read.
        unsafe {
            asm!("mrs {}, s3_3_c4_c2_2", "mrs {}, s3_3_c13_c0_5", out(reg) svcr, out(reg) tpidr2);
        }
        assert_eq!((svcr, tpidr2), (0, 0), "SVCR, TPIDR2_EL0");
    }
    let words = [1u64, 2];
    let sum: u64;
    // SAFETY: loads a local variable. In streaming mode the instruction may be undefined.
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
    // SAFETY: follows the calling convention except for the floating-point environment, which the trampoline restores.
    unsafe { redirect_test_vectors_trash(kinds()) };
}

/// qemu-user's processors: with everything; with streaming mode without the whole instruction set; with an M4's vector length; with
/// the longest vectors; with SVE only.
const PROCESSORS: [&str; 5] = [
    "max",
    "max,sme_fa64=off",
    "max,sme-default-vector-length=64,sme_fa64=off",
    "max,sme-default-vector-length=256,sve-default-vector-length=256",
    "max,sme=off",
];

/// The longest vectors of ZA, in bytes, with which the emulation serves a thread: it copies a signal frame of at most 16 KiB.
const LONGEST_EMULATED: usize = 64;

/// Serves the calling thread's faults over a port, or from its signal frames if these are too large for the emulation.
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

/// Makes the server resume a thread that is refused for its vector length after the faulting instruction, with its own registers.
fn step_over_long_vectors() {
    server::with_served(|served| served.step_over_long_vectors = FAULT_LENGTH);
}

fn long_vectors() -> usize {
    server::with_served(|served| served.long_vectors)
}

/// Runs `body` in a process of its own, under qemu-user on each of [`PROCESSORS`]. `body` returns an error that says what the processor
/// lacks, if it cannot run there.
fn on_each_processor(name: &str, body: impl Fn() -> Result<(), &'static str>) {
    // A Mac has only its own processor.
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
            isolated::exit_status_with(name, &[("QEMU_CPU", processor)], body)
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
        isolated::report_skipped(name, "no processor at hand has these registers");
    }
}

const WANTING: &str = "wanting: ";

fn sme() -> Result<(), &'static str> {
    let has = Arm64Vectors::native().sme;
    has.then_some(()).ok_or("this processor has no SME")
}

/// Every register survives in every mode; the handler is called outside all modes and overwrites the registers.
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

/// The machine context's v register is the lowest part of the z register: an edit changes only that part.
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
        // In each of the four modes: one fault, and four inside each of three handlers.
        assert_eq!(server::returns() - before, 4 * (1 + 3 * 4));
        Ok(())
    });
}

/// A trampoline for a processor like an M4, with z and p in streaming mode only, and without ffr. This processor has more.
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
            // ZA, and the part of z that the machine context has.
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

/// A thread is not sent to its handler if its vectors do not fit in its frame. Nothing is written below the frame, and the server gets
/// [`signal_redirect::ReturnError::VectorLength`].
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
            // The thread still has its registers and modes, except for the scratch registers of the trampoline.
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
    // SAFETY: Linux's system call 167, prctl(PR_SME_SET_VL, 16), changes the thread's own vector length. Nothing in this handler relies
    // on it; the trampoline does, and detects the change.
    unsafe {
        asm!(
            "svc #0", in("x8") 167u64, inout("x0") 63u64 => length, in("x1") 16u64, in("x2") 0u64, in("x3") 0u64,
            in("x4") 0u64, clobber_abi("C"),
        );
    }
    assert_eq!(length & 0xffff, 16);
}

/// Registers saved in one length are not loaded in another: that would read beyond them on the stack.
#[test]
fn a_handler_that_changes_the_vector_length_is_refused() {
    const NAME: &str = "arm64_vectors::a_handler_that_changes_the_vector_length_is_refused";
    if KERNEL == Kernel::Xnu {
        return isolated::report_skipped(NAME, "a thread cannot change its vectors' length there");
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
