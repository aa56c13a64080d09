//! Traps and registers of x86_64 only: floating-point exceptions, the divide error, single steps, AVX's upper halves.

use core::arch::global_asm;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::Mutex;

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::pod::bytes_of;

use signal_redirect::{Redirect, VectorSave};

use crate::child::{in_child, isolated};
use crate::handlers::{CALLS, computing_handler, context, trashing_handler};
use crate::machine::Registers;
use crate::redirects::TAG;
use crate::{machine, serve, server};

global_asm!(
    // x87: unmasks everything, divides by zero, and faults at the next waiting instruction. Returns the control and status words.
    ".globl redirect_test_x87, _redirect_test_x87",
    "redirect_test_x87:",
    "_redirect_test_x87:",
    "sub rsp, 24",
    "mov word ptr [rsp], 0x340",
    "fldcw [rsp]",
    "fld1",
    "fldz",
    "fdivp",
    ".byte 0x9b",
    ".byte 0x90",
    "fnstsw ax",
    "fnstcw [rsp]",
    "movzx ecx, word ptr [rsp]",
    "shl ecx, 16",
    "movzx eax, ax",
    "or eax, ecx",
    "fninit",
    "add rsp, 24",
    "ret",
    // SSE: unmasks everything, sets rounding to zero and flushing, divides by zero. Returns MXCSR.
    ".globl redirect_test_sse, _redirect_test_sse",
    "redirect_test_sse:",
    "_redirect_test_sse:",
    "sub rsp, 24",
    "mov dword ptr [rsp], 0xe000",
    "ldmxcsr [rsp]",
    "mov eax, 1",
    "cvtsi2sd xmm0, eax",
    "xorps xmm1, xmm1",
    "divsd xmm0, xmm1",
    "stmxcsr [rsp]",
    "mov eax, [rsp]",
    "mov dword ptr [rsp], 0x1f80",
    "ldmxcsr [rsp]",
    "add rsp, 24",
    "ret",
    ".globl redirect_test_divide, _redirect_test_divide",
    "redirect_test_divide:",
    "_redirect_test_divide:",
    "xor ecx, ecx",
    "xor edx, edx",
    "mov eax, 7",
    "div ecx",
    "ret",
    // Sets the trap flag itself.
    ".globl redirect_test_step, _redirect_test_step",
    "redirect_test_step:",
    "_redirect_test_step:",
    "pushfq",
    "or qword ptr [rsp], 0x100",
    "popfq",
    "nop",
    "2:",
    "nop",
    "nop",
    "nop",
    "nop",
    "ret",
    // Offset of the end of the first step in the function. In Mach-O a symbol there would start another function (G5.11).
    ".data",
    ".globl redirect_test_step_offset, _redirect_test_step_offset",
    ".p2align 2",
    "redirect_test_step_offset:",
    "_redirect_test_step_offset:",
    ".long 2b - _redirect_test_step",
    ".text",
);

unsafe extern "C" {
    fn redirect_test_x87() -> u64;
    fn redirect_test_sse() -> u64;
    fn redirect_test_divide() -> u64;
    fn redirect_test_step();
    static redirect_test_step_offset: u32;
}

/// The last handler's signal in the high half, its `si_code` in the low half.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Length of the instruction under test, in bytes.
static LENGTH: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn computing_over_it(signal: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: all three are what this handler was given; `computing_handler` steps over `ud2`, which is corrected here.
    unsafe {
        SEEN.store(
            ((*info).si_signo as u64) << 32 | (*info).si_code as u64,
            Relaxed,
        );
        let pc = context(uc).ss.rip;
        assert_eq!((*info).si_addr, pc);
        computing_handler(signal, info, uc);
        context(uc).ss.rip = pc + LENGTH.load(Relaxed) as u64;
    }
    machine::trash();
}

fn seen() -> (u64, u64) {
    let seen = SEEN.load(Relaxed);
    (seen >> 32, seen & 0xffff_ffff)
}

/// R18: the pending x87 exception is not raised again in the handler, and is pending again afterwards.
#[test]
fn r18_a_pending_x87_exception_waits_for_its_own_thread() {
    in_child(
        "x86_traps::r18_a_pending_x87_exception_waits_for_its_own_thread",
        || {
            serve(computing_over_it);
            LENGTH.store(1, Relaxed);
            // SAFETY: follows the calling convention; its fault is stepped over.
            let words = unsafe { redirect_test_x87() };
            assert_eq!(seen(), (8, 1), "SIGFPE, FPE_FLTDIV");
            assert_eq!(words >> 16, 0x340, "control word");
            assert_eq!(
                words & 0x80ff,
                0x8084,
                "busy, error summary, division by zero"
            );
            assert_eq!(CALLS.load(Relaxed), 1);
        },
    );
}

/// R18: the handler divides by zero itself, without a fault, although the interrupted code has its exceptions unmasked.
#[test]
fn r18_an_sse_exception_does_not_recur_in_the_handler() {
    in_child(
        "x86_traps::r18_an_sse_exception_does_not_recur_in_the_handler",
        || {
            serve(computing_over_it);
            LENGTH.store(4, Relaxed);
            // SAFETY: as above.
            let mxcsr = unsafe { redirect_test_sse() };
            assert_eq!(seen(), (8, 1), "SIGFPE, FPE_FLTDIV");
            assert_eq!(mxcsr, 0xe004, "unchanged, with the flag of the division");
            assert_eq!(CALLS.load(Relaxed), 1);
        },
    );
}

#[test]
fn a_division_by_zero_is_told_in_darwins_numbers() {
    in_child(
        "x86_traps::a_division_by_zero_is_told_in_darwins_numbers",
        || {
            serve(computing_over_it);
            LENGTH.store(2, Relaxed);
            // SAFETY: as above.
            assert_eq!(unsafe { redirect_test_divide() }, 7);
            assert_eq!(seen(), (8, 7), "SIGFPE, FPE_INTDIV");
        },
    );
}

static STEPS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

unsafe extern "C" fn on_step(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    const TF: u64 = 0x100;
    let flags: u64;
    // SAFETY: reads the flags through the stack; `uc` is this handler's third argument.
    let context = unsafe {
        core::arch::asm!("pushfq", "pop {}", out(reg) flags);
        context(uc)
    };
    assert_eq!(flags & TF, 0, "the handler itself is not stepped");
    assert_ne!(context.ss.rflags & TF, 0, "the thread is");
    let mut steps = STEPS.lock().unwrap();
    steps.push(context.ss.rip);
    if steps.len() == 4 {
        context.ss.rflags &= !TF;
    }
}

/// R23: the trap flag applies to the interrupted code only. It is clear in the handler and the trampoline, and set again afterwards,
/// until the handler clears it in the context.
#[test]
fn r23_single_steps_are_the_threads_only() {
    in_child("x86_traps::r23_single_steps_are_the_threads_only", || {
        serve(on_step);
        // SAFETY: follows the calling convention.
        unsafe { redirect_test_step() };
        // SAFETY: reads a constant that the assembly above defines.
        let offset = unsafe { redirect_test_step_offset };
        let first = redirect_test_step as *const () as u64 + u64::from(offset);
        assert_eq!(
            *STEPS.lock().unwrap(),
            [first, first + 1, first + 2, first + 3]
        );
        assert_eq!(server::returns(), 4);
    });
}

static UPPER: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// Number of the upper half that the next handler overwrites; 16 for none, 17 to set all to zero.
static EDITED: AtomicUsize = AtomicUsize::new(16);

unsafe extern "C" fn on_upper_halves(_: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: `uc` is what this handler was given, and nothing else uses it.
    let avx = unsafe {
        assert_eq!((*uc).uc_mcsize, 1032);
        (*uc).x86_avx_state_mut().unwrap()
    };
    *UPPER.lock().unwrap() = bytes_of(&avx.fpu_ymmh).to_vec();
    if let Some(half) = avx.fpu_ymmh.get_mut(EDITED.load(Relaxed)) {
        half.xmm_reg.fill(0xed);
    }
    if EDITED.load(Relaxed) == 17 {
        avx.fpu_ymmh = Default::default();
    }
    // SAFETY: as above.
    unsafe { (*uc).x86_registers_mut().rip += machine::FAULT_LENGTH };
    machine::trash();
}

#[test]
fn upper_halves_are_shown_and_their_edits_arrive() {
    in_child(
        "x86_traps::upper_halves_are_shown_and_their_edits_arrive",
        || {
            serve(on_upper_halves);
            for edited in [16, 0, 5, 15, 17] {
                EDITED.store(edited, Relaxed);
                let given = Registers::patterned(edited as u64);
                let found = machine::run(&given);
                assert_eq!(*UPPER.lock().unwrap(), given.upper_halves());
                given.with_upper_half(edited).assert_same(&found);
            }
        },
    );
}

/// R19: an edit of a component that was in its initial state takes effect. Without an edit the component is in that state again.
#[test]
fn r19_upper_halves_in_their_initial_state() {
    in_child("x86_traps::r19_upper_halves_in_their_initial_state", || {
        serve(on_upper_halves);
        for edited in [16, 0, 15, 16] {
            EDITED.store(edited, Relaxed);
            let given = Registers::initial(0x1f80);
            let found = machine::run(&given);
            assert!(UPPER.lock().unwrap().iter().all(|byte| *byte == 0));
            given.with_upper_half(edited).assert_same(&found);
            if machine::tracks_initial_state() {
                assert_eq!(found.uses_avx(), edited < 16);
            }
        }
    });
}

/// G5.10: the trampoline saves AVX-512's registers whether this thread has them or not, and the processor skips those that it does not
/// have. That is the case on Darwin, where a thread gets them at their first use. On Linux a processor with AVX-512 skips none.
#[test]
fn g5_10_registers_that_the_thread_has_not_are_left_out() {
    const NAME: &str = "x86_traps::g5_10_registers_that_the_thread_has_not_are_left_out";
    in_child(NAME, || {
        let all = VectorSave::xsave(VectorSave::XSAVE_COMPONENTS, 2688, 0xffff);
        let plan = Redirect::plan(
            trashing_handler as *const () as u64,
            server::trampoline_with(all),
        );
        server::serve_with(plan.tag(TAG));
        for seed in 0..50 {
            let given = Registers::patterned(seed);
            given.assert_same(&machine::run(&given));
            assert_eq!(CALLS.load(Relaxed), seed as usize + 1);
        }
    });
}

/// On a processor with AVX-512, all its registers are restored for a thread that uses them, and the area has room for them.
#[test]
fn avx_512_survives_a_handler_that_trashes_it() {
    const NAME: &str = "x86_traps::avx_512_survives_a_handler_that_trashes_it";
    if machine::has_enough() && !machine::takes_avx_512() {
        return isolated::report_skipped(NAME, "this processor has no AVX-512");
    }
    in_child(NAME, || {
        assert!(machine::takes_avx_512());
        assert!(server::trampoline().save().size() >= 832 + 64 + 512 + 1024);
        serve(trashing_handler);
        for seed in 0..50 {
            let given = Registers::patterned(seed);
            given.assert_same(&machine::run(&given));
        }
        assert_eq!(CALLS.load(Relaxed), 50);
    });
}
