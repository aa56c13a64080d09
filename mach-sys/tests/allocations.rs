//! Nothing between a fault and its answer allocates: not the fault handler, not the kernel calls of the server, not the watching
//! thread. Counted over the whole process.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

#[path = "host/faults.rs"]
mod faults;
#[path = "host/server.rs"]
mod server;

use faults::{KINDS, Kind};
use server::Server;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);
static ON: AtomicBool = AtomicBool::new(false);

fn note() {
    if ON.load(Ordering::Relaxed) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FAULTS: usize = 1000;

/// The calling thread's faults, one by one, counted; the server is warm.
fn assert_none(kind: Kind) {
    for _ in 0..10 {
        kind.raise();
    }
    COUNT.store(0, Ordering::Relaxed);
    ON.store(true, Ordering::Relaxed);
    for _ in 0..FAULTS {
        kind.raise();
    }
    ON.store(false, Ordering::Relaxed);
    assert_eq!(
        COUNT.load(Ordering::Relaxed),
        0,
        "{kind:?}, signal {}",
        kind.signal()
    );
}

#[test]
fn no_allocation_between_a_fault_and_its_answer() {
    let server = Arc::new(Server::start(0, |served, fault, state| {
        faults::skip(fault.exception, state);
        *served += 1;
        true
    }));
    // The counter counts; the server's thread may be starting, and add to it.
    ON.store(true, Ordering::Relaxed);
    drop(std::hint::black_box(Box::new(1)));
    ON.store(false, Ordering::Relaxed);
    assert!(COUNT.load(Ordering::Relaxed) >= 2);
    // By the thread's handler, then by the task's, on a thread that makes no kernel call.
    let route = Arc::clone(&server);
    std::thread::spawn(move || {
        route.route_thread();
        for kind in KINDS {
            assert_none(*kind);
        }
        // Long enough for the watching thread to look around.
        COUNT.store(0, Ordering::Relaxed);
        ON.store(true, Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(600));
        ON.store(false, Ordering::Relaxed);
        assert_eq!(COUNT.load(Ordering::Relaxed), 0, "the watching thread");
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
