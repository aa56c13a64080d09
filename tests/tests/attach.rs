//! R5: a thread that is taken in and let go again is as it was.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::time::Duration;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel;
use mach_sys::rights::{Name, Queue, Right, SendRight, ThreadRight};
use signal_redirect::Entry;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use test_support::wait::wait_for;
use tests::faults::{registers, skip, undefined};
use tests::isolated::isolated;
use tests::watchdog::abort_after;
use thread_mgr::{Audit, Manager};

static HANDLED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the trampoline's own context.
    skip(unsafe { registers(context) });
}

fn manager() -> Manager {
    // SAFETY: the handler is async-signal-safe and does not unwind.
    let entry = unsafe { Entry::new(handler) };
    Manager::builder(entry).build().expect("a manager")
}

/// Returns the calling thread's alternate signal stack and signal mask, as the host has them.
fn host_state() -> (usize, usize, i32, Vec<bool>) {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    let mut mask = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: both calls only write what they are asked for.
    unsafe {
        assert_eq!(libc::sigaltstack(core::ptr::null(), stack.as_mut_ptr()), 0);
        let error = libc::pthread_sigmask(libc::SIG_SETMASK, core::ptr::null(), mask.as_mut_ptr());
        assert_eq!(error, 0);
        let stack = stack.assume_init();
        let mask = mask.assume_init();
        let blocked = (1..32)
            .map(|signal| libc::sigismember(&mask, signal) == 1)
            .collect();
        // The base of a stack that is disabled means nothing.
        let base = if stack.ss_flags & libc::SS_DISABLE == 0 {
            stack.ss_sp as usize
        } else {
            0
        };
        (base, stack.ss_size, stack.ss_flags, blocked)
    }
}

/// The thread's exception actions: for which exceptions, whether there is a port, behavior, flavor.
fn exception_actions() -> Vec<(u32, bool, i32, i32)> {
    let thread = ThreadRight::current().expect("the own thread");
    let (mut masks, mut ports, mut behaviors, mut flavors) = ([0; 32], [0; 32], [0; 32], [0; 32]);
    let mut count = 32;
    // SAFETY: the arrays have room for all there can be.
    let code = unsafe {
        kernel::thread_get_exception_ports(
            thread.name().raw(),
            mach_sys::exception::EXC_MASK_ALL,
            masks.as_mut_ptr(),
            &mut count,
            ports.as_mut_ptr(),
            behaviors.as_mut_ptr(),
            flavors.as_mut_ptr(),
        )
    };
    assert_eq!(code, 0);
    (0..count as usize)
        .map(|index| {
            // A reference came with each live port (B3.5); it is released at once.
            // SAFETY: the kernel gave it to this task, and no other code knows it.
            let right =
                Name::new(ports[index]).map(|name| unsafe { SendRight::<Queue>::from_name(name) });
            (
                masks[index],
                right.is_some(),
                behaviors[index],
                flavors[index],
            )
        })
        .collect()
}

fn rounds(manager: &Manager, rounds: u32) {
    manager
        .attach()
        .expect("attached")
        .detach()
        .expect("a report");
    let (host, actions) = (host_state(), exception_actions());
    assert!(
        actions.iter().all(|(_, routed, _, _)| !routed),
        "{actions:?}"
    );
    for round in 0..rounds {
        let attached = manager.attach().expect("attached");
        assert!(manager.attach().is_err(), "twice");
        undefined();
        if round % 10 == 0 {
            // As an owner of the thread would find it between two of its own calls.
            assert!(!exception_actions().iter().all(|(_, routed, _, _)| !routed));
        }
        let report = attached.detach().expect("a report");
        assert_eq!(report.restored, Ok(exc_server::Restored::Clean));
        assert_eq!(host_state(), host, "round {round}");
        assert_eq!(exception_actions(), actions, "round {round}");
    }
}

fn settled(audit: &Audit) {
    let left = audit
        .settle(Duration::from_secs(20).into())
        .expect("a census");
    assert!(left.is_leak_free(), "{left}");
}

#[test]
fn r5_a_thousand_rounds_on_a_thread_with_stds_stack() {
    isolated("r5_a_thousand_rounds_on_a_thread_with_stds_stack", || {
        abort_after(Duration::from_secs(120));
        let audit = Audit::start().expect("a census");
        let manager = manager();
        // The test runs on a thread of std's, which has an alternate stack of std's.
        rounds(&manager, 1000);
        assert_eq!(HANDLED.load(Ordering::Relaxed), 1000);
        drop(manager);
        settled(&audit);
    });
}

#[test]
fn r5_on_threads_without_and_with_a_stack_of_their_own() {
    isolated(
        "r5_on_threads_without_and_with_a_stack_of_their_own",
        || {
            abort_after(Duration::from_secs(120));
            let audit = Audit::start().expect("a census");
            let manager = manager();
            std::thread::scope(|scope| {
                for own in [false, true] {
                    let manager = &manager;
                    scope.spawn(move || {
                        let memory = vec![0_u8; 65_536].leak();
                        let stack = libc::stack_t {
                            ss_sp: memory.as_mut_ptr().cast(),
                            ss_flags: if own { 0 } else { libc::SS_DISABLE },
                            ss_size: memory.len(),
                        };
                        // SAFETY: the memory is leaked.
                        unsafe { assert_eq!(libc::sigaltstack(&stack, core::ptr::null_mut()), 0) };
                        // Some signal is blocked, and one that a fault would raise.
                        let mut mask = MaybeUninit::<libc::sigset_t>::zeroed();
                        // SAFETY: the set is filled before it is read.
                        unsafe {
                            libc::sigemptyset(mask.as_mut_ptr());
                            libc::sigaddset(mask.as_mut_ptr(), libc::SIGUSR1);
                            libc::sigaddset(mask.as_mut_ptr(), libc::SIGFPE);
                            libc::pthread_sigmask(
                                libc::SIG_SETMASK,
                                mask.as_ptr(),
                                core::ptr::null_mut(),
                            );
                        }
                        let before = host_state();
                        rounds(manager, 100);
                        assert_eq!(host_state(), before);
                    });
                }
            });
            drop(manager);
            settled(&audit);
        },
    );
}

#[test]
fn a_thread_that_ends_while_it_is_attached_ends_in_order() {
    isolated(
        "a_thread_that_ends_while_it_is_attached_ends_in_order",
        || {
            abort_after(Duration::from_secs(60));
            let audit = Audit::start().expect("a census");
            let manager = manager();
            for _ in 0..20 {
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let attached = manager.attach().expect("attached");
                        undefined();
                        std::mem::forget(attached);
                    });
                });
            }
            wait_for("no thread is attached", || manager.threads().is_empty());
            drop(manager);
            settled(&audit);
        },
    );
}
