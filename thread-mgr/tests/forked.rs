//! The child of a fork: every value can be dropped there, and what needs a port or a thread is a typed error, promptly.
#![allow(unsafe_code)]

mod support;

use core::ffi::c_int;
use core::time::Duration;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::system;
use signal_redirect::Entry;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use support::{isolated, reporting, trimming};
use test_support::instructions::undefined;
use thread_mgr::{AttachError, Audit, JoinError, Manager, SpawnError};

const LONG: Duration = Duration::from_secs(20);

/// Runs code in the child of a fork, and checks that it returns `true`. A child that hangs is killed.
fn in_child(code: impl FnOnce() -> bool) {
    // SAFETY: the child runs the code under test, and ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: no preconditions.
        unsafe { libc::alarm(20) };
        let good = code();
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: the status goes to a local variable.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "how the child ended");
}

/// Checks that the parent's manager works as before, and that nothing leaks.
fn is_whole(manager: &Manager, audit: &Audit) {
    let handle = manager.spawn(undefined).expect("a thread");
    let _ended = handle.join().expect("a thread");
    let left = audit.settle(LONG.into()).expect("a census");
    assert!(left.is_leak_free(), "{left}");
}

#[test]
fn a_manager_is_dropped_quietly_and_starts_nothing() {
    isolated("a_manager_is_dropped_quietly_and_starts_nothing", || {
        let manager = trimming();
        let audit = Audit::start().expect("a census");
        let theirs = manager.clone();
        in_child(move || {
            let spawned = matches!(theirs.spawn(|| ()), Err(SpawnError::Forked));
            let attached = matches!(theirs.attach(), Err(AttachError::Forked));
            let none = theirs.threads().is_empty();
            drop(theirs);
            spawned && attached && none
        });
        is_whole(&manager, &audit);
    });
}

#[test]
fn an_attached_thread_is_detached_or_dropped_quietly() {
    isolated("an_attached_thread_is_detached_or_dropped_quietly", || {
        let manager = trimming();
        let audit = Audit::start().expect("a census");
        for detach in [true, false] {
            let attached = manager.attach().expect("attached");
            let mut attached = Some(attached);
            let theirs = manager.clone();
            in_child(|| {
                let attached = attached.take().expect("the child's copy");
                let quiet = if detach {
                    attached.detach().is_none()
                } else {
                    drop(attached);
                    true
                };
                drop(theirs);
                quiet
            });
            undefined();
            let report = attached.expect("the parent's").detach();
            assert_eq!(report.expect("a report").gained, Some(0));
        }
        is_whole(&manager, &audit);
    });
}

#[test]
fn handles_are_joined_with_an_error_or_dropped_quietly() {
    isolated(
        "handles_are_joined_with_an_error_or_dropped_quietly",
        || {
            let manager = trimming();
            let audit = Audit::start().expect("a census");
            let (go, wait) = mpsc::channel::<()>();
            let wait = Arc::new(Mutex::new(wait));
            let handles: Vec<_> = (0..3)
                .map(|_| {
                    let wait = Arc::clone(&wait);
                    let body = move || wait.lock().is_ok_and(|wait| wait.recv().is_err());
                    manager.spawn(body).expect("a thread")
                })
                .collect();

            let ended = manager
                .spawn(|| 5)
                .expect("a thread")
                .join()
                .expect("a thread");
            let mut copies = Some((handles, ended));
            in_child(|| {
                let (mut handles, ended) = copies.take().expect("the child's copies");
                let refused = handles.pop().expect("a handle").join();
                drop(handles);
                drop(ended);
                matches!(refused, Err(JoinError::Forked))
            });
            drop(go);
            let (handles, _) = copies.expect("the parent's");
            for handle in handles {
                assert_eq!(handle.join().expect("a thread").exit.returned(), Some(true));
            }
            is_whole(&manager, &audit);
        },
    );
}

#[test]
fn a_started_thread_that_forks_ends_in_the_child_as_in_the_parent() {
    isolated(
        "a_started_thread_that_forks_ends_in_the_child_as_in_the_parent",
        || {
            let manager = reporting();
            let audit = Audit::start().expect("a census");
            let theirs = manager.clone();
            let handle = manager
                .spawn(move || {
                    // SAFETY: the child drops a manager and returns, which ends its only thread.
                    let child = unsafe { libc::fork() };
                    if child == 0 {
                        // SAFETY: no preconditions.
                        unsafe { libc::alarm(20) };
                    }
                    drop(theirs);
                    child
                })
                .expect("a thread");
            let child = handle.join().expect("a thread").exit.returned();
            let child = child.expect("it returned");
            let mut status = -1;
            // SAFETY: the status goes to a local variable.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
            is_whole(&manager, &audit);
        },
    );
}

/// A handler that forks, and keeps in the child that it is one.
unsafe extern "C" fn forking(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the child returns from the handler and ends by `_exit`, or by the signal of the return trap.
    let child = unsafe { libc::fork() };
    CHILD.store(child, Ordering::Relaxed);
    // SAFETY: the arguments are those of this handler.
    unsafe { support::skip(signal, info, context) };
}

static CHILD: AtomicI32 = AtomicI32::new(-1);

#[test]
fn a_handler_that_forks_returns_in_the_child_where_it_returns_directly() {
    isolated(
        "a_handler_that_forks_returns_in_the_child_where_it_returns_directly",
        || {
            // SAFETY: `forking` is async-signal-safe, and does not unwind.
            let manager = Manager::builder(unsafe { Entry::new(forking) })
                .build()
                .expect("a manager");
            let attached = manager.attach().expect("attached");
            let value = core::hint::black_box(0x5eed_u64);
            undefined();
            let child = CHILD.load(Ordering::Relaxed);
            if child == 0 {
                // SAFETY: ends the child without the parent's exit handlers.
                unsafe { libc::_exit(if value == 0x5eed { 7 } else { 8 }) };
            }
            let mut status = -1;
            // SAFETY: the status goes to a local variable.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            let returns_directly =
                cfg!(target_arch = "x86_64") && !system::capabilities().may_be_translated();
            match returns_directly {
                true => assert_eq!(libc::WEXITSTATUS(status), 7),
                false => assert!(libc::WIFSIGNALED(status)),
            }
            assert_eq!(manager.redirect_stats().returned, 1);
            drop(attached);
            is_whole(&manager, &Audit::start().expect("a census"));
        },
    );
}
