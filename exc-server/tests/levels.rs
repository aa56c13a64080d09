//! The order of the levels: thread, task, host.
#![allow(unsafe_code)]

mod support;

use exc_server::{Delivery, Exception, Routing, Server, Target};
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::TaskRight;
use mach_sys::thread_state::Registers;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::isolated::exit_status;
use support::{GuardPage, UNDEFINED, isolated, on_a_thread, skip};
use test_support::instructions::undefined;

#[test]
fn a1_1_declined_at_the_thread_level_the_task_level_gets_the_original_fault() {
    isolated(
        "a1_1_declined_at_the_thread_level_the_task_level_gets_the_original_fault",
        || {
            let order = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&order);
            let server = Server::start(move |exception: Exception<'_>| {
                let level = exception.tag();
                let pc = exception.registers().expect("registers").pc();
                log.lock()
                    .expect("not poisoned")
                    .push((level, pc, exception.codes()));
                if level == 2 {
                    skip(exception)
                } else {
                    exception.decline()
                }
            })
            .expect("a server");
            let task = TaskRight::current().expect("the own task");
            let routing = Routing::new(UNDEFINED, Delivery::TASK).tag(2);
            let _task_route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            on_a_thread(|thread| {
                let routing = Routing::new(UNDEFINED, Delivery::THREAD).tag(1);
                let _route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                undefined();
            });
            let order = order.lock().expect("not poisoned");
            let [(1, pc, codes), (2, pc_again, codes_again)] = order[..] else {
                panic!("{order:?}");
            };
            assert_eq!((pc, codes), (pc_again, codes_again));
        },
    );
}

#[test]
fn a1_1_handled_at_the_thread_level_the_task_level_gets_nothing() {
    isolated(
        "a1_1_handled_at_the_thread_level_the_task_level_gets_nothing",
        || {
            let server = Server::start(|exception: Exception<'_>| {
                assert_eq!(exception.tag(), 1);
                skip(exception)
            })
            .expect("a server");
            let task = TaskRight::current().expect("the own task");
            let routing = Routing::new(UNDEFINED, Delivery::TASK).tag(2);
            let _task_route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            on_a_thread(|thread| {
                let routing = Routing::new(UNDEFINED, Delivery::THREAD).tag(1);
                let _route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                for _ in 0..10 {
                    undefined();
                }
            });
            assert_eq!(server.shutdown().resumed, 10);
        },
    );
}

static PAGE: AtomicUsize = AtomicUsize::new(0);
static SIGNALS: AtomicU32 = AtomicU32::new(0);
/// The levels that had declined when the signal arrived, one digit each.
static LEVELS: AtomicU32 = AtomicU32::new(0);
static LEVELS_AT_SIGNAL: AtomicU32 = AtomicU32::new(0);
static SIGNAL_THREAD: AtomicUsize = AtomicUsize::new(0);

/// The Unix handler: opens the page that was stored to.
extern "C" fn open_page(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let page = PAGE.load(Ordering::Relaxed);
    // SAFETY: the kernel's siginfo of a fault.
    if unsafe { (*info).si_addr() } as usize == page {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
        LEVELS_AT_SIGNAL.store(LEVELS.load(Ordering::Relaxed), Ordering::Relaxed);
        // SAFETY: the page is the test's; pthread_self has no preconditions.
        unsafe {
            SIGNAL_THREAD.store(libc::pthread_self() as usize, Ordering::Relaxed);
            libc::mprotect(
                page as *mut _,
                mach_sys::kernel::system::page_size(),
                libc::PROT_READ | libc::PROT_WRITE,
            );
        }
    }
}

/// A0.2, A1.2, B7.3: the last level turns the exception into a signal, and the instruction runs again after it.
/// G3.4: each level once, then the last.
#[test]
fn a0_2_a1_1_a1_2_b7_3_declined_by_thread_and_task_the_unix_handler_runs_on_the_faulting_thread() {
    isolated(
        "a0_2_a1_1_a1_2_b7_3_declined_by_thread_and_task_the_unix_handler_runs_on_the_faulting_thread",
        || {
            // The signal is one of two, depending on the system.
            for signal in [libc::SIGSEGV, libc::SIGBUS] {
                // SAFETY: zeroes are a valid action; the handler is a function of three arguments, safe in a handler.
                unsafe {
                    let mut action: libc::sigaction = core::mem::zeroed();
                    action.sa_sigaction = open_page as *const () as usize;
                    action.sa_flags = libc::SA_SIGINFO;
                    assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
                }
            }
            let server = Server::start(|exception: Exception<'_>| {
                // Appends the level's digit.
                let before = LEVELS.load(Ordering::Relaxed);
                LEVELS.store(before * 10 + exception.tag() as u32, Ordering::Relaxed);
                exception.decline()
            })
            .expect("a server");
            let access = ExceptionMask::BAD_ACCESS;
            let task = TaskRight::current().expect("the own task");
            let routing = Routing::new(access, Delivery::TASK).tag(2);
            let _task_route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            let page = GuardPage::new();
            PAGE.store(page.address(), Ordering::Relaxed);
            on_a_thread(|thread| {
                let routing = Routing::new(access, Delivery::THREAD).tag(1);
                let _route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                page.store();
                // SAFETY: no preconditions.
                let own = unsafe { libc::pthread_self() } as usize;
                assert_eq!(SIGNAL_THREAD.load(Ordering::Relaxed), own);
            });
            assert_eq!(SIGNALS.load(Ordering::Relaxed), 1);
            assert_eq!(LEVELS_AT_SIGNAL.load(Ordering::Relaxed), 12);
            assert_eq!(server.shutdown().declined, 2);
        },
    );
}

/// A0.2: the last level's signal has its default action.
#[test]
fn a1_1_declined_at_every_level_the_process_dies_of_the_original_signal() {
    use std::os::unix::process::ExitStatusExt;
    let died = exit_status(
        "a1_1_declined_at_every_level_the_process_dies_of_the_original_signal",
        || {
            let server =
                Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
            let routing = Routing::new(UNDEFINED, Delivery::THREAD);
            support::faults_on_a_thread(&server, &routing, 1);
        },
    );
    if let Some((status, text)) = died {
        assert_eq!(status.signal(), Some(libc::SIGILL), "{status}\n{text}");
    }
}
