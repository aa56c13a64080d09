//! Between a fault and its answer no thread of the process allocates, whatever the answer.
#![allow(unsafe_code)]

mod support;

use exc_server::{Answered, Deferred, Delivery, Exception, Routing, Server, Target, Timeout};
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::{TaskRight, ThreadRight};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
// Without a watchdog, whose thread would be counted too.
use support::isolated::isolated;
use support::{GuardPage, every_delivery};
use test_support::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const ACCESS: ExceptionMask = ExceptionMask::BAD_ACCESS;

/// Returns the number of requests to the allocator, by any thread, while one thread faults a hundred times.
fn while_faulting(page: &GuardPage) -> u64 {
    let fault = || {
        page.shut();
        page.store();
    };
    // The first faults allocate memory that is then kept.
    fault();
    fault();
    // The test harness and new threads allocate too; wait until no more requests arrive.
    ALLOCATOR.settle();
    let before = ALLOCATOR.requests();
    for _ in 0..100 {
        fault();
    }
    ALLOCATOR.requests() - before
}

/// Checks that no request is made, for each delivery of a thread's route to a server.
fn for_every_delivery(
    page: &GuardPage,
    handler: impl Fn(Exception<'_>) -> Answered + Send + Sync + 'static,
) {
    let server = Server::builder()
        .deferrals(1)
        .start(handler)
        .expect("a server");
    let thread = ThreadRight::current().expect("the own thread");
    for delivery in every_delivery() {
        let requests = {
            let routing = Routing::new(ACCESS, delivery);
            let _route = server
                .route(Target::Thread(&thread), &routing)
                .expect("a route");
            while_faulting(page)
        };
        assert_eq!(requests, 0, "{delivery}");
    }
}

/// Starts a server at the task's level that opens the page.
fn opener(page: &Arc<GuardPage>) -> (Server, exc_server::Route) {
    let page = Arc::clone(page);
    let server = Server::start(move |exception: Exception<'_>| {
        page.open();
        exception.resume()
    })
    .expect("a server");
    let task = TaskRight::current().expect("the own task");
    let route = server
        .route(Target::Task(&task), &Routing::new(ACCESS, Delivery::TASK))
        .expect("a route");
    (server, route)
}

#[test]
fn resuming_allocates_nothing() {
    isolated("resuming_allocates_nothing", || {
        let page = Arc::new(GuardPage::new());
        let opened = Arc::clone(&page);
        for_every_delivery(&page, move |exception: Exception<'_>| {
            opened.open();
            exception.resume()
        });
        // Checks that requests to the allocator are counted.
        let before = ALLOCATOR.requests();
        drop(std::hint::black_box(Box::new(1)));
        assert!(ALLOCATOR.requests() - before >= 2);
    });
}

#[test]
fn declining_and_dropping_allocate_nothing() {
    isolated("declining_and_dropping_allocate_nothing", || {
        let page = Arc::new(GuardPage::new());
        let _task = opener(&page);
        for_every_delivery(&page, |exception: Exception<'_>| exception.decline());
    });
}

#[test]
fn forwarding_allocates_nothing() {
    isolated("forwarding_allocates_nothing", || {
        let page = Arc::new(GuardPage::new());
        let opened = Arc::clone(&page);
        let before = Server::start(move |exception: Exception<'_>| {
            opened.open();
            exception.resume()
        })
        .expect("a server");
        let server = Server::start(|exception: Exception<'_>| exception.forward(Timeout::Never))
            .expect("a server");
        let thread = ThreadRight::current().expect("the own thread");
        let target = Target::Thread(&thread);
        let routing = |delivery| Routing::new(ACCESS, delivery);
        let _first = before.route(target, &routing(Delivery::TASK));
        let _second = server.route(target, &routing(Delivery::THREAD));
        assert_eq!(while_faulting(&page), 0);
        assert_eq!(server.shutdown().forwarded, 102);
    });
}

#[test]
fn deferring_allocates_nothing() {
    isolated("deferring_allocates_nothing", || {
        static STOP: AtomicBool = AtomicBool::new(false);
        let page = Arc::new(GuardPage::new());
        let opened = Arc::clone(&page);
        // One thread faults, so that one exception at a time is deferred; its place is free before the thread resumes.
        let deferred = Arc::new(Mutex::new(None::<Deferred>));
        let outbox = Arc::clone(&deferred);
        let handler = move |exception: Exception<'_>| -> Answered {
            let (answered, deferred) = exception.defer(Timeout::Never).expect("room");
            *outbox.lock().expect("not poisoned") = Some(deferred);
            answered
        };
        let answering = std::thread::spawn(move || {
            while !STOP.load(Ordering::Relaxed) {
                let Some(deferred) = deferred.lock().expect("not poisoned").take() else {
                    std::thread::yield_now();
                    continue;
                };
                opened.open();
                deferred.resume().expect("the thread waits");
            }
        });
        for_every_delivery(&page, handler);
        STOP.store(true, Ordering::Relaxed);
        answering.join().expect("the thread ends");
    });
}
