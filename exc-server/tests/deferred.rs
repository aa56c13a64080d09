//! Answers that are put off, and the requests in flight that they are.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    DeferSlot, Deferred, Delivery, Exception, InFlight, Outcome, Routing, Server, StateError,
    Target,
};
use mach_sys::rights::ThreadRight;
use mach_sys::thread_state::{NativeState, ThreadState};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use support::{
    UNDEFINED, every_delivery, fallback, in_own_process, on_a_thread, skip_undefined,
    undefined_instruction,
};

/// A server that defers each exception into a slot of its pool and hands it out.
fn deferring(
    slots: Vec<DeferSlot>,
) -> (Server, mpsc::Receiver<Deferred>, Arc<Mutex<Vec<DeferSlot>>>) {
    let (send, receive) = mpsc::sync_channel(8);
    let pool = Arc::new(Mutex::new(slots));
    let slots = Arc::clone(&pool);
    let server = Server::start(move |exception: Exception<'_>| {
        let slot = slots.lock().expect("not poisoned").pop().expect("a slot");
        match exception.defer(slot) {
            Ok((answered, deferred)) => {
                assert_eq!(answered.outcome(), Outcome::Deferred);
                send.send(deferred).expect("somebody listens");
                answered
            }
            Err((answered, slot)) => {
                assert_eq!(answered.outcome(), Outcome::Declined);
                slots.lock().expect("not poisoned").push(slot);
                answered
            }
        }
    })
    .expect("a server");
    (server, receive, pool)
}

#[test]
fn a_deferred_exception_is_answered_from_another_thread() {
    // Two: a thread may fault again before the slot of its last fault is back.
    let slots = [(); 2].map(|()| DeferSlot::for_delivery(Delivery::TASK));
    let (server, receive, pool) = deferring(Vec::from(slots));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for mut deferred in receive.iter().take(20) {
                assert_eq!(deferred.tag(), 9);
                assert!(deferred.thread().is_some());
                let state: NativeState = deferred.state().expect("the native state");
                let mut next = state;
                skip_undefined(&mut next);
                // SAFETY: the next instruction expects nothing of the one that is skipped.
                unsafe { deferred.set_state(&next) }.expect("a state-carrying request");
                // What came is still there.
                assert_eq!(deferred.state::<NativeState>(), Ok(state));
                let slot = deferred.resume().expect("the thread waits");
                pool.lock().expect("not poisoned").push(slot);
            }
        });
        scope.spawn(|| {
            let thread = ThreadRight::current().expect("the own thread");
            let routing = Routing::new(UNDEFINED, Delivery::TASK).tag(9);
            let _route = server
                .route(Target::Thread(&thread), &routing)
                .expect("a route");
            for _ in 0..20 {
                undefined_instruction();
            }
        });
    });
    assert_eq!(server.shutdown().deferred, 20);
}

#[test]
fn a_state_that_was_set_before_goes_with_the_deferred_exception() {
    let (send, receive) = mpsc::sync_channel::<Deferred>(1);
    let slot = Mutex::new(Some(DeferSlot::for_state::<NativeState>()));
    let server = Server::start(move |mut exception: Exception<'_>| {
        let mut state = exception.registers().expect("registers");
        skip_undefined(&mut state);
        // SAFETY: the next instruction expects nothing of the one that is skipped.
        unsafe { exception.set_state(&state) }.expect("a state-carrying request");
        let slot = slot.lock().expect("not poisoned").take().expect("a slot");
        let (answered, deferred) = exception.defer(slot).expect("the slot has room");
        send.send(deferred).expect("somebody listens");
        answered
    })
    .expect("a server");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            support::faults_on_a_thread(&server, &Routing::new(UNDEFINED, Delivery::THREAD), 1)
        });
        let deferred = receive.recv().expect("an exception");
        deferred.resume().expect("the thread waits");
    });
}

#[test]
fn a_deferred_exception_that_is_dropped_or_declined_goes_to_the_next_level() {
    in_own_process(
        "a_deferred_exception_that_is_dropped_or_declined_goes_to_the_next_level",
        || {
            let (below, _route) = fallback();
            for delivery in every_delivery() {
                let slots = [(); 2].map(|()| DeferSlot::for_delivery(delivery));
                let (server, receive, _) = deferring(Vec::from(slots));
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        support::faults_on_a_thread(&server, &Routing::new(UNDEFINED, delivery), 2)
                    });
                    drop(receive.recv().expect("an exception"));
                    let deferred = receive.recv().expect("an exception");
                    deferred.decline().expect("the thread waits");
                });
            }
            assert_eq!(below.stats().resumed, 16);
        },
    );
}

#[test]
fn a_slot_without_room_declines_and_comes_back() {
    in_own_process("a_slot_without_room_declines_and_comes_back", || {
        let (below, _route) = fallback();
        let room = NativeState::COUNT - 1;
        let (server, _receive, pool) = deferring(vec![DeferSlot::with_room(room)]);
        support::faults_on_a_thread(&server, &Routing::new(UNDEFINED, Delivery::THREAD), 3);
        assert_eq!(pool.lock().expect("not poisoned").len(), 1);
        let stats = server.shutdown();
        assert_eq!((stats.deferred, stats.declined), (0, 3));
        assert_eq!(below.stats().resumed, 3);
    });
}

#[test]
fn a_deferred_exception_outlives_its_server() {
    let (server, receive, _) = deferring(vec![DeferSlot::for_delivery(Delivery::TASK)]);
    let thread = std::thread::spawn(move || {
        let thread = ThreadRight::current().expect("the own thread");
        let routing = Routing::new(UNDEFINED, Delivery::TASK);
        let route = server.route(Target::Thread(&thread), &routing);
        (server, route.expect("a route"), undefined_instruction()).0
    });
    // The thread is in its exception, and holds the server: nobody can drop it yet. So its routes are closed from inside.
    let mut deferred = receive.recv().expect("an exception");
    let mut state: NativeState = deferred.state().expect("the native state");
    skip_undefined(&mut state);
    assert!(matches!(
        deferred.state::<mach_sys::thread_state::x86_debug_state64_t>(),
        Err(StateError::Mismatch(_))
    ));
    // SAFETY: the next instruction expects nothing of the one that is skipped.
    unsafe { deferred.set_state(&state) }.expect("a state-carrying request");
    deferred.resume().expect("the thread waits");
    let server = thread.join().expect("the thread went on");
    assert_eq!(server.shutdown().deferred, 1);
}

#[test]
fn waiting_for_idle_counts_what_is_deferred_and_no_other_routes() {
    in_own_process(
        "waiting_for_idle_counts_what_is_deferred_and_no_other_routes",
        || {
            let (below, _below) = fallback();
            let (server, receive, _) = deferring(vec![DeferSlot::for_delivery(Delivery::TASK)]);
            let (give, take) = mpsc::channel();
            let (routed, wait_routed) = mpsc::channel::<()>();
            let faulting = std::thread::spawn(move || {
                give.send(ThreadRight::current().expect("the own thread"))
                    .expect("somebody listens");
                wait_routed.recv().expect("a route");
                undefined_instruction();
            });
            let thread = take.recv().expect("a thread");
            let routing = Routing::new(UNDEFINED, Delivery::TASK);
            let route = server
                .route(Target::Thread(&thread), &routing)
                .expect("a route");
            assert_eq!(route.wait_idle(Duration::MAX), Ok(()));
            routed.send(()).expect("the thread waits");
            let deferred = receive.recv().expect("an exception");
            assert_eq!(route.in_flight(), 1);
            let start = Instant::now();
            let limit = Duration::from_millis(20);
            assert_eq!(route.wait_idle(limit), Err(InFlight { count: 1 }));
            assert!(start.elapsed() >= limit);
            let (unrouted, _) = route.unroute().expect("a live thread");
            assert_eq!(
                unrouted.wait_idle(Duration::ZERO),
                Err(InFlight { count: 1 })
            );
            unrouted.close_port();
            // Another route in its place would inherit the count.
            on_a_thread(|thread| {
                let route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                assert_eq!(route.in_flight(), 0);
            });
            drop(deferred);
            faulting.join().expect("the thread went on");
            assert_eq!(below.stats().resumed, 1);
        },
    );
}
