//! A sandbox that refuses a question says nothing about its answer.

use crate::faults::Kind;
use crate::isolated::report_skipped;
use crate::lifetimes::wait_for_type;
use crate::registers::{self, assert_kept};
use crate::support::{dies, isolated, on_raw_thread, test_name};
use mach_sys::port::MACH_PORT_TYPE_DEAD_NAME;
use mach_sys::rights::{Right, ThreadRight};
use std::sync::Arc;
use std::time::Duration;
use test_support::sandbox::refuse;

isolated! {
    /// The watching thread looks at all threads every 250 ms.
    fn a_living_thread_is_not_taken_for_gone() {
        let server = Arc::new(registers::server());
        if !refuse(&[libc::SYS_tgkill]) {
            return report_skipped(test_name!(a_living_thread_is_not_taken_for_gone), "this system has no filters of system calls");
        }
        let route = Arc::clone(&server);
        on_raw_thread(move || {
            route.route_thread();
            let name = ThreadRight::current().expect("the own thread").name().raw();
            for _ in 0..8 {
                assert_kept(1);
                std::thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(ThreadRight::current().expect("the own thread").name().raw(), name);
        });
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 8);
    }
}

isolated! {
    /// The watching thread asks another question where its first is refused: names of threads that are gone do not stay.
    fn a_thread_that_is_gone_is_noticed_though_the_question_is_refused() {
        let server = Arc::new(registers::server());
        if !refuse(&[libc::SYS_tgkill]) {
            return report_skipped(test_name!(a_thread_that_is_gone_is_noticed_though_the_question_is_refused), "this system has no filters of system calls");
        }
        for _ in 0..3 {
            let route = Arc::clone(&server);
            let (tell, told) = std::sync::mpsc::channel();
            on_raw_thread(move || {
                route.route_thread();
                assert_kept(1);
                let right = ThreadRight::current().expect("the own thread");
                tell.send(right).expect("heard");
            });
            let right = told.recv().expect("a right");
            wait_for_type(right.name().raw(), MACH_PORT_TYPE_DEAD_NAME);
        }
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 3);
    }
}

/// A fault that does not recur by itself is raised again to have the default action, by the calls that are allowed.
#[test]
fn a_fault_that_no_handler_accepts_ends_the_process_whatever_calls_are_refused() {
    let name =
        test_name!(a_fault_that_no_handler_accepts_ends_the_process_whatever_calls_are_refused);
    let cases: [(&[libc::c_long], i32); 4] = [
        (&[libc::SYS_rt_tgsigqueueinfo], libc::SIGTRAP),
        (&[libc::SYS_tgkill], libc::SIGTRAP),
        (
            &[libc::SYS_rt_tgsigqueueinfo, libc::SYS_tgkill],
            libc::SIGKILL,
        ),
        // The default cannot be installed: the fault would enter the entry again, for ever.
        (&[libc::SYS_rt_sigaction], libc::SIGKILL),
    ];
    for (refused, expected) in cases {
        // arm64's breakpoints recur.
        let recurs = cfg!(target_arch = "aarch64") && refused != [libc::SYS_rt_sigaction];
        let expected = if recurs { libc::SIGTRAP } else { expected };
        dies(name, &format!("{refused:?}"), expected, || {
            let _server = registers::server();
            if !refuse(refused) {
                report_skipped(name, "this system has no filters of system calls");
                // SAFETY: no memory is involved.
                unsafe { libc::raise(expected) };
            }
            on_raw_thread(|| {
                Kind::Break.raise();
                std::process::exit(1);
            });
        });
    }
}

/// The test at the start faults: without a handler that would end the process with no word said.
#[test]
fn a_start_that_may_not_install_a_handler_says_so() {
    let name = test_name!(a_start_that_may_not_install_a_handler_says_so);
    crate::support::passes(name, || {
        if !refuse(&[libc::SYS_rt_sigaction]) {
            return report_skipped(name, "this system has no filters of system calls");
        }
        let error = mach_sys::emulated::start().expect_err("no handler can be installed");
        assert_eq!(error.code(), 0x2101, "{error}");
    });
}

/// Each call that no fault can be served without. The test says by a signal that it saw the error: Rust's own threads need these calls, too.
#[test]
fn a_start_that_is_refused_a_needed_call_names_it() {
    let name = test_name!(a_start_that_is_refused_a_needed_call_names_it);
    let calls = [
        ("gettid", libc::SYS_gettid),
        ("getpid", libc::SYS_getpid),
        ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
        ("sigaltstack", libc::SYS_sigaltstack),
        ("futex", libc::SYS_futex),
    ];
    for (call, number) in calls {
        dies(name, call, libc::SIGUSR1, || {
            let process = std::process::id() as libc::pid_t;
            if refuse(&[number]) {
                let error = mach_sys::emulated::start().expect_err("a call is refused");
                if error.code() != 0x2104 || !error.to_string().contains(call) {
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(1) };
                }
            } else {
                report_skipped(name, "this system has no filters of system calls");
            }
            // SAFETY: no memory is involved.
            unsafe { libc::kill(process, libc::SIGUSR1) };
        });
    }
}
