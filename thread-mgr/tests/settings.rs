//! The builder's settings have the documented effects.
#![allow(unsafe_code)]

mod support;

use core::ffi::c_int;
use core::time::Duration;
use exc_server::{Answered, Deferred, Exception, PanicPolicy, Timeout};
use mach_sys::darwin::{DarwinSignal, siginfo_t, ucontext_t};
use mach_sys::kernel::system;
use mach_sys::thread_state::{NativeState, Registers};
use signal_redirect::{Entry, Native, Rewriter};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use support::{HANDLED, LAST_STACK, builder, isolated};
use test_support::instructions::{LENGTH, undefined, undefined_with_stack};
use thread_mgr::{AttachError, BuildError, HandlerStack, Manager, ManagerBuilder, SpawnError};

/// Builds a manager and starts a thread that faults once. Returns whether the handler ran on the thread's own stack.
fn ran_on_the_interrupted_stack(settings: ManagerBuilder) -> bool {
    let manager = settings.build().expect("a manager");
    let thread = manager.spawn(|| {
        let before = HANDLED.load(Ordering::Relaxed);
        undefined();
        assert_eq!(HANDLED.load(Ordering::Relaxed), before + 1);
        let stack = system::stack_bounds().expect("the own stack");
        let handled_at = LAST_STACK.load(Ordering::Relaxed);
        (stack.start as u64..stack.end as u64).contains(&handled_at)
    });
    let ended = thread.expect("a thread").join().expect("no panic");
    ended.exit.returned().expect("it returned")
}

#[test]
fn the_handler_runs_on_the_stack_that_was_set() {
    isolated("the_handler_runs_on_the_stack_that_was_set", || {
        assert!(ran_on_the_interrupted_stack(builder()));
        let interrupted = builder().handler_stack(HandlerStack::Interrupted);
        assert!(ran_on_the_interrupted_stack(interrupted));
        for size in [0, 64 * 1024, 1 << 20] {
            let alternate = builder()
                .handler_stack(HandlerStack::Alternate)
                .emergency_stack_size(size);
            assert!(!ran_on_the_interrupted_stack(alternate));
        }
        // More room than the interrupted stack has.
        let roomy = builder()
            .handler_room(64 << 20)
            .emergency_stack_size(65 << 20);
        assert!(!ran_on_the_interrupted_stack(roomy));
    });
}

#[test]
fn handlers_nest_on_the_alternate_stack() {
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    static STACKS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
    unsafe extern "C" fn nesting(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
        let depth = DEPTH.fetch_add(1, Ordering::Relaxed) as usize;
        if let Some(stack) = STACKS.get(depth) {
            let here = 0_u8;
            stack.store(core::ptr::from_ref(&here) as u64, Ordering::Relaxed);
            undefined();
        }
        // SAFETY: the trampoline hands over its own structures.
        let registers = unsafe { (*context).registers_mut() };
        registers.set_pc(registers.pc() + LENGTH);
    }
    isolated("handlers_nest_on_the_alternate_stack", || {
        // SAFETY: the handler touches atomics, and skips instructions that have no effect.
        let manager = Manager::builder(unsafe { Entry::new(nesting) })
            .handler_stack(HandlerStack::Alternate)
            .build()
            .expect("a manager");
        let attached = manager.attach().expect("attached");
        undefined();
        drop(attached);
        let stacks = STACKS.each_ref().map(|at| at.load(Ordering::Relaxed));
        assert!(stacks.is_sorted_by(|outer, inner| outer > inner));
        assert!(stacks[0] - stacks[3] < 128 * 1024, "one stack: {stacks:x?}");
        assert_eq!(manager.redirect_stats().returned, 5);
    });
}

/// A signal handler on the thread's own alternate stack faults while a handler on the emergency stack is interrupted: neither overwrites
/// the other's frames.
#[test]
fn a_signal_handlers_faults_leave_the_handler_that_it_interrupted_alone() {
    const SIGNALS: u32 = 3;
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    static INTACT: AtomicU32 = AtomicU32::new(0);
    extern "C" fn on_signal(_: c_int) {
        undefined();
        undefined();
    }
    unsafe extern "C" fn raising(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
        if DEPTH.fetch_add(1, Ordering::Relaxed) == 0 {
            let frame = [0x5a_u8; 2048];
            let frame = core::hint::black_box(&frame);
            for _ in 0..SIGNALS {
                // SAFETY: the signal's handler is set below.
                unsafe { libc::raise(libc::SIGUSR1) };
                let intact = frame.iter().all(|byte| *byte == 0x5a);
                INTACT.fetch_add(intact.into(), Ordering::Relaxed);
            }
        }
        // SAFETY: the trampoline hands over its own structures.
        let registers = unsafe { (*context).registers_mut() };
        registers.set_pc(registers.pc() + LENGTH);
    }
    let name = "a_signal_handlers_faults_leave_the_handler_that_it_interrupted_alone";
    isolated(name, || {
        let stack = Box::leak(vec![0_u8; 1 << 18].into_boxed_slice());
        // SAFETY: the stack lives as long as the process; the handler is one, and zeroes are valid for all other fields.
        unsafe {
            let mut own: libc::stack_t = core::mem::zeroed();
            own.ss_sp = stack.as_mut_ptr().cast();
            own.ss_size = stack.len();
            assert_eq!(libc::sigaltstack(&own, core::ptr::null_mut()), 0);
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_ONSTACK;
            let error = libc::sigaction(libc::SIGUSR1, &action, core::ptr::null_mut());
            assert_eq!(error, 0);
        }
        for stack in [HandlerStack::Alternate, HandlerStack::Interrupted] {
            DEPTH.store(0, Ordering::Relaxed);
            INTACT.store(0, Ordering::Relaxed);
            // SAFETY: the handler touches atomics, and skips instructions that have no effect.
            let manager = Manager::builder(unsafe { Entry::new(raising) })
                .handler_stack(stack)
                .build()
                .expect("a manager");
            let attached = manager.attach().expect("attached");
            // On a stack pointer that is none, so that the emergency stack is taken in either case.
            undefined_with_stack(24);
            // It is free again.
            undefined_with_stack(24);
            drop(attached);
            assert_eq!(INTACT.load(Ordering::Relaxed), SIGNALS, "{stack:?}");
            let stats = manager.redirect_stats();
            assert_eq!(stats.returned, u64::from(2 * SIGNALS + 2), "{stats:?}");
        }
    });
}

/// With no signal to block, the handler still sees the interrupted mask, and its edit takes effect.
#[test]
fn a_handler_for_which_no_signal_is_blocked_sees_and_edits_the_interrupted_mask() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn look(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
        // SAFETY: the trampoline hands over its own structures.
        unsafe {
            SEEN.store((*context).uc_sigmask, Ordering::Relaxed);
            (*context).uc_sigmask &= !DarwinSignal::INT.mask();
            let registers = (*context).registers_mut();
            registers.set_pc(registers.pc() + LENGTH);
        }
    }
    let name = "a_handler_for_which_no_signal_is_blocked_sees_and_edits_the_interrupted_mask";
    isolated(name, || {
        let mask = DarwinSignal::USR1.mask() | DarwinSignal::INT.mask();
        for shown in [true, false] {
            // SAFETY: the handler touches an atomic, and skips an instruction that has no effect.
            let mut builder = Manager::builder(unsafe { Entry::new(look) });
            if shown {
                builder = builder.block_signals(0);
            }
            let manager = builder.build().expect("a manager");
            let attached = manager.attach().expect("attached");
            system::set_blocked_signals(mask);
            SEEN.store(u32::MAX, Ordering::Relaxed);
            undefined();
            let after = take_blocked();
            drop(attached);
            let (seen, left) = match shown {
                true => (mask, DarwinSignal::USR1.mask()),
                false => (0, mask),
            };
            assert_eq!(
                (SEEN.load(Ordering::Relaxed), after),
                (seen, left),
                "{shown}"
            );
        }
    });
}

/// Returns the calling thread's signal mask, and empties it.
fn take_blocked() -> u32 {
    let before = system::block_signals(0).signals();
    system::set_blocked_signals(0);
    before
}

/// Sets rounding toward zero, faults, and returns whether it is still set.
#[cfg(target_arch = "x86_64")]
fn keeps_its_rounding() -> bool {
    let (before, mut after) = (0x7f80_u32, 0_u32);
    // SAFETY: the handler skips the undefined instruction; no floating-point code runs in between.
    unsafe {
        core::arch::asm!(
            "ldmxcsr [{before}]", "ud2", "stmxcsr [{after}]",
            before = in(reg) &before, after = in(reg) &raw mut after,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
        );
        core::arch::asm!("ldmxcsr [{}]", in(reg) &0x1f80_u32);
    }
    after & 0x6000 == 0x6000
}

/// Sets rounding toward zero, faults, and returns whether it is still set.
#[cfg(target_arch = "aarch64")]
fn keeps_its_rounding() -> bool {
    let after: u64;
    // SAFETY: the handler skips the undefined instruction; no floating-point code runs in between.
    unsafe {
        core::arch::asm!(
            "msr fpcr, {before}", "udf #0", "mrs {after}, fpcr", "msr fpcr, xzr",
            before = in(reg) 3_u64 << 22, after = out(reg) after,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _, out("v16") _, out("v17") _,
            out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _,
            out("v30") _, out("v31") _,
        );
    }
    after & 3 << 22 == 3 << 22
}

#[test]
fn a_thread_resumes_with_the_float_state_that_was_set() {
    isolated("a_thread_resumes_with_the_float_state_that_was_set", || {
        let kept = builder().build().expect("a manager");
        let attached = kept.attach().expect("attached");
        assert!(keeps_its_rounding());
        drop(attached);
        let new_threads = <Native as Rewriter>::FloatState::default();
        // SAFETY: the code that faults relies on no vector register.
        let settings = unsafe { builder().resume_float_state(new_threads) };
        let replaced = settings.build().expect("a manager");
        let attached = replaced.attach().expect("attached");
        assert!(!keeps_its_rounding());
        drop(attached);
    });
}

#[test]
fn exceptions_that_the_filter_rejects_are_answered_by_otherwise() {
    isolated(
        "exceptions_that_the_filter_rejects_are_answered_by_otherwise",
        || {
            let manager = builder()
                .only_if(|_| false)
                .otherwise(|mut exception| {
                    let Ok(mut state) = exception.registers() else {
                        return exception.decline();
                    };
                    state.set_pc(state.pc() + LENGTH);
                    // SAFETY: behind the instruction, which has no effect.
                    match unsafe { exception.set_state(&state) } {
                        Ok(()) => exception.resume(),
                        Err(_) => exception.decline(),
                    }
                })
                .build()
                .expect("a manager");
            let attached = manager.attach().expect("attached");
            undefined();
            drop(attached);
            let stats = manager.redirect_stats();
            assert_eq!((stats.filtered, stats.entered), (1, 0));
            assert_eq!(HANDLED.load(Ordering::Relaxed), 0);
        },
    );
}

#[test]
fn as_many_exceptions_can_be_deferred_as_was_set() {
    isolated("as_many_exceptions_can_be_deferred_as_was_set", || {
        static REFUSED: AtomicI32 = AtomicI32::new(0);
        let (send, receive) = mpsc::sync_channel::<Deferred>(1);
        let manager = builder()
            .deferrals(1)
            .only_if(|_| false)
            .otherwise(move |exception: Exception<'_>| -> Answered {
                let limit = Timeout::After(Duration::from_secs(20));
                match exception.defer(limit) {
                    Ok((answered, deferred)) => {
                        let _ = send.try_send(deferred);
                        answered
                    }
                    Err(refused) => {
                        REFUSED.fetch_add(1, Ordering::Relaxed);
                        refused.exception.decline()
                    }
                }
            })
            .build()
            .expect("a manager");
        let thread = manager.spawn(undefined).expect("a thread");
        let mut deferred = receive.recv().expect("a deferred exception");
        assert_eq!(manager.deferrals().pending().count(), 1);
        let mut state: NativeState = deferred.state().expect("registers");
        state.set_pc(state.pc() + LENGTH);
        // SAFETY: behind the instruction, which has no effect.
        unsafe { deferred.set_state(&state) }.expect("a state");
        deferred.resume().expect("an answer");
        assert_eq!(thread.join().expect("no panic").exit.returned(), Some(()));
        assert_eq!(REFUSED.load(Ordering::Relaxed), 0);
        assert_eq!(manager.deferrals().pending().count(), 0);
    });
}

#[test]
fn impossible_settings_are_errors() {
    isolated("impossible_settings_are_errors", || {
        let refused = [
            builder().server_name("a\0name").build(),
            builder().server_stack_size(1).build(),
            builder().server_stack_size(usize::MAX).build(),
            builder().deferrals(usize::MAX).build(),
        ];
        for result in refused {
            assert!(matches!(result, Err(BuildError::Server(_))), "{result:?}");
        }
        let manager = builder()
            .server_name("a name")
            .server_stack_size(1 << 20)
            .on_panic(PanicPolicy::Abort)
            .emergency_stack_size(usize::MAX)
            .build()
            .expect("a manager");
        let attached = manager.attach();
        assert!(
            matches!(attached, Err(AttachError::Stack(_))),
            "{attached:?}"
        );
        let spawned = manager.spawn(|| ());
        let Err(SpawnError::Attach(AttachError::Stack(error))) = spawned else {
            panic!("{spawned:?}");
        };
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    });
}
