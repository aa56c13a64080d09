//! R26, G4.3: children of managed threads, which share the memory of their parent or not. Their faults are not redirected, and the
//! parent is served as before. How such children are made is the host's own: on Apple's systems there are no tests here.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

use core::time::Duration;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use signal_redirect::Entry;
use std::ffi::{c_int, c_void};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use test_support::wait::wait_for;
use tests::faults::{registers, skip, store_to};
use tests::isolated::{isolated, report_partly};
use tests::watchdog::abort_after;
use thread_mgr::{Audit, Manager};

static HANDLED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the trampoline's own context.
    skip(unsafe { registers(context) });
}

/// Stores to where nothing is mapped, and would end well if that were skipped.
extern "C" fn store_and_end(_: *mut c_void) -> c_int {
    store_to(0x10);
    // SAFETY: ends the child.
    unsafe { libc::_exit(42) }
}

/// Runs [`store_and_end`] in a child on a stack of its own. Returns how it ended; `None` where the host makes no such children, as
/// qemu-user. A child that hangs fails the test.
fn child(flags: c_int) -> Option<ExitStatus> {
    const STACK: usize = 256 * 1024;
    // SAFETY: the stack is a new mapping, which stays until the child is gone.
    unsafe {
        let stack = libc::mmap(
            core::ptr::null_mut(),
            STACK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(stack, libc::MAP_FAILED);
        let top = stack.byte_add(STACK - 64);
        let process = libc::clone(
            store_and_end,
            top,
            flags | libc::SIGCHLD,
            core::ptr::null_mut(),
        );
        let status = match process {
            1.. => Some(wait(process)),
            _ => {
                let error = std::io::Error::last_os_error().raw_os_error();
                assert_eq!(error, Some(libc::EINVAL), "{flags:#x}");
                None
            }
        };
        libc::munmap(stack, STACK);
        status
    }
}

fn wait(process: i32) -> ExitStatus {
    let mut status = 0;
    wait_for("the child's end", || {
        // SAFETY: a child of this process; the status is a local variable.
        unsafe { libc::waitpid(process, &mut status, libc::WNOHANG) != 0 }
    });
    ExitStatus::from_raw(status)
}

/// On a thread that the manager started, and on an attached one.
fn on_managed_threads(body: fn()) {
    abort_after(Duration::from_secs(120));
    // SAFETY: the default action of the signal, which is the children's end; no core file of them is wanted.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &none);
    }
    let audit = Audit::start().expect("a census");
    // SAFETY: the handler is async-signal-safe and does not unwind.
    let entry = unsafe { Entry::new(handler) };
    let manager = Manager::builder(entry).build().expect("a manager");
    let round = move || {
        for _ in 0..20 {
            let before = HANDLED.load(Ordering::SeqCst);
            body();
            assert_eq!(HANDLED.load(Ordering::SeqCst), before, "the child's fault");
            store_to(0x10);
            assert_eq!(
                HANDLED.load(Ordering::SeqCst),
                before + 1,
                "the parent's fault"
            );
        }
    };
    manager
        .spawn(round)
        .expect("a thread")
        .join()
        .expect("joined")
        .exit
        .returned()
        .expect("it returned");
    let other = manager.clone();
    std::thread::spawn(move || {
        let _attached = other.attach().expect("attached");
        round();
    })
    .join()
    .expect("went on");
    assert_eq!(HANDLED.load(Ordering::SeqCst), 40);
    drop(manager);
    let left = audit
        .settle(Duration::from_secs(20).into())
        .expect("a census");
    assert!(left.is_leak_free(), "{left}");
}

#[test]
fn r26_children_fault_on_their_own() {
    isolated("r26_children_fault_on_their_own", || {
        on_managed_threads(|| {
            for flags in [
                0,
                libc::CLONE_VM | libc::CLONE_VFORK,
                libc::CLONE_VM,
                libc::CLONE_VFORK,
            ] {
                let Some(status) = child(flags) else {
                    report_partly(
                        "r26_children_fault_on_their_own",
                        "a way to make a child is refused here",
                    );
                    continue;
                };
                let signal = status.signal();
                assert_eq!(signal, Some(libc::SIGSEGV), "{flags:#x}: {status}");
            }
        });
    });
}

#[test]
fn r26_a_child_of_posix_spawn_that_fails_costs_its_parent_nothing() {
    isolated(
        "r26_a_child_of_posix_spawn_that_fails_costs_its_parent_nothing",
        || {
            on_managed_threads(|| {
                let program = c"/bin/true";
                let arguments = [program.as_ptr().cast_mut(), core::ptr::null_mut()];
                let mut process = 0;
                // SAFETY: the actions are initialised before they are used, and destroyed; the arguments end with a null pointer.
                let error = unsafe {
                    let mut actions: libc::posix_spawn_file_actions_t = core::mem::zeroed();
                    libc::posix_spawn_file_actions_init(&mut actions);
                    libc::posix_spawn_file_actions_adddup2(&mut actions, 9999, 5);
                    let error = libc::posix_spawn(
                        &mut process,
                        program.as_ptr(),
                        &actions,
                        core::ptr::null(),
                        arguments.as_ptr(),
                        core::ptr::null(),
                    );
                    libc::posix_spawn_file_actions_destroy(&mut actions);
                    error
                };
                if error == 0 {
                    // An emulator without `vfork` cannot hand the error over: the child says it by its exit status.
                    let mut status = 0;
                    // SAFETY: the child is this process's, and the result goes to a local variable.
                    assert_eq!(unsafe { libc::waitpid(process, &mut status, 0) }, process);
                    assert_eq!(libc::WEXITSTATUS(status), 127, "there is no such file");
                }
            });
        },
    );
}
