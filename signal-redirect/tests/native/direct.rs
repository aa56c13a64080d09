//! Direct returns, without the return trap: which are taken, which are left to the trap, and a backtrace from every instruction of one.

use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::{KERNEL, Kernel, system};
use signal_redirect::{Entry, Innermost, Key, Redirect, SignalHandler};

use test_support::instructions::undefined;

use crate::child::{in_child, isolated, returns_directly};
use crate::handlers::{
    _Unwind_Backtrace, _Unwind_GetIP, CALLS, computing_handler, context, trashing_handler,
};
use crate::machine::{self, Registers};
use crate::redirects::TAG;
use crate::{host, plan, server, signal_frame};

/// Steps over the instruction and returns with the flag of nested tasks set, with which `iretq` faults.
unsafe extern "C" fn nested_task(signal: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: the arguments are those of this handler. The flag has no effect on the instructions that follow.
    unsafe {
        computing_handler(signal, info, uc);
        asm!("pushfq", "or qword ptr [rsp], 0x4000", "popfq");
    }
}

/// Steps over the instruction and returns with another selector in gs, which Linux's threads do not use.
unsafe extern "C" fn other_selector(signal: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: the arguments are those of this handler.
    unsafe { computing_handler(signal, info, uc) };
    set_gs(0x2b);
}

fn set_gs(selector: u16) {
    assert_eq!(
        KERNEL,
        Kernel::Emulated,
        "Darwin keeps thread-local storage there"
    );
    // SAFETY: nothing on Linux is addressed through gs; both selectors are user data's, or none.
    unsafe { asm!("mov gs, {:x}", in(reg) selector) };
}

/// A return that is out of the ordinary is left to the trap, and the thread comes back that way.
#[test]
fn what_iretq_cannot_restore_returns_by_the_trap() {
    const NAME: &str = "direct::what_iretq_cannot_restore_returns_by_the_trap";
    if KERNEL == Kernel::Xnu {
        return isolated::report_skipped(NAME, "it changes gs, which Darwin's threads use");
    }
    in_child(NAME, || {
        let strange: &'static Innermost = Box::leak(Box::new(Innermost::new(Key::new(99))));
        // The handler, where its thread's frames are kept, and whether it returns directly.
        let table: [(&str, SignalHandler, &'static Innermost, bool); 5] = [
            ("plain", computing_handler, server::innermost(), true),
            ("nested task", nested_task, server::innermost(), true),
            ("gs", other_selector, server::innermost(), false),
            ("another key", computing_handler, strange, false),
            ("plain again", trashing_handler, server::innermost(), true),
        ];
        for (what, handler, innermost, directly) in table {
            set_gs(0);
            if what == "nested task" && !returns_directly() {
                // Linux's return from its signal frame, which follows the trap, leaves that flag as it is.
                continue;
            }
            // SAFETY: the handlers are async-signal-safe while their assertions hold.
            let plan = Redirect::to(unsafe { Entry::new(handler) }, server::trampoline());
            let plan = plan.tag(TAG);
            let plan = match returns_directly() {
                // SAFETY: the value is static; only one thread is redirected.
                true => unsafe { plan.return_directly(innermost, &system::capabilities()) },
                false => plan,
            };
            server::serve_with(plan);
            let before = (server::returns(), server::innermost().returned_directly());
            let given = Registers::patterned(1);
            given.assert_same(&machine::run(&given));
            let after = (server::returns(), server::innermost().returned_directly());
            assert_eq!(after.0, before.0 + 1, "{what}");
            let expected = u64::from(directly && returns_directly());
            assert_eq!(after.1 - before.1, expected, "{what}");
            assert_eq!(strange.returned_directly(), 0);
        }
    });
}

/// The bit of the flags that the next handler changes.
static CHANGED: AtomicU64 = AtomicU64::new(0);
/// Number of the single steps that the trace flag raised.
static TRACED: AtomicUsize = AtomicUsize::new(0);
const SIGTRAP: c_int = 5;

/// Steps over the instruction and changes a flag. Clears the trace flag after one step.
unsafe extern "C" fn changing_flags(signal: c_int, _: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: `uc` is what this handler was given.
    let state = unsafe { &mut context(uc).ss };
    if signal == SIGTRAP {
        state.rflags &= !TRACE;
        TRACED.fetch_add(1, Relaxed);
        return;
    }
    state.rip += machine::FAULT_LENGTH;
    state.rflags ^= CHANGED.load(Relaxed);
}

/// Faults, and returns the flags before and after.
fn flags_around_a_fault() -> (u64, u64) {
    let (before, after);
    // SAFETY: the flags are restored; the handler steps over the instruction, two bytes.
    unsafe {
        asm!("pushfq", "pop {0}", "ud2", "pushfq", "pop {1}", "push {0}", "popfq", out(reg) before, out(reg) after);
    }
    (before, after)
}

/// A handler may change the flags that a program may; its changes of the system's have no effect. Only a return with the trace flag
/// is left to the trap.
#[test]
fn a_change_of_each_flag_takes_effect_where_a_program_may_make_it() {
    const NAME: &str = "direct::a_change_of_each_flag_takes_effect_where_a_program_may_make_it";
    in_child(NAME, || {
        // CF, PF, AF, ZF, SF, TF, DF, OF.
        const USERS: [u32; 8] = [0, 2, 4, 6, 7, 8, 10, 11];
        // AC and ID: Linux does not restore them from a signal frame, or lets them into its handlers.
        const OF_DIRECT_RETURNS: [u32; 2] = [18, 21];
        server::serve_with(plan(changing_flags));
        for bit in 0..64 {
            if OF_DIRECT_RETURNS.contains(&bit) && !returns_directly() {
                continue;
            }
            CHANGED.store(1 << bit, Relaxed);
            let before = (server::returns(), server::innermost().returned_directly());
            let (given, found) = flags_around_a_fault();
            let traced = 1 << bit == TRACE;
            // The instruction that is traced is the one that reads the flags; the handler of the trap returns, too.
            assert_eq!(TRACED.swap(0, Relaxed) == 1, traced, "bit {bit}");
            let returned = server::returns() - before.0;
            assert_eq!(returned, 1 + usize::from(traced), "bit {bit}");
            let directly = server::innermost().returned_directly() - before.1;
            assert_eq!(directly, u64::from(returns_directly()), "bit {bit}");
            let changes = USERS.contains(&bit) || OF_DIRECT_RETURNS.contains(&bit);
            assert_eq!(given ^ found, u64::from(changes) << bit, "bit {bit}");
        }
    });
}

/// `true` if each step in the trampoline, or in the code that checks the frame, takes a fault of its own.
static FAULTS: AtomicBool = AtomicBool::new(false);
/// Number of steps in the trampoline.
static STEPS: AtomicUsize = AtomicUsize::new(0);
/// Flags that the handler leaves set.
static LEFT: AtomicU64 = AtomicU64::new(TRACE);
/// Number of steps between two in the trampoline, in the code that checks the frame, that took a fault.
static CHECKS: AtomicUsize = AtomicUsize::new(0);
/// Number of such steps with one of [`UNWANTED`] set.
static MARRED: AtomicUsize = AtomicUsize::new(0);
/// Number of steps from which the backtrace did not lead to the interrupted instruction.
static LOST: AtomicUsize = AtomicUsize::new(0);
/// Program counter of the first of them.
static AT: AtomicU64 = AtomicU64::new(0);

/// Size of the trampoline's code in bytes, rounded up.
const TRAMPOLINE: u64 = 0x500;

/// The flag that makes each instruction raise SIGTRAP.
const TRACE: u64 = 1 << 8;
/// Flags that no function may be called with: the downward direction of string instructions, nested tasks.
const UNWANTED: u64 = 1 << 10 | 1 << 14;

/// The instruction's code.
const POPFQ: u8 = 0x9d;

/// Notes whether the backtrace from a single step leads through the function that was interrupted, to its caller.
extern "C" fn on_step(_: c_int, _: *mut c_void, context: *mut c_void) {
    extern "C" fn look(frame: *mut c_void, found: *mut c_void) -> c_int {
        // SAFETY: the unwinder passes its own context, and the pair given to it.
        unsafe {
            let (in_function, callers) = &mut *found.cast::<(bool, u32)>();
            match machine::is_in_run(_Unwind_GetIP(frame) as u64) {
                true => *in_function = true,
                false if *in_function => *callers += 1,
                false => {}
            }
        }
        0
    }
    let mut found = (false, 0_u32);
    // SAFETY: the kernel passes the thread's context. `look` takes what the unwinder passes, and the pair outlives the call.
    let registers = unsafe {
        _Unwind_Backtrace(look, (&raw mut found).cast());
        host::Context::new(context).state()
    };
    let (pc, sp, flags) = (registers.rip, registers.rsp, registers.rflags);
    // The C library's functions and the linker's stubs, which it also steps through, have the unwind information that they have.
    let trap = server::trampoline().trap();
    if !(trap..trap + TRAMPOLINE).contains(&pc) {
        // The handler's own last instructions come before the first step in the trampoline.
        if STEPS.load(Relaxed) > 0 && !machine::is_in_run(pc) {
            MARRED.fetch_add(usize::from(flags & UNWANTED != 0), Relaxed);
            if FAULTS.load(Relaxed) {
                CHECKS.fetch_add(1, Relaxed);
                undefined();
            }
        }
        return;
    }
    // SAFETY: the thread executes the instruction at `pc`; if that is `popfq`, its operand is at the top of the thread's stack.
    unsafe {
        if *(pc as *const u8) == POPFQ {
            // Goes on stepping.
            *(sp as *mut u64) |= TRACE;
        }
    }
    STEPS.fetch_add(1, Relaxed);
    if FAULTS.load(Relaxed) {
        undefined();
    }
    if found.1 < 2 && LOST.fetch_add(1, Relaxed) == 0 {
        AT.store(pc, Relaxed);
    }
}

/// Steps over the instruction and returns with [`LEFT`] set, unless it is that of a step's own fault.
unsafe extern "C" fn traced(signal: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: the arguments are those of this handler. Each instruction from the flags on raises SIGTRAP; none of them copies.
    unsafe {
        computing_handler(signal, info, uc);
        if CALLS.load(Relaxed) == 1 {
            asm!("pushfq", "or [rsp], {}", "popfq", in(reg) LEFT.load(Relaxed));
        }
    }
}

/// Takes a fault whose handler returns step by step, and returns the number of steps in the trampoline.
fn step_back() -> usize {
    signal_frame::serve_with(plan(traced));
    // SAFETY: a filled structure, and a handler with the signature that SA_SIGINFO requires.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = on_step as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGTRAP, &action, null_mut()), 0);
    }
    let given = Registers::patterned(3);
    given.assert_same(&machine::run(&given));
    let steps = STEPS.load(Relaxed);
    // The trap's way ends at the trap, with an exception; the direct one loads all registers.
    assert!(steps > if returns_directly() { 50 } else { 20 }, "{steps}");
    steps
}

/// S5: at every instruction from the handler's return to the interrupted code a backtrace leads to that code and its callers.
#[test]
fn s5_a_backtrace_knows_the_way_back_at_every_instruction() {
    const NAME: &str = "direct::s5_a_backtrace_knows_the_way_back_at_every_instruction";
    if KERNEL == Kernel::Xnu {
        return isolated::report_skipped(NAME, "it steps with Linux's signal frames");
    }
    in_child(NAME, || {
        let (steps, lost) = (step_back(), LOST.load(Relaxed));
        assert_eq!(lost, 0, "of {steps}, the first at {:#x}", AT.load(Relaxed));
    });
}

/// A signal may arrive at any instruction of the way back, and its handler may fault: the handlers nest, and all come back.
#[test]
fn a_fault_at_every_instruction_of_the_way_back_is_served() {
    const NAME: &str = "direct::a_fault_at_every_instruction_of_the_way_back_is_served";
    if KERNEL == Kernel::Xnu {
        return isolated::report_skipped(NAME, "it steps with Linux's signal frames");
    }
    in_child(NAME, || {
        FAULTS.store(true, Relaxed);
        let steps = step_back() + CHECKS.load(Relaxed);
        assert_eq!(CALLS.load(Relaxed), 1 + steps);
        assert_eq!(server::returns(), 1 + steps);
        if returns_directly() {
            assert!(
                CHECKS.load(Relaxed) > 100,
                "the check was not stepped through"
            );
            let counted = server::innermost().returned_directly();
            assert_eq!(counted, 1 + steps as u64, "none is lost");
        }
        assert_eq!(server::innermost().get(), None);
    });
}

/// The code that checks the frame runs with the flags that functions are called with, whatever the handler left.
#[test]
fn the_flags_of_a_handler_do_not_reach_the_check_of_its_frame() {
    const NAME: &str = "direct::the_flags_of_a_handler_do_not_reach_the_check_of_its_frame";
    if KERNEL == Kernel::Xnu {
        return isolated::report_skipped(NAME, "it steps with Linux's signal frames");
    }
    in_child(NAME, || {
        if !returns_directly() {
            // Linux's return from its signal frame, which follows the trap, leaves one of the flags as it is.
            return;
        }
        LEFT.store(TRACE | UNWANTED, Relaxed);
        step_back();
        assert_eq!(MARRED.load(Relaxed), 0);
    });
}
