//! R5: a thread that is attached again is served as it was the first time, and keeps its owner's settings when it is detached.
#![allow(unsafe_code)]

mod support;

use core::mem::MaybeUninit;
use core::time::Duration;
use exc_server::{Answered, Delivery, Exception, Restored, Routing, Server, Target};
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::ThreadRight;
use mach_sys::thread_state::{NativeState, Registers};
use std::sync::atomic::{AtomicU32, Ordering};
use support::{HANDLED, forget_references, isolated, reporting, trimming};
use test_support::instructions::{LENGTH, undefined, undefined_with_stack};
use thread_mgr::Audit;

/// The signals that a thread's own faults raise.
const FAULTS: [i32; 5] = [
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGFPE,
    libc::SIGBUS,
    libc::SIGSEGV,
];

fn block(signals: &[i32]) {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is initialised before it is used.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        let error = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), core::ptr::null_mut());
        assert_eq!(error, 0);
    }
}

fn blocked(signal: i32) -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the call fills the set.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, core::ptr::null(), set.as_mut_ptr());
        libc::sigismember(set.as_ptr(), signal) == 1
    }
}

#[test]
fn r5_faults_whose_signals_the_owner_blocks_are_served_in_every_round() {
    isolated(
        "r5_faults_whose_signals_the_owner_blocks_are_served_in_every_round",
        || {
            let manager = reporting();
            block(&FAULTS);
            for round in 1..=10 {
                let attached = manager.attach().expect("attached");
                undefined();
                drop(attached);
                assert_eq!(HANDLED.load(Ordering::Relaxed), round);
                for signal in FAULTS {
                    assert!(blocked(signal), "{signal} in round {round}");
                }
            }
        },
    );
}

/// Registers an alternate signal stack of the thread's own, or none, and returns its address; 0 for none.
fn own_stack(wanted: bool) -> usize {
    let memory = vec![0_u8; 65_536].leak();
    let stack = libc::stack_t {
        ss_sp: memory.as_mut_ptr().cast(),
        ss_flags: if wanted { 0 } else { libc::SS_DISABLE },
        ss_size: memory.len(),
    };
    // SAFETY: the memory is leaked.
    unsafe { assert_eq!(libc::sigaltstack(&stack, core::ptr::null_mut()), 0) };
    memory.as_ptr() as usize
}

/// Returns the address of the registered alternate signal stack; 0 for none.
fn registered_stack() -> usize {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: the call fills the structure.
    let stack = unsafe {
        assert_eq!(libc::sigaltstack(core::ptr::null(), stack.as_mut_ptr()), 0);
        stack.assume_init()
    };
    match stack.ss_flags & libc::SS_DISABLE {
        0 => stack.ss_sp as usize,
        _ => 0,
    }
}

#[test]
fn r5_a_stack_pointer_that_is_none_is_served_in_every_round_without_an_own_stack() {
    isolated(
        "r5_a_stack_pointer_that_is_none_is_served_in_every_round_without_an_own_stack",
        || {
            let manager = reporting();
            own_stack(false);
            for round in 1..=10 {
                let attached = manager.attach().expect("attached");
                undefined_with_stack(0);
                drop(attached);
                assert_eq!(HANDLED.load(Ordering::Relaxed), round);
                assert_eq!(registered_stack(), 0, "round {round}");
            }
        },
    );
}

#[test]
fn r5_the_owners_changes_while_attached_stay() {
    isolated("r5_the_owners_changes_while_attached_stay", || {
        let manager = reporting();
        own_stack(false);
        let attached = manager.attach().expect("attached");
        let mine = own_stack(true);
        block(&[libc::SIGUSR1]);
        undefined();
        let report = attached.detach().expect("a report");
        assert_eq!(registered_stack(), mine);
        assert!(blocked(libc::SIGUSR1));
        assert_eq!(report.restored, Ok(Restored::Clean));
    });
}

/// The floating-point control word, with what the tests change in it set.
#[cfg(target_arch = "x86_64")]
fn float_control(change: bool) -> u64 {
    let mut word = 0_u32;
    // SAFETY: flush to zero is not used by anything here.
    unsafe {
        core::arch::asm!("stmxcsr [{}]", in(reg) &mut word);
        if change {
            word |= 1 << 15;
            core::arch::asm!("ldmxcsr [{}]", in(reg) &word);
        }
    }
    word.into()
}

/// The floating-point control word, with what the tests change in it set.
#[cfg(target_arch = "aarch64")]
fn float_control(change: bool) -> u64 {
    let mut word: u64;
    // SAFETY: flush to zero is not used by anything here.
    unsafe {
        core::arch::asm!("mrs {}, fpcr", out(reg) word);
        if change {
            word |= 1 << 24;
            core::arch::asm!("msr fpcr, {}", in(reg) word);
        }
    }
    word
}

#[test]
fn r5_a_thread_with_a_port_of_its_own_has_it_after_a_thousand_rounds() {
    isolated(
        "r5_a_thread_with_a_port_of_its_own_has_it_after_a_thousand_rounds",
        || {
            static OWNERS: AtomicU32 = AtomicU32::new(0);
            let rounds = 1000;
            let audit = Audit::start().expect("a census");
            let owner = Server::start(|mut exception: Exception<'_>| -> Answered {
                OWNERS.fetch_add(1, Ordering::Relaxed);
                let Ok(mut state) = exception.registers() else {
                    return exception.decline();
                };
                state.set_pc(state.pc() + LENGTH);
                // SAFETY: the thread resumes after the instruction, which did nothing.
                match unsafe { exception.set_state(&state) } {
                    Ok(()) => exception.resume(),
                    Err(_) => exception.decline(),
                }
            })
            .expect("the owner's server");
            let manager = reporting();
            {
                let thread = ThreadRight::current().expect("the own thread");
                let routing = Routing::new(
                    ExceptionMask::BAD_INSTRUCTION,
                    Delivery::state::<NativeState>(),
                );
                let route = owner
                    .route(Target::Thread(&thread), &routing)
                    .expect("a route");
                drop(thread);
                let control = float_control(true);
                let stack = own_stack(true);
                block(&[libc::SIGUSR2]);
                let start = Audit::start().expect("a census");
                for round in 1..=rounds {
                    let attached = manager.attach().expect("attached");
                    undefined();
                    let report = attached.detach().expect("a report");
                    assert_eq!(report.restored, Ok(Restored::Clean));
                    assert_eq!(report.gained, Some(0));
                    assert_eq!(registered_stack(), stack);
                    assert!(blocked(libc::SIGUSR2));
                    assert_eq!(float_control(false), control);
                    if round % 100 == 0 {
                        let left = start.difference().expect("a census");
                        assert!(left.is_leak_free(), "round {round}: {left}");
                        // Between two attachments the owner's port receives the exception.
                        undefined();
                    }
                }
                assert_eq!(HANDLED.load(Ordering::Relaxed), rounds);
                assert_eq!(OWNERS.load(Ordering::Relaxed), rounds / 100);
                assert_eq!(route.close(), Ok(Restored::Clean));
            }
            drop((manager, owner));
            let left = audit
                .settle(Duration::from_secs(20).into())
                .expect("a census");
            assert!(left.is_leak_free(), "{left}");
        },
    );
}

#[test]
fn detach_reports_the_references_that_the_name_gained() {
    isolated("detach_reports_the_references_that_the_name_gained", || {
        let manager = trimming();
        // References taken before attaching belong to the owner.
        forget_references(4);
        let attached = manager.attach().expect("attached");
        forget_references(3);
        let report = attached.detach().expect("a report");
        assert_eq!((report.gained, report.normalization), (Some(3), None));
        // Nothing was trimmed: the thread keeps running.
        let attached = manager.attach().expect("attached");
        let report = attached.detach().expect("a report");
        assert_eq!(report.gained, Some(0));
    });
}

#[test]
fn a_thread_that_ends_while_attached_leaves_no_name() {
    isolated("a_thread_that_ends_while_attached_leaves_no_name", || {
        let manager = trimming();
        let audit = Audit::start().expect("a census");
        for count in 0..5 {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let attached = manager.attach().expect("attached");
                    undefined();
                    forget_references(count);
                    core::mem::forget(attached);
                });
            });
        }
        let left = audit
            .settle(Duration::from_secs(20).into())
            .expect("a census");
        assert!(left.is_leak_free(), "{left}");
        assert!(manager.threads().is_empty());
    });
}
