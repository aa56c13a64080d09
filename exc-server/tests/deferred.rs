//! Deferred answers, which count as requests in flight.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    AnswerError, Answered, DeferError, Deferred, Delivery, Exception, NotDeferred, Outcome,
    Routing, Server, StateError, Target, Timeout,
};
use mach_sys::exception::ExceptionType;
use mach_sys::rights::ThreadRight;
use mach_sys::thread_state::NativeState;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use support::{
    UNDEFINED, every_delivery, fallback, faults_on_a_thread, isolated, on_a_thread, resume, skip,
    skip_undefined, thread_that_will_fault,
};
use test_support::instructions::undefined;
use test_support::wait::wait_for;

const ROUTING: Routing = Routing::new(UNDEFINED, Delivery::TASK);

/// Starts a server that defers each exception and sends the keys.
fn deferring(capacity: usize, limit: Timeout) -> (Server, mpsc::Receiver<Deferred>) {
    let (send, receive) = mpsc::sync_channel(64);
    let handler = move |exception: Exception<'_>| match exception.defer(limit) {
        Ok((answered, deferred)) => {
            assert_eq!(answered.outcome(), Outcome::Deferred);
            send.send(deferred).expect("the test listens");
            answered
        }
        Err(NotDeferred { exception, .. }) => exception.decline(),
    };
    let server = Server::builder().deferrals(capacity).start(handler);
    (server.expect("a server"), receive)
}

#[test]
fn a_deferred_exception_is_answered_from_another_thread() {
    // The table's one place is free before the thread resumes and faults again.
    let (server, receive) = deferring(1, Timeout::Never);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for mut deferred in receive.iter().take(20) {
                assert_eq!(deferred.tag(), 9);
                assert_eq!(deferred.exception_type(), ExceptionType::BAD_INSTRUCTION);
                assert!(deferred.thread().is_some());
                let state: NativeState = deferred.state().expect("the native state");
                let mut next = state;
                skip_undefined(&mut next);
                // SAFETY: the next instruction does not depend on the skipped one.
                unsafe { deferred.set_state(&next) }.expect("a state-carrying request");
                // The state from the request is unchanged.
                assert_eq!(deferred.state::<NativeState>(), Ok(state));
                deferred.resume().expect("the thread waits");
            }
        });
        scope.spawn(|| faults_on_a_thread(&server, &ROUTING.tag(9), 20));
    });
    assert_eq!(server.shutdown().deferred, 20);
}

#[test]
fn a_state_that_was_set_before_goes_with_the_deferred_exception() {
    let (send, receive) = mpsc::sync_channel::<Deferred>(1);
    let server = Server::builder()
        .deferrals(1)
        .start(move |mut exception: Exception<'_>| {
            let mut state = exception.registers().expect("registers");
            skip_undefined(&mut state);
            // SAFETY: the next instruction does not depend on the skipped one.
            unsafe { exception.set_state(&state) }.expect("a state-carrying request");
            let (answered, deferred) = exception.defer(Timeout::Never).expect("room");
            send.send(deferred).expect("the test listens");
            answered
        })
        .expect("a server");
    std::thread::scope(|scope| {
        scope.spawn(|| faults_on_a_thread(&server, &Routing::new(UNDEFINED, Delivery::THREAD), 1));
        let deferred = receive.recv().expect("an exception");
        deferred.resume().expect("the thread waits");
    });
}

#[test]
fn a_deferred_exception_that_is_dropped_or_declined_goes_to_the_next_level() {
    isolated(
        "a_deferred_exception_that_is_dropped_or_declined_goes_to_the_next_level",
        || {
            let (below, _route) = fallback();
            for delivery in every_delivery() {
                let (server, receive) = deferring(1, Timeout::Never);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        faults_on_a_thread(&server, &Routing::new(UNDEFINED, delivery), 2)
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
fn without_room_the_exception_comes_back() {
    isolated("without_room_the_exception_comes_back", || {
        let (below, _route) = fallback();
        for capacity in [0, 1] {
            let (send, receive) = mpsc::sync_channel(1);
            let handler = move |exception: Exception<'_>| match exception.defer(Timeout::Never) {
                Ok((answered, deferred)) => {
                    send.send(deferred).expect("the test listens");
                    answered
                }
                Err(NotDeferred {
                    exception, reason, ..
                }) => {
                    assert_eq!(reason, DeferError::Full { capacity });
                    assert_eq!(exception.exception_type(), ExceptionType::BAD_INSTRUCTION);
                    skip(exception)
                }
            };
            let server = Server::builder().deferrals(capacity).start(handler);
            let server = server.expect("a server");
            std::thread::scope(|scope| {
                // This exception takes the only place.
                let first = (capacity == 1).then(|| {
                    scope.spawn(|| faults_on_a_thread(&server, &ROUTING, 1));
                    receive.recv().expect("an exception")
                });
                faults_on_a_thread(&server, &ROUTING, 3);
                drop(first);
            });
            let stats = server.shutdown();
            assert_eq!((stats.resumed, stats.deferred), (3, capacity as u64));
        }
        assert_eq!(below.stats().resumed, 1);
    });
}

/// The fate of a key while its exception is deferred.
#[derive(Clone, Copy, Debug, PartialEq)]
enum KeyFate {
    Kept,
    Forgotten,
    DroppedInAPanic,
}

/// The event that declines an exception whose key does not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    RouteCloses,
    RouteClosesInSteps,
    ServerDrops,
    DeadlinePasses,
}

#[test]
fn whatever_happens_to_the_key_the_thread_does_not_wait_forever() {
    isolated(
        "whatever_happens_to_the_key_the_thread_does_not_wait_forever",
        || {
            std::panic::set_hook(Box::new(|_| {}));
            let (below, _route) = fallback();
            let mut declined = 0;
            for end in [
                End::RouteCloses,
                End::RouteClosesInSteps,
                End::ServerDrops,
                End::DeadlinePasses,
            ] {
                for fate in [KeyFate::Kept, KeyFate::Forgotten, KeyFate::DroppedInAPanic] {
                    let limit = match (end, fate) {
                        // Its key is dropped long before.
                        (End::DeadlinePasses, KeyFate::DroppedInAPanic) => {
                            Timeout::After(Duration::from_secs(600))
                        }
                        (End::DeadlinePasses, _) => Timeout::After(Duration::from_millis(20)),
                        _ => Timeout::Never,
                    };
                    let (server, receive) = deferring(1, limit);
                    let (give, take) = mpsc::channel();
                    let (routed, wait_routed) = mpsc::channel::<()>();
                    let faulting = std::thread::spawn(move || {
                        let own = ThreadRight::current().expect("the own thread");
                        give.send(own).expect("the test listens");
                        wait_routed.recv().expect("a route");
                        undefined();
                        // The thread lives until its route was checked.
                        let _ = wait_routed.recv();
                    });
                    let thread = take.recv().expect("a thread");
                    let route = server.route(Target::Thread(&thread), &ROUTING);
                    let route = route.expect("a route");
                    routed.send(()).expect("the thread waits");
                    let key = receive.recv().expect("an exception");
                    let mut kept = None;
                    match fate {
                        KeyFate::Kept => kept = Some(key),
                        KeyFate::Forgotten => core::mem::forget(key),
                        KeyFate::DroppedInAPanic => {
                            let dropped = std::thread::spawn(move || {
                                let _key = key;
                                panic!("drops its key");
                            });
                            assert!(dropped.join().is_err());
                        }
                    }
                    let mut server = Some(server);
                    match end {
                        End::RouteCloses => drop(route),
                        End::RouteClosesInSteps => {
                            let (detached, restored) = route.unroute();
                            restored.map(drop).expect("a live thread");
                            detached.stop_delivery();
                            let waiting = u32::from(fate != KeyFate::DroppedInAPanic);
                            let idle = detached.wait_idle(Timeout::Now);
                            assert_eq!(idle.is_err(), waiting == 1, "{fate:?}");
                            detached.close_port();
                        }
                        End::ServerDrops => server = None,
                        End::DeadlinePasses => {}
                    }
                    drop(routed);
                    faulting.join().expect("the thread went on");
                    declined += 1;
                    wait_for("the next level has it", || {
                        below.stats().resumed == declined
                    });
                    if let Some(mut key) = kept {
                        assert!(!key.is_pending());
                        assert!(key.thread().is_none());
                        assert_eq!(key.state::<NativeState>(), Err(StateError::Answered));
                        // SAFETY: no thread goes on with it.
                        let set = unsafe { key.set_state(&NativeState::default()) };
                        assert_eq!(set, Err(StateError::Answered));
                        assert_eq!(key.resume(), Err(AnswerError::AlreadyDeclined));
                    }
                    if let Some(server) = server {
                        assert_eq!(server.deferrals().pending().count(), 0);
                        let expired =
                            end == End::DeadlinePasses && fate != KeyFate::DroppedInAPanic;
                        assert_eq!(server.shutdown().expired, u64::from(expired), "{fate:?}");
                    }
                }
            }
        },
    );
}

#[test]
fn a_stale_key_answers_nothing_when_its_place_is_anothers() {
    isolated(
        "a_stale_key_answers_nothing_when_its_place_is_anothers",
        || {
            let (below, _route) = fallback();
            let (server, receive) = deferring(1, Timeout::Never);
            std::thread::scope(|scope| {
                let (give, take) = mpsc::channel();
                let (go, wait_go) = mpsc::channel::<()>();
                let first = scope.spawn(move || {
                    let own = ThreadRight::current().expect("the own thread");
                    give.send(own).expect("the test listens");
                    wait_go.recv().expect("a route");
                    undefined();
                });
                let thread = take.recv().expect("a thread");
                let route = server.route(Target::Thread(&thread), &ROUTING);
                go.send(()).expect("the thread waits");
                let stale = receive.recv().expect("an exception");
                drop(route);
                first.join().expect("the thread went on");
                // The same place, the next generation.
                let second = scope.spawn(|| faults_on_a_thread(&server, &ROUTING, 1));
                let live = receive.recv().expect("an exception");
                assert_eq!(stale.resume(), Err(AnswerError::AlreadyDeclined));
                assert!(live.is_pending() && !second.is_finished());
                assert_eq!(resume(live), Ok(()));
            });
            assert_eq!(below.stats().resumed, 1);
        },
    );
}

#[test]
fn pending_lists_the_deferred_exceptions() {
    isolated("pending_lists_the_deferred_exceptions", || {
        let (_below, _route) = fallback();
        let hour = Duration::from_secs(3600);
        for (limit, left) in [(Timeout::Never, None), (Timeout::After(hour), Some(hour))] {
            let (server, receive) = deferring(4, limit);
            assert_eq!(server.deferrals().capacity(), 4);
            std::thread::scope(|scope| {
                let start = Instant::now();
                for tag in 1..=3 {
                    let server = &server;
                    scope.spawn(move || faults_on_a_thread(server, &ROUTING.tag(tag), 1));
                }
                let mut keys: Vec<_> = receive.iter().take(3).collect();
                std::thread::sleep(Duration::from_millis(5));
                let mut listed: Vec<_> = server.deferrals().pending().collect();
                listed.sort_by_key(|pending| pending.tag);
                assert_eq!(listed.len(), 3);
                for (pending, tag) in listed.iter().zip(1..) {
                    assert_eq!(pending.tag, tag);
                    assert_eq!(pending.exception_type, ExceptionType::BAD_INSTRUCTION);
                    assert!(pending.age >= Duration::from_millis(5));
                    assert!(pending.age <= start.elapsed());
                    assert_eq!(pending.left.is_some(), left.is_some());
                    assert!(pending.left <= left);
                }
                drop(keys.pop());
                assert_eq!(server.deferrals().pending().count(), 2);
            });
        }
    });
}

#[test]
fn a_handler_that_closes_its_route_cannot_defer_any_more() {
    isolated(
        "a_handler_that_closes_its_route_cannot_defer_any_more",
        || {
            let (below, _below) = fallback();
            for whole_server in [false, true] {
                let own = Arc::new(Mutex::new((None::<Server>, None)));
                let to_close = Arc::clone(&own);
                let (send, receive) = mpsc::channel();
                let handler = move |exception: Exception<'_>| -> Answered {
                    let mut own = to_close.lock().expect("not poisoned");
                    drop(own.1.take());
                    if whole_server {
                        drop(own.0.take());
                    }
                    match exception.defer(Timeout::Never) {
                        Ok((answered, deferred)) => {
                            let _ = send.send(None);
                            drop(deferred);
                            answered
                        }
                        Err(NotDeferred {
                            exception, reason, ..
                        }) => {
                            let _ = send.send(Some(reason));
                            exception.decline()
                        }
                    }
                };
                let server = Server::builder().deferrals(1).start(handler);
                let server = server.expect("a server");
                on_a_thread(|thread| {
                    let route = server.route(Target::Thread(thread), &ROUTING);
                    *own.lock().expect("not poisoned") = (Some(server), route.ok());
                    undefined();
                });
                assert_eq!(receive.recv(), Ok(Some(DeferError::Closed)));
            }
            assert_eq!(below.stats().resumed, 2);
        },
    );
}

#[test]
fn answers_and_closing_race_and_one_of_them_answers() {
    isolated("answers_and_closing_race_and_one_of_them_answers", || {
        let (below, _below) = fallback();
        // Some deadlines pass at once, so that the server's deadline races too.
        let round = AtomicU32::new(0);
        let (send, keys) = mpsc::sync_channel(64);
        let handler = move |exception: Exception<'_>| {
            let limit = match round.fetch_add(1, Ordering::Relaxed) % 3 {
                0 => Timeout::After(Duration::from_micros(200)),
                _ => Timeout::Never,
            };
            match exception.defer(limit) {
                Ok((answered, deferred)) => {
                    send.send(deferred).expect("the test listens");
                    answered
                }
                Err(NotDeferred { exception, .. }) => exception.decline(),
            }
        };
        let server = Server::builder().deferrals(2).start(handler);
        let server = server.expect("a server");
        let (mut resumed, mut declined) = (0, 0);
        let (give, take) = mpsc::channel::<ThreadRight>();
        let (go, wait_go) = mpsc::channel::<()>();
        let (over, wait_over) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let own = ThreadRight::current().expect("the own thread");
                give.send(own).expect("the test listens");
                while wait_go.recv().is_ok() {
                    undefined();
                    over.send(()).expect("the test listens");
                }
            });
            let thread = take.recv().expect("a thread");
            for _ in 0..1000 {
                let route = server.route(Target::Thread(&thread), &ROUTING);
                let route = route.expect("a route");
                go.send(()).expect("the thread waits");
                let key = keys.recv().expect("an exception");
                std::thread::scope(|scope| {
                    scope.spawn(move || drop(route));
                    match resume(key) {
                        Ok(()) => resumed += 1,
                        Err(AnswerError::AlreadyDeclined) => declined += 1,
                        Err(error) => panic!("{error}"),
                    }
                });
                wait_over.recv().expect("the thread went on");
            }
            drop(go);
        });
        assert_eq!(resumed + declined, 1000);
        assert_eq!(below.stats().resumed, declined);
        assert_eq!(server.deferrals().pending().count(), 0);
    });
}

#[test]
fn waiting_for_idle_counts_what_is_deferred_and_no_other_routes() {
    isolated(
        "waiting_for_idle_counts_what_is_deferred_and_no_other_routes",
        || {
            let (below, _below) = fallback();
            let (server, receive) = deferring(1, Timeout::Never);
            std::thread::scope(|scope| {
                let (thread, routed) = thread_that_will_fault(scope);
                let route = server.route(Target::Thread(&thread), &ROUTING);
                let route = route.expect("a route");
                assert_eq!(route.wait_idle(Timeout::Never), Ok(()));
                routed.send(()).expect("the thread waits");
                let deferred = receive.recv().expect("an exception");
                assert_eq!(route.in_flight(), 1);
                let start = Instant::now();
                let limit = Duration::from_millis(20);
                assert_eq!(
                    route.wait_idle(limit.into()).map_err(|rest| rest.count),
                    Err(1)
                );
                assert!(start.elapsed() >= limit);
                on_a_thread(|thread| {
                    let other = server.route(Target::Thread(thread), &ROUTING);
                    assert_eq!(other.expect("a route").in_flight(), 0);
                });
                let (detached, restored) = route.unroute();
                restored.map(drop).expect("a live thread");
                let idle = detached.wait_idle(Timeout::Now);
                assert_eq!(idle.map_err(|rest| rest.count), Err(1));
                drop(deferred);
                assert_eq!(detached.wait_idle(Timeout::Now), Ok(()));
            });
            assert_eq!(below.stats().resumed, 1);
        },
    );
}
