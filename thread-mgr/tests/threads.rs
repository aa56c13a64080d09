//! Managed threads: their faults, their exits, and the names they leave.
#![allow(unsafe_code)]

mod support;

use core::ffi::c_int;
use core::time::Duration;
use mach_sys::darwin::{DarwinSignal, siginfo_t, ucontext_t};
use mach_sys::kernel;
use mach_sys::port::{MACH_PORT_RIGHT_SEND, PortRight};
use mach_sys::rights::{Name, Right, ThreadRight, user_references};
use signal_redirect::Entry;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use support::{
    HANDLED, LAST_ADDRESS, LAST_SIGNAL, forget_references, isolated, number, reporting, trimming,
};
use test_support::instructions::{store_to, undefined};
use test_support::wait::wait_for;
use thread_mgr::{
    Audit, Exit, ExitError, HandlerStack, JoinError, Manager, Normalization, exit_now,
};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_fault_is_handled_redirected_and_returned_from() {
    isolated("a_fault_is_handled_redirected_and_returned_from", || {
        let manager = trimming();
        let handle = manager
            .spawn(|| {
                undefined();
                assert_eq!(
                    LAST_SIGNAL.load(Ordering::Relaxed),
                    number(DarwinSignal::ILL)
                );
                store_to(0x18);
                assert_eq!(
                    LAST_SIGNAL.load(Ordering::Relaxed),
                    number(DarwinSignal::SEGV)
                );
                assert_eq!(LAST_ADDRESS.load(Ordering::Relaxed), 0x18);
                42
            })
            .expect("a thread");
        let ended = handle.join().expect("a joinable thread");
        assert_eq!(ended.exit.returned(), Some(42));
        let report = ended.report.expect("the last destructors ran");
        assert_eq!(report.normalization, Some(Normalization::AlreadyOne));
        assert_eq!(report.restored, Ok(exc_server::Restored::Clean));
        assert_eq!(HANDLED.load(Ordering::Relaxed), 2);
        let stats = manager.redirect_stats();
        assert_eq!((stats.entered, stats.returned, stats.refused), (2, 2, 0));
    });
}

/// D2.6: the trim in the last pass of destructors.
#[test]
fn three_forgotten_references_are_reported_and_leave_no_name() {
    isolated(
        "three_forgotten_references_are_reported_and_leave_no_name",
        || {
            let manager = trimming();
            let audit = Audit::start().expect("a census");
            let handle = manager.spawn(|| forget_references(3)).expect("a thread");
            let report = handle.join().expect("a thread").report.expect("a report");
            assert_eq!(report.normalization, Some(Normalization::Dropped(3)));
            let left = audit.settle(LONG.into()).expect("a census");
            assert!(left.is_leak_free(), "{left}");
        },
    );
}

#[test]
fn without_the_promise_the_surplus_is_reported_and_a_dead_name_stays() {
    isolated(
        "without_the_promise_the_surplus_is_reported_and_a_dead_name_stays",
        || {
            let manager = reporting();
            let handle = manager
                .spawn(|| {
                    forget_references(3);
                    let thread = ThreadRight::current().expect("the own thread");
                    thread.name().raw()
                })
                .expect("a thread");
            let ended = handle.join().expect("a thread");
            let report = ended.report.expect("a report");
            assert_eq!(report.normalization, Some(Normalization::Surplus(3)));
            let name = ended.exit.returned().expect("it returned");
            // The kernel's own release took one of four references; the port's death turned the others into a dead name.
            let name = Name::new(name).expect("a name");
            wait_for("a dead name with three references", || {
                user_references(name, PortRight::DEAD_NAME) == Ok(3)
            });
        },
    );
}

#[test]
fn a7_3_a_saturated_count_is_told_apart() {
    isolated("a7_3_a_saturated_count_is_told_apart", || {
        let manager = trimming();
        let handle = manager
            .spawn(|| {
                let thread = ThreadRight::current().expect("the own thread");
                let task = kernel::system::task_self();
                // SAFETY: no pointers; the thread's own name.
                let code = unsafe {
                    kernel::mach_port_mod_refs(
                        task,
                        thread.name().raw(),
                        MACH_PORT_RIGHT_SEND,
                        65_535,
                    )
                };
                assert_eq!(code, 0);
            })
            .expect("a thread");
        let report = handle.join().expect("a thread").report.expect("a report");
        assert_eq!(report.normalization, Some(Normalization::Saturated));
    });
}

#[test]
fn sixty_four_threads_live_at_once() {
    isolated("sixty_four_threads_live_at_once", || {
        let manager = trimming();
        let audit = Audit::start().expect("a census");
        let barrier = Arc::new(Barrier::new(65));
        let handles: Vec<_> = (0..64)
            .map(|index| {
                let barrier = Arc::clone(&barrier);
                manager
                    .spawn(move || {
                        barrier.wait();
                        forget_references(index % 4);
                        for _ in 0..10 {
                            undefined();
                        }
                        barrier.wait();
                        index % 4
                    })
                    .expect("a thread")
            })
            .collect();
        barrier.wait();
        barrier.wait();
        for handle in handles {
            let ended = handle.join().expect("a thread");
            let normalization = ended.report.expect("a report").normalization;
            let expected = match ended.exit.returned().expect("it returned") {
                0 => Normalization::AlreadyOne,
                count => Normalization::Dropped(count),
            };
            assert_eq!(normalization, Some(expected));
        }
        assert!(manager.threads().is_empty());
        let left = audit.settle(LONG.into()).expect("a census");
        assert!(left.is_leak_free(), "{left}");
        assert_eq!(HANDLED.load(Ordering::Relaxed), 640);
    });
}

#[test]
fn a_body_that_panics_ends_in_order() {
    isolated("a_body_that_panics_ends_in_order", || {
        std::panic::set_hook(Box::new(|_| {}));
        let manager = trimming();
        let handle = manager
            .spawn(|| {
                undefined();
                if HANDLED.load(Ordering::Relaxed) > 0 {
                    panic!("a body's bug");
                }
            })
            .expect("a thread");
        let Err(JoinError::Panicked(panicked)) = handle.join() else {
            panic!("a panic is no result");
        };
        assert_eq!(panicked.message().as_deref(), Some("a body's bug"));
        let report = *panicked.report().expect("a report");
        let payload = panicked.into_payload();
        assert_eq!(payload.downcast_ref(), Some(&"a body's bug"));
        assert_eq!(report.normalization, Some(Normalization::AlreadyOne));
    });
}

#[test]
fn exit_now_ends_the_thread_from_deep_inside() {
    isolated("exit_now_ends_the_thread_from_deep_inside", || {
        fn deep(level: u32) -> u32 {
            if level == 0 {
                // SAFETY: none of these frames owns anything.
                let refused = unsafe { exit_now(77) };
                panic!("{refused:?}");
            }
            deep(level - 1) + 1
        }
        static DESTROYED: AtomicU32 = AtomicU32::new(0);
        struct Local;
        impl Drop for Local {
            fn drop(&mut self) {
                DESTROYED.fetch_add(1, Ordering::Relaxed);
            }
        }
        thread_local! {
            static LOCAL: Local = const { Local };
        }
        let manager = trimming();
        let audit = Audit::start().expect("a census");
        for _ in 0..20 {
            let handle = manager
                .spawn(|| {
                    LOCAL.with(|_| {});
                    undefined();
                    deep(30)
                })
                .expect("a thread");
            let ended = handle.join().expect("a thread");
            assert!(matches!(ended.exit, Exit::Exited(77)), "{ended:?}");
            let report = ended.report.expect("the last destructors ran");
            assert_eq!(report.normalization, Some(Normalization::AlreadyOne));
        }
        assert_eq!(DESTROYED.load(Ordering::Relaxed), 20);
        let left = audit.settle(LONG.into()).expect("a census");
        assert!(left.is_leak_free(), "{left}");
    });
}

#[test]
fn the_stack_can_be_walked_from_the_body_to_the_start_routine() {
    let manager = reporting();
    let handle = manager.spawn(|| std::backtrace::Backtrace::force_capture().to_string());
    let ended = handle.expect("a thread").join().expect("a thread");
    let trace = ended.exit.returned().expect("it returned");
    // If the debug information has only lines, the function's crate is known only from its file.
    let found = trace.contains("thread_mgr::start::run")
        || trace.contains("run<") && trace.contains("src/start.rs");
    assert!(found, "{trace}");
}

#[test]
fn exit_now_is_refused_on_threads_that_were_not_started() {
    isolated(
        "exit_now_is_refused_on_threads_that_were_not_started",
        || {
            // SAFETY: refused, so that no frame is skipped.
            let refused = unsafe { exit_now(1) };
            assert_eq!(refused.err(), Some(ExitError::NotManaged));
            let manager = reporting();
            let attached = manager.attach().expect("attached");
            // SAFETY: as above.
            let refused = unsafe { exit_now(1) };
            assert_eq!(refused.err(), Some(ExitError::Attached));
            drop(attached);
        },
    );
}

#[test]
fn a_thread_cannot_join_itself() {
    isolated("a_thread_cannot_join_itself", || {
        let manager = reporting();
        let (send, receive) = std::sync::mpsc::channel::<thread_mgr::Handle<()>>();
        let (done, wait) = std::sync::mpsc::channel();
        let handle = manager
            .spawn(move || {
                let itself = receive.recv().expect("the own handle");
                let refused = itself.join().map(|_| ());
                done.send(refused).expect("the test listens");
            })
            .expect("a thread");
        send.send(handle).expect("the thread listens");
        let refused = wait.recv().expect("an answer");
        assert!(matches!(refused, Err(JoinError::Itself)), "{refused:?}");
    });
}

#[test]
fn destructors_of_the_last_pass_may_still_fault() {
    isolated("destructors_of_the_last_pass_may_still_fault", || {
        static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
        unsafe extern "C" fn fault_in_every_pass(value: *mut libc::c_void) {
            undefined();
            let pass = value as usize;
            if pass < 4 {
                let key = *KEY.get().expect("made below");
                // SAFETY: the key was made; the value is a number.
                unsafe { libc::pthread_setspecific(key, (pass + 1) as *const libc::c_void) };
            }
        }
        let mut key = 0;
        // SAFETY: the key goes to a local variable.
        let error = unsafe { libc::pthread_key_create(&mut key, Some(fault_in_every_pass)) };
        assert_eq!(error, 0);
        KEY.set(key).expect("set once");
        // Built after the other key, so that the manager's destructor runs later in each pass.
        let manager = trimming();
        let handle = manager
            .spawn(|| {
                let key = *KEY.get().expect("made above");
                // SAFETY: as above.
                unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(1)) };
            })
            .expect("a thread");
        let report = handle.join().expect("a thread").report.expect("a report");
        assert_eq!(report.normalization, Some(Normalization::AlreadyOne));
        assert_eq!(HANDLED.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn the_manager_may_be_dropped_before_its_threads_end() {
    isolated("the_manager_may_be_dropped_before_its_threads_end", || {
        let audit = Audit::start().expect("a census");
        let manager = trimming();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let handle = manager
            .spawn(move || {
                let _ = wait.recv();
                undefined();
            })
            .expect("a thread");
        drop(manager);
        drop(go);
        let report = handle.join().expect("a thread").report.expect("a report");
        assert_eq!(report.normalization, Some(Normalization::AlreadyOne));
        let left = audit.settle(LONG.into()).expect("a census");
        assert!(left.is_leak_free(), "{left}");
    });
}

#[test]
fn many_threads_with_ten_faults_each_leave_nothing() {
    isolated("many_threads_with_ten_faults_each_leave_nothing", || {
        let threads = support::thread_count();
        let manager = trimming();
        let audit = Audit::start().expect("a census");
        for index in 0..threads {
            let handle = manager
                .spawn(move || {
                    forget_references(u32::from(index % 16 == 0));
                    for _ in 0..10 {
                        undefined();
                    }
                })
                .expect("a thread");
            let _ended = handle.join().expect("a thread");
        }
        assert_eq!(HANDLED.load(Ordering::Relaxed), 10 * threads);
        let left = audit.settle(LONG.into()).expect("a census");
        assert!(left.is_leak_free(), "{left}");
    });
}

/// Calls itself until the stack is full.
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let local = core::hint::black_box([depth; 32]);
    if local[0] == u64::MAX {
        return 0;
    }
    overflow(depth + 1) + core::hint::black_box(local[7])
}

/// Prints that it was entered, and overflows any stack.
unsafe extern "C" fn overflowing(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {
    // SAFETY: both are async-signal-safe; the bytes are a constant.
    unsafe {
        libc::write(2, ENTERED.as_ptr().cast(), ENTERED.len());
        if HANDLED.fetch_add(1, Ordering::Relaxed) > 100 {
            libc::_exit(3);
        }
    }
    overflow(0);
}

const ENTERED: &str = "the handler was entered\n";

/// Checks that a handler that overflows its stack, on a thread that runs `body`, is entered once, and that the fault kills the process.
fn overflows_once(name: &str, stack: HandlerStack, size: usize, body: fn()) {
    let outcome = isolated::exit_status(name, || {
        // SAFETY: the handler calls nothing that is not async-signal-safe and does not return.
        let manager = Manager::builder(unsafe { Entry::new(overflowing) })
            .handler_stack(stack)
            .emergency_stack_size(size)
            .build()
            .expect("a manager");
        let _ = manager.spawn(body).expect("a thread").join();
    });
    if let Some((status, text)) = outcome {
        let ends = [libc::SIGSEGV, libc::SIGBUS].map(Some);
        assert!(ends.contains(&status.signal()), "{status}\n{text}");
        assert_eq!(text.matches(ENTERED).count(), 1, "{text}");
    }
}

#[test]
fn a_handler_that_overflows_the_emergency_stack_is_not_entered_again() {
    let name = "a_handler_that_overflows_the_emergency_stack_is_not_entered_again";
    overflows_once(name, HandlerStack::Interrupted, 128 << 10, || {
        overflow(0);
    });
}

#[test]
fn a_handler_that_overflows_a_large_emergency_stack_is_not_entered_again() {
    let name = "a_handler_that_overflows_a_large_emergency_stack_is_not_entered_again";
    overflows_once(name, HandlerStack::Interrupted, 1 << 20, || {
        overflow(0);
    });
}

#[test]
fn a_handler_that_overflows_the_alternate_stack_is_not_entered_again() {
    let name = "a_handler_that_overflows_the_alternate_stack_is_not_entered_again";
    overflows_once(name, HandlerStack::Alternate, 32 << 10, undefined);
}
