//! No allocation happens between a fault and its answer: not in the fault handler, not in the kernel calls of the server, not on the watching
//! thread. Counted over the whole process.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

#[path = "host/faults.rs"]
mod faults;

use faults::{KINDS, Kind};
use port_server::Server;
use std::sync::Arc;
use test_support::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const FAULTS: usize = 1000;

/// Asserts that the calling thread's faults allocate nothing, once the server is warm.
fn assert_none(kind: Kind) {
    for _ in 0..10 {
        kind.raise();
    }
    let before = ALLOCATOR.requests();
    for _ in 0..FAULTS {
        kind.raise();
    }
    let requests = ALLOCATOR.requests() - before;
    assert_eq!(requests, 0, "{kind:?}, signal {}", kind.signal());
}

#[test]
fn no_allocation_between_a_fault_and_its_answer() {
    let server = Arc::new(Server::start(0, |served, fault, state| {
        faults::skip(fault.exception, state);
        *served += 1;
        true
    }));
    // The counter counts; the server's thread may be starting, and add to it.
    let before = ALLOCATOR.requests();
    drop(std::hint::black_box(Box::new(1)));
    assert!(ALLOCATOR.requests() - before >= 2);
    // By the thread's handler, then by the task's, on a thread that makes no kernel call.
    let route = Arc::clone(&server);
    std::thread::spawn(move || {
        route.route_thread();
        for kind in KINDS {
            assert_none(*kind);
        }
        // Long enough for the watching thread to look around.
        let before = ALLOCATOR.requests();
        std::thread::sleep(std::time::Duration::from_millis(600));
        assert_eq!(ALLOCATOR.requests(), before, "the watching thread");
    })
    .join()
    .expect("the thread went on");
    server.route_task();
    std::thread::spawn(|| assert_none(Kind::Undefined))
        .join()
        .expect("the thread went on");
    let served = Arc::into_inner(server).expect("the last").stop();
    assert_eq!(served, (KINDS.len() + 1) * (FAULTS + 10));
}
