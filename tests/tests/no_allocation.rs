//! Between a fault and its resumption nothing allocates, in any thread of the process.
#![allow(unsafe_code)]

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::{KERNEL, Kernel};
use signal_redirect::Entry;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use test_support::counting::Counting;
use tests::faults::{registers, skip, store_to, undefined};
use tests::isolated::isolated;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

static HANDLED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the trampoline's own context.
    skip(unsafe { registers(context) });
}

#[test]
fn a_thousand_faults_redirected_and_returned_from_allocate_nothing() {
    isolated(
        "a_thousand_faults_redirected_and_returned_from_allocate_nothing",
        || {
            // SAFETY: the handler is async-signal-safe and does not unwind.
            let entry = unsafe { Entry::new(handler) };
            let manager = thread_mgr::Manager::builder(entry)
                .build()
                .expect("a manager");
            let body = || {
                // The first faults bring into being what is there from then on.
                for _ in 0..10 {
                    undefined();
                    store_to(8);
                }
                ALLOCATOR.settle();
                let before = ALLOCATOR.requests();
                for _ in 0..500 {
                    undefined();
                    store_to(8);
                }
                ALLOCATOR.requests() - before
            };
            let handle = manager.spawn(body).expect("a thread");
            let requests = handle.join().expect("a thread").exit.returned();
            assert_eq!(requests, Some(0));
            assert_eq!(HANDLED.load(Ordering::Relaxed), 1020);
            // That the allocator is counted at all:
            let before = ALLOCATOR.requests();
            drop(std::hint::black_box(Box::new(1)));
            assert!(ALLOCATOR.requests() - before >= 2);
        },
    );
}

#[test]
fn requests_with_rights_allocate_nothing() {
    use exc_server::{Delivery, Exception, Routing, Server, Target};
    use mach_sys::exception::ExceptionMask;
    use mach_sys::rights::ThreadRight;
    use mach_sys::thread_state::NativeState;
    isolated("requests_with_rights_allocate_nothing", || {
        let server = Server::start(|mut exception: Exception<'_>| {
            let Ok(mut state) = exception.registers() else {
                return exception.decline();
            };
            skip(&mut state);
            // SAFETY: the next instruction expects nothing of the one that is skipped.
            match unsafe { exception.set_state(&state) } {
                Ok(()) => exception.resume(),
                Err(_) => exception.decline(),
            }
        })
        .expect("a server");
        let thread = ThreadRight::current().expect("the own thread");
        for delivery in [
            Delivery::state_identity::<NativeState>(),
            Delivery::state_identity_protected::<NativeState>(),
        ] {
            let routing = Routing::new(ExceptionMask::BAD_INSTRUCTION, delivery);
            let route = server
                .route(Target::Thread(&thread), &routing)
                .expect("a route");
            undefined();
            ALLOCATOR.settle();
            let before = ALLOCATOR.requests();
            for _ in 0..500 {
                undefined();
            }
            assert_eq!(ALLOCATOR.requests(), before);
            drop(route);
        }
        if KERNEL == Kernel::Emulated {
            assert_eq!(server.stats().resumed, 1002);
        }
    });
}
