//! The exit of a thread in difficult conditions: missing answers, forks, threads that cannot be made, misuse.
#![allow(unsafe_code)]

mod support;

use core::time::Duration;
use exc_server::{Restored, Timeout};
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::exception::{Behavior, BehaviorKind, EXC_MASK_ALL, ExceptionMask, ExceptionType};
use mach_sys::kernel;
use mach_sys::message::{Disposition, MACH_SEND_MSG};
use mach_sys::mig::{HeaderPort, Identity, Raise, Routine};
use mach_sys::rights::{Name, Queue, ReceiveRight, Right, SendRight, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use signal_redirect::Entry;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;
use support::{HANDLED, builder, forget_references, isolated, trimming};
use test_support::instructions::{undefined, undefined_with_stack};
use test_support::wait::wait_for;
use thread_mgr::{
    Audit, BuildError, Exit, ExitError, Manager, Normalization, SpawnError, SurplusPromise,
    exit_now,
};

const LONG: Duration = Duration::from_secs(20);

/// Returns a send right to the port of the calling thread's route.
fn route_port() -> SendRight<Queue> {
    let thread = ThreadRight::current().expect("the own thread");
    let (mut masks, mut ports, mut behaviors, mut flavors) = ([0; 32], [0; 32], [0; 32], [0; 32]);
    let mut count = 32;
    // SAFETY: the arrays have room for all entries.
    let code = unsafe {
        kernel::thread_get_exception_ports(
            thread.name().raw(),
            ExceptionMask::BAD_INSTRUCTION.bits(),
            masks.as_mut_ptr(),
            &mut count,
            ports.as_mut_ptr(),
            behaviors.as_mut_ptr(),
            flavors.as_mut_ptr(),
        )
    };
    assert_eq!((code, count), (0, 1));
    let name = Name::new(ports[0]).expect("a route");
    // SAFETY: the kernel gave one reference with the entry (B3.5).
    unsafe { SendRight::from_name(name) }
}

/// Sends a request to a route's port, as if its thread had faulted, and does not wait for the answer.
fn raise(port: &SendRight<Queue>, reply: &ReceiveRight) {
    let state = NativeState::default();
    let request = Raise {
        routine: Routine::MachExceptionRaiseState,
        remote: HeaderPort::new(port.name().raw(), Disposition::COPY_SEND),
        local: HeaderPort::new(reply.name().raw(), Disposition::MAKE_SEND_ONCE),
        voucher: HeaderPort::NONE,
        identity: Identity::None,
        disposition: Disposition::COPY_SEND,
        exception: ExceptionType::BAD_INSTRUCTION,
        codes: &[1, 0],
        flavor: NativeState::FLAVOR,
        state: state.as_words(),
    };
    let mut message = [0_u64; 700];
    // SAFETY: the buffer's own bytes.
    let bytes = unsafe {
        core::slice::from_raw_parts_mut(message.as_mut_ptr().cast::<u8>(), size_of_val(&message))
    };
    let size = request.encode(bytes).expect("a request");
    // SAFETY: the message was encoded just now.
    let code = unsafe {
        kernel::mach_msg(
            message.as_mut_ptr().cast(),
            MACH_SEND_MSG,
            size as u32,
            0,
            0,
            0,
            0,
        )
    };
    assert_eq!(code, 0);
}

#[test]
fn past_the_deadline_nothing_is_trimmed_and_no_thread_waits() {
    isolated(
        "past_the_deadline_nothing_is_trimmed_and_no_thread_waits",
        || {
            static ASKED: AtomicBool = AtomicBool::new(false);
            static ANSWER: AtomicBool = AtomicBool::new(false);
            // SAFETY: the references are forgotten for good.
            let promise = unsafe { SurplusPromise::new() };
            let manager = builder()
                .trim_surplus(promise)
                .drain_timeout(Duration::from_millis(100).into())
                .only_if(|_| {
                    ASKED.store(true, Ordering::Release);
                    while !ANSWER.load(Ordering::Acquire) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    false
                })
                .build()
                .expect("a manager");
            let reply = ReceiveRight::new().expect("a port");
            let handle = std::thread::scope(|scope| {
                let reply = &reply;
                let (send, receive) = mpsc::channel();
                scope.spawn(move || {
                    let port: SendRight<Queue> = receive.recv().expect("a port");
                    raise(&port, reply);
                });
                manager
                    .spawn(move || {
                        forget_references(2);
                        send.send(route_port()).expect("the test listens");
                        wait_for("the filter is called", || ASKED.load(Ordering::Acquire));
                    })
                    .expect("a thread")
            });
            let start = Instant::now();
            let report = handle.join().expect("a thread").report.expect("a report");
            assert!(start.elapsed() < LONG);
            let in_flight = report.in_flight.expect("the answer is still under way");
            assert_eq!(in_flight.count, 1);
            assert_eq!(report.normalization, Some(Normalization::Surplus(2)));
            assert_eq!(report.gained, Some(2));
            assert!(manager.threads().is_empty());
            // The late answer does no harm, and the server keeps serving others.
            ANSWER.store(true, Ordering::Release);
            wait_for("the late answer", || manager.redirect_stats().filtered == 1);
            let other = manager
                .spawn(|| 5)
                .expect("a thread")
                .join()
                .expect("a thread");
            let report = other.report.expect("a report");
            assert_eq!(other.exit.returned(), Some(5));
            assert_eq!(report.in_flight, None);
            assert_eq!(report.normalization, Some(Normalization::AlreadyOne));
        },
    );
}

#[test]
fn an_answer_under_way_is_waited_for() {
    isolated("an_answer_under_way_is_waited_for", || {
        static ASKED: AtomicBool = AtomicBool::new(false);
        // SAFETY: the references are forgotten for good.
        let promise = unsafe { SurplusPromise::new() };
        let manager = builder()
            .trim_surplus(promise)
            // This limit is beyond the clock's range.
            .drain_timeout(Timeout::Never)
            .only_if(|_| {
                ASKED.store(true, Ordering::Release);
                std::thread::sleep(Duration::from_millis(200));
                false
            })
            .build()
            .expect("a manager");
        let reply = ReceiveRight::new().expect("a port");
        let handle = std::thread::scope(|scope| {
            let reply = &reply;
            let (send, receive) = mpsc::channel();
            scope.spawn(move || {
                let port: SendRight<Queue> = receive.recv().expect("a port");
                raise(&port, reply);
            });
            manager
                .spawn(move || {
                    forget_references(1);
                    send.send(route_port()).expect("the test listens");
                    wait_for("the filter is called", || ASKED.load(Ordering::Acquire));
                })
                .expect("a thread")
        });
        let report = handle.join().expect("a thread").report.expect("a report");
        assert_eq!(report.in_flight, None);
        assert_eq!(report.normalization, Some(Normalization::Dropped(1)));
        assert_eq!(manager.redirect_stats().filtered, 1);
    });
}

#[test]
fn the_child_of_a_fork_ends_its_thread_and_touches_no_port() {
    isolated(
        "the_child_of_a_fork_ends_its_thread_and_touches_no_port",
        || {
            let manager = trimming();
            let audit = Audit::start().expect("a census");
            let handle = manager
                .spawn(|| {
                    forget_references(1);
                    // SAFETY: the child only returns from here.
                    match unsafe { libc::fork() } {
                        0 => None,
                        child => {
                            let mut status = 0;
                            // SAFETY: the status goes to a local variable.
                            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                            undefined();
                            Some(status)
                        }
                    }
                })
                .expect("a thread");
            let ended = handle.join().expect("a thread");
            // The child's only thread returned from its start routine, which ends the process.
            assert_eq!(ended.exit.returned().flatten(), Some(0));
            let report = ended.report.expect("a report");
            assert_eq!(report.normalization, Some(Normalization::Dropped(1)));
            assert_eq!(HANDLED.load(Ordering::Relaxed), 1);
            let left = audit.settle(LONG.into()).expect("a census");
            assert!(left.is_leak_free(), "{left}");
        },
    );
}

#[test]
fn r12_threads_that_cannot_be_made_leave_nothing() {
    isolated("r12_threads_that_cannot_be_made_leave_nothing", || {
        let manager = trimming();
        let audit = Audit::start().expect("a census");
        for round in 0..100 {
            // Larger than any address space.
            for size in [1 << 56, usize::MAX] {
                let refused = manager.thread().stack_size(size).spawn(|| ());
                assert!(
                    matches!(
                        refused,
                        Err(SpawnError::Create(_) | SpawnError::StackSize { .. })
                    ),
                    "{size:#x}: {refused:?}"
                );
            }
            if round % 10 == 0 {
                let handle = manager.thread().stack_size(200_001).spawn(|| 1);
                let ended = handle.expect("whole pages").join().expect("a thread");
                assert_eq!(ended.exit.returned(), Some(1));
            }
        }
        assert!(manager.threads().is_empty());
        let left = audit.settle(LONG.into()).expect("a census");
        assert!(left.is_leak_free(), "{left}");
    });
}

#[test]
fn a_mask_without_the_return_trap_is_refused() {
    let refused = builder().mask(ExceptionMask::ARITHMETIC).build();
    let Err(BuildError::ReturnTrap { needed, mask }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(mask, ExceptionMask::ARITHMETIC);
    assert!(!mask.contains(needed));
    assert!(ExceptionMask::from_bits_retain(EXC_MASK_ALL).contains(needed));
}

#[test]
fn exit_now_in_a_destructor_is_refused() {
    isolated("exit_now_in_a_destructor_is_refused", || {
        static REFUSED: AtomicU64 = AtomicU64::new(0);
        unsafe extern "C" fn destructor(_: *mut libc::c_void) {
            // SAFETY: refused, so that no frame is skipped.
            if unsafe { exit_now(9) }.err() == Some(ExitError::Ending) {
                REFUSED.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut key = 0;
        // SAFETY: the key goes to a local variable.
        let error = unsafe { libc::pthread_key_create(&mut key, Some(destructor)) };
        assert_eq!(error, 0);
        let manager = trimming();
        let handle = manager
            .spawn(move || {
                // SAFETY: the key was made; the value is a number.
                unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(1)) };
                3
            })
            .expect("a thread");
        let ended = handle.join().expect("a thread");
        assert!(matches!(ended.exit, Exit::Returned(3)), "{ended:?}");
        assert_eq!(REFUSED.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_result_that_panics_when_it_is_dropped_ends_its_thread_in_order() {
    isolated(
        "a_result_that_panics_when_it_is_dropped_ends_its_thread_in_order",
        || {
            struct Loud;
            impl Drop for Loud {
                fn drop(&mut self) {
                    panic!("a result's bug");
                }
            }
            std::panic::set_hook(Box::new(|_| {}));
            let manager = trimming();
            let audit = Audit::start().expect("a census");
            let (go, wait) = mpsc::channel::<()>();
            let handle = manager
                .spawn(move || {
                    let _ = wait.recv();
                    forget_references(1);
                    Loud
                })
                .expect("a thread");
            drop(handle);
            drop(go);
            wait_for("the end of the thread", || manager.end_stats().ended == 1);
            assert_eq!(manager.end_stats().dropped, 1);
            assert!(manager.threads().is_empty());
            let left = audit.settle(LONG.into()).expect("a census");
            assert!(left.is_leak_free(), "{left}");
        },
    );
}

#[test]
fn a_handler_may_end_its_thread_on_any_stack() {
    isolated("a_handler_may_end_its_thread_on_any_stack", || {
        unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {
            HANDLED.fetch_add(1, Ordering::Relaxed);
            // SAFETY: neither the body's frames nor these own anything.
            let refused = unsafe { exit_now(21) };
            eprintln!("{refused:?}");
            std::process::abort();
        }
        // SAFETY: the handler is async-signal-safe and does not unwind.
        let entry = unsafe { Entry::new(handler) };
        // SAFETY: the references are forgotten for good.
        let promise = unsafe { SurplusPromise::new() };
        let manager = Manager::builder(entry)
            .trim_surplus(promise)
            .build()
            .expect("a manager");
        let audit = Audit::start().expect("a census");
        for round in 0..20 {
            let body = || {
                forget_references(1);
                undefined();
            };
            let bad = || {
                forget_references(1);
                undefined_with_stack(0);
            };
            let handle = match round % 2 {
                0 => manager.spawn(body),
                _ => manager.spawn(bad),
            };
            let ended = handle.expect("a thread").join().expect("a thread");
            assert!(matches!(ended.exit, Exit::Exited(21)), "{ended:?}");
            let report = ended.report.expect("a report");
            assert_eq!(report.normalization, Some(Normalization::Dropped(1)));
        }
        assert_eq!(HANDLED.load(Ordering::Relaxed), 20);
        assert_eq!(manager.end_stats().dropped, 20);
        let left = audit.settle(LONG.into()).expect("a census");
        assert!(left.is_leak_free(), "{left}");
    });
}

#[test]
fn another_port_over_the_managers_is_left_alone_and_reported() {
    isolated(
        "another_port_over_the_managers_is_left_alone_and_reported",
        || {
            let manager = trimming();
            let other = ReceiveRight::new().expect("a port");
            let send = other.make_send().expect("a send right");
            let name = send.name().raw();
            let handle = manager.spawn(move || {
                let thread = ThreadRight::current().expect("the own thread");
                // SAFETY: no pointers; the port is a send right that the test keeps.
                let code = unsafe {
                    kernel::thread_set_exception_ports(
                        thread.name().raw(),
                        ExceptionMask::ARITHMETIC.bits(),
                        name,
                        Behavior::with_codes(BehaviorKind::DEFAULT).raw(),
                        0,
                    )
                };
                assert_eq!(code, 0);
            });
            let ended = handle.expect("a thread").join().expect("a thread");
            assert!(ended.exit.returned().is_some());
            let report = ended.report.expect("a report");
            let displaced = Restored::Displaced(ExceptionMask::ARITHMETIC);
            assert_eq!(report.restored, Ok(displaced));
            assert_eq!(report.normalization, Some(Normalization::AlreadyOne));
            assert_eq!(manager.end_stats().displaced, 1);
            drop(send);
        },
    );
}
