//! R14: threads of every kind that are attached in a destructor of thread-specific data, in every pass, leave nothing behind: no record, no
//! route, no name, no mapping.
#![allow(unsafe_code)]

mod support;

use core::ffi::c_void;
use core::time::Duration;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use support::{HANDLED, isolated, reporting};
use test_support::emulator::is_emulated;
use test_support::instructions::undefined;
use test_support::wait::wait_for;
use thread_mgr::{AttachError, Audit, Manager};

/// Number of threads of each kind.
fn threads() -> usize {
    if is_emulated() { 10 } else { 50 }
}

static MANAGER: Mutex<Option<Manager>> = Mutex::new(None);
static KEY: AtomicUsize = AtomicUsize::new(0);
/// The destructor's settings.
static PASS: AtomicUsize = AtomicUsize::new(0);
static DETACHES: AtomicU32 = AtomicU32::new(0);
/// The destructor's results.
static FAULTS: AtomicU32 = AtomicU32::new(0);
static EXITING: AtomicU32 = AtomicU32::new(0);
static OTHER: AtomicU32 = AtomicU32::new(0);

fn manager() -> Option<Manager> {
    MANAGER.lock().expect("no panic").clone()
}

/// Attaches the thread and faults, as another library's destructor may: in every pass, or in the last one only.
unsafe extern "C" fn destructor(value: *mut c_void) {
    let pass = value.addr();
    let from = PASS.load(SeqCst);
    if pass >= from {
        let manager = manager().expect("a manager");
        match manager.attach() {
            Ok(attached) => {
                fault();
                if DETACHES.load(SeqCst) == 0 {
                    core::mem::forget(attached);
                }
            }
            Err(AttachError::Already) => fault(),
            Err(AttachError::Exiting) => {
                EXITING.fetch_add(1, SeqCst);
            }
            Err(_) => {
                OTHER.fetch_add(1, SeqCst);
            }
        }
    }
    if pass < 4 {
        arm(pass + 1);
    }
}

fn fault() {
    FAULTS.fetch_add(1, SeqCst);
    undefined();
}

fn arm(pass: usize) {
    let key = KEY.load(SeqCst) as libc::pthread_key_t;
    // SAFETY: the key was made, and its values are numbers.
    let error = unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(pass)) };
    assert_eq!(error, 0);
}

fn make_key() {
    let mut key = 0;
    // SAFETY: the key goes to a local variable; the destructor lives as long as the process.
    let error = unsafe { libc::pthread_key_create(&mut key, Some(destructor)) };
    assert_eq!(error, 0);
    KEY.store(key as usize, SeqCst);
}

extern "C" fn raw(_: *mut c_void) -> *mut c_void {
    arm(1);
    core::ptr::null_mut()
}

/// Starts a thread by the C library alone.
fn start(routine: extern "C" fn(*mut c_void) -> *mut c_void) -> libc::pthread_t {
    let mut thread = core::mem::MaybeUninit::uninit();
    let (attributes, argument) = (core::ptr::null(), core::ptr::null_mut());
    // SAFETY: the routine takes no argument; a call that succeeds fills the identifier.
    unsafe {
        let error = libc::pthread_create(thread.as_mut_ptr(), attributes, routine, argument);
        assert_eq!(error, 0);
        thread.assume_init()
    }
}

fn join(thread: libc::pthread_t) {
    // SAFETY: the thread is joined once.
    let error = unsafe { libc::pthread_join(thread, core::ptr::null_mut()) };
    assert_eq!(error, 0);
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Managed,
    Attached,
    /// Attached, and detached before its destructors run.
    Detached,
    Std,
    Raw,
}

fn run(kind: Kind) {
    match kind {
        Kind::Managed => {
            let thread = manager().expect("a manager").spawn(|| arm(1));
            let ended = thread.expect("a thread").join().expect("no panic");
            assert!(ended.report.is_some());
        }
        Kind::Attached | Kind::Detached => {
            let thread = std::thread::spawn(move || {
                let manager = manager().expect("a manager");
                let attached = manager.attach().expect("attached");
                arm(1);
                if matches!(kind, Kind::Attached) {
                    core::mem::forget(attached);
                }
            });
            thread.join().expect("no panic");
        }
        Kind::Std => std::thread::spawn(|| arm(1)).join().expect("no panic"),
        Kind::Raw => join(start(raw)),
    }
}

/// Checks that nothing stays, for every kind of thread, attached in every pass or in the last one only, detached or not, with a key made
/// before or after the manager's.
fn nothing_stays(before: bool) {
    let start = || *MANAGER.lock().expect("no panic") = Some(reporting());
    if before {
        make_key();
        start();
    } else {
        start();
        make_key();
    }
    // The first threads make the stacks and records that the process keeps.
    run(Kind::Std);
    run(Kind::Managed);
    wait_for("warm", || {
        manager().is_some_and(|manager| manager.threads().is_empty())
    });
    std::thread::sleep(Duration::from_millis(300));
    let audit = Audit::start().expect("a census");
    for kind in [
        Kind::Managed,
        Kind::Attached,
        Kind::Detached,
        Kind::Std,
        Kind::Raw,
    ] {
        for pass in [1, 2, 4] {
            for detaches in [0, 1] {
                let what = format!("{kind:?}, from pass {pass}, detaches: {detaches}");
                PASS.store(pass, SeqCst);
                DETACHES.store(detaches, SeqCst);
                let (faults, handled) = (FAULTS.load(SeqCst), HANDLED.load(SeqCst));
                let exiting = EXITING.load(SeqCst);
                for _ in 0..threads() {
                    run(kind);
                }
                let passes = (5 - pass) * threads();
                let faults = FAULTS.load(SeqCst) - faults;
                let exiting = EXITING.load(SeqCst) - exiting;
                assert_eq!((faults + exiting) as usize, passes, "{what}");
                assert_eq!(HANDLED.load(SeqCst) - handled, faults, "{what}");
                let manager = manager().expect("a manager");
                wait_for(&what, || manager.threads().is_empty());
                let left = audit
                    .settle(Duration::from_secs(20).into())
                    .expect("a census");
                assert!(left.is_leak_free(), "{what}: {left}");
            }
        }
    }
    assert_eq!(OTHER.load(SeqCst), 0);
    if !before {
        // The manager's destructor runs first in each pass.
        assert_ne!(EXITING.load(SeqCst), 0, "some came too late");
    }
}

#[test]
fn r14_attaching_in_a_destructor_of_a_key_made_before_leaves_nothing() {
    isolated(
        "r14_attaching_in_a_destructor_of_a_key_made_before_leaves_nothing",
        || nothing_stays(true),
    );
}

#[test]
fn r14_attaching_in_a_destructor_of_a_key_made_after_leaves_nothing() {
    isolated(
        "r14_attaching_in_a_destructor_of_a_key_made_after_leaves_nothing",
        || nothing_stays(false),
    );
}

/// The server detaches a thread that is gone although no thread calls the manager any more, and then ends.
#[test]
fn r14_the_server_ends_although_no_destructor_comes_for_its_last_thread() {
    isolated(
        "r14_the_server_ends_although_no_destructor_comes_for_its_last_thread",
        || {
            let audit = Audit::start().expect("a census");
            *MANAGER.lock().expect("no panic") = Some(reporting());
            make_key();
            PASS.store(4, SeqCst);
            run(Kind::Raw);
            run(Kind::Std);
            assert_eq!(FAULTS.load(SeqCst), 2);
            *MANAGER.lock().expect("no panic") = None;
            let left = audit
                .settle(Duration::from_secs(20).into())
                .expect("a census");
            assert!(left.is_leak_free(), "{left}");
        },
    );
}

/// A thread that exits by the bare system call runs no destructor at all.
/// Ends the calling thread without a destructor.
fn vanish() {
    const EXIT: i32 = if cfg!(target_arch = "x86_64") { 60 } else { 93 };
    // SAFETY: the frames that are skipped own nothing.
    unsafe { libc::syscall(EXIT as _, 0) };
}

extern "C" fn attach_and_vanish(_: *mut c_void) -> *mut c_void {
    core::mem::forget(manager().expect("a manager").attach().expect("attached"));
    vanish();
    core::ptr::null_mut()
}

extern "C" fn look_and_attach(_: *mut c_void) -> *mut c_void {
    let is_managed = thread_mgr::redirect_mask(|_| ()).is_some();
    match manager().expect("a manager").attach() {
        Ok(attached) if !is_managed => {
            fault();
            core::mem::forget(attached);
        }
        _ => {
            OTHER.fetch_add(1, SeqCst);
        }
    }
    core::ptr::null_mut()
}

extern "C" fn only_end(_: *mut c_void) -> *mut c_void {
    core::ptr::null_mut()
}

/// glibc gives a new thread the stack of one that was joined, with its thread-specific data, which no destructor has cleared.
#[test]
fn a_thread_on_the_stack_of_one_that_vanished_is_not_taken_for_it() {
    const NAME: &str = "a_thread_on_the_stack_of_one_that_vanished_is_not_taken_for_it";
    if mach_sys::kernel::KERNEL != mach_sys::kernel::Kernel::Emulated {
        return support::isolated::report_skipped(NAME, "the system call's number is not known");
    }
    isolated(NAME, || {
        *MANAGER.lock().expect("no panic") = Some(reporting());
        let ended = || manager().expect("a manager").end_stats().ended as usize;
        let mut expected = 0;
        for (noticed, attaches) in [(false, true), (true, false), (true, true)] {
            // None is joined before all are there: each has a stack of its own.
            let all = |routine| (0..threads()).map(|_| start(routine)).collect::<Vec<_>>();
            all(attach_and_vanish).into_iter().for_each(join);
            expected += threads();
            if noticed {
                wait_for("all gone", || ended() == expected);
            }
            if attaches {
                all(look_and_attach).into_iter().for_each(join);
                expected += threads();
            } else {
                all(only_end).into_iter().for_each(join);
            }
        }
        wait_for("all gone", || ended() == expected);
        assert_eq!(OTHER.load(SeqCst), 0);
        assert_eq!(FAULTS.load(SeqCst) as usize, 2 * threads());
        assert_eq!(HANDLED.load(SeqCst), FAULTS.load(SeqCst));
        let manager = MANAGER.lock().expect("no panic").take().expect("a manager");
        assert!(manager.threads().is_empty());
    });
}

#[test]
fn a_thread_that_vanishes_is_detached() {
    const NAME: &str = "a_thread_that_vanishes_is_detached";
    if mach_sys::kernel::KERNEL != mach_sys::kernel::Kernel::Emulated {
        return support::isolated::report_skipped(NAME, "the system call's number is not known");
    }
    isolated(NAME, || {
        let manager = reporting();
        for _ in 0..10 {
            let manager = manager.clone();
            std::thread::spawn(move || {
                core::mem::forget(manager.attach().expect("attached"));
                // The thread must not keep the manager.
                drop(manager);
                vanish();
            });
        }
        wait_for("all gone", || manager.end_stats().ended == 10);
        assert!(manager.threads().is_empty());
        for _ in 0..10 {
            let thread = manager.spawn(vanish).expect("a thread");
            let lost = thread.join().expect_err("no result");
            assert!(matches!(lost, thread_mgr::JoinError::NoResult), "{lost}");
        }
        wait_for("all gone", || manager.end_stats().ended == 20);
        assert!(manager.threads().is_empty());
        drop(manager);
        // The server has ended, which every thread of the manager keeps.
        wait_for("the server's end", || {
            // SAFETY: no other thread uses the crates: those that did are gone.
            unsafe { thread_mgr::stop() }.is_ok()
        });
    });
}
