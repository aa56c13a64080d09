//! A program whose static thread-local variables are larger than the server's stack: the C library places them in every thread's stack.
#![allow(unsafe_code)]

mod support;

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use support::{HANDLED, builder, isolated};
use test_support::instructions::{store_to, undefined};
use thread_mgr::exc_server::ServerBuilder;

const LARGE: usize = 600_000;
const SMALL: usize = 128 * 1024;

thread_local! {
    static BIG: RefCell<[u8; LARGE]> = const { RefCell::new([0; LARGE]) };
}

/// Uses the variables, the whole of a small stack, and the server's.
fn body() {
    BIG.with_borrow_mut(|big| {
        big[0] += 1;
        big[LARGE - 1] += 1;
    });
    let mut most = [0_u8; SMALL / 2];
    core::hint::black_box(&mut most);
    undefined();
    store_to(0x10);
}

#[inline(never)]
fn uses_a_lot() {
    let mut some = [0_u8; 128 * 1024];
    core::hint::black_box(&mut some);
}

#[test]
fn bigtls_stacks_are_sized_beyond_static_thread_local_variables() {
    let name = "bigtls_stacks_are_sized_beyond_static_thread_local_variables";
    isolated(name, || {
        let servers = [ServerBuilder::MIN_STACK_SIZE, 256 * 1024];
        let mut handled = 0;
        for server in servers {
            let filtering = |large: bool| {
                // The filter has the stack that was set, not the rest of it.
                let builder = builder().server_stack_size(server);
                let builder = builder.only_if(move |_| {
                    if large {
                        uses_a_lot();
                    }
                    true
                });
                builder.thread_stack_size(SMALL).build().expect("a manager")
            };
            let manager = filtering(server > ServerBuilder::MIN_STACK_SIZE);
            let threads = [
                manager.spawn(body),
                manager.thread().stack_size(SMALL).spawn(body),
                manager.thread().stack_size(0).spawn(body),
            ];
            for thread in threads {
                let ended = thread.expect("a thread").join().expect("no panic");
                assert!(ended.exit.returned().is_some());
                handled += 2;
            }
            let attached = manager.attach().expect("attached");
            body();
            drop(attached);
            handled += 2;
        }
        assert_eq!(HANDLED.load(Ordering::Relaxed), handled);
    });
}

/// The manager's setting applies unless a thread has its own.
#[test]
fn the_stack_size_of_started_threads_is_the_managers_unless_it_is_their_own() {
    let name = "the_stack_size_of_started_threads_is_the_managers_unless_it_is_their_own";
    isolated(name, || {
        let manager = builder().thread_stack_size(3 << 20).build();
        let manager = manager.expect("a manager");
        let size = || {
            let stack = mach_sys::kernel::system::stack_bounds().expect("the own stack");
            stack.end - stack.start
        };
        let found = |thread: Result<thread_mgr::Handle<usize>, _>| {
            let ended = thread.expect("a thread").join().expect("no panic");
            ended.exit.returned().expect("it returned")
        };
        let default = found(manager.spawn(size));
        let own = found(manager.thread().stack_size(9 << 20).spawn(size));
        let slack = LARGE + (1 << 20);
        assert!(
            ((3 << 20)..(3 << 20) + slack).contains(&default),
            "{default}"
        );
        assert!(((9 << 20)..(9 << 20) + slack).contains(&own), "{own}");
    });
}
