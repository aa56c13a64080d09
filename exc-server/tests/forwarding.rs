//! Forwarding to the handler that a route displaced, with that handler's behavior and flavor.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    Answered, Delivery, Exception, ForwardError, Installation, MessageBuffer, Outcome, Previous,
    Receiver, Restored, Routing, Server, Target, Timeout,
};
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::{PortSet, ReceiveRight, Right};
use mach_sys::thread_state::NativeState;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{
    GuardPage, UNDEFINED, every_delivery, fallback, isolated, on_a_thread, skip, skip_somehow,
    thread_that_will_fault,
};
use test_support::instructions::undefined;

const LIMIT: Timeout = Timeout::After(Duration::from_secs(20));

fn forward(exception: Exception<'_>) -> Answered {
    exception.forward(LIMIT)
}

/// Returns whether a request of behavior `from` can be forwarded to a handler of behavior `to`: only the kernel makes a token.
fn can_ask(from: Delivery, to: Delivery) -> bool {
    let protected = |delivery: Delivery| delivery.behavior().kind().raw() >= 4;
    !protected(to) || protected(from)
}

#[test]
fn every_behavior_is_forwarded_to_every_other() {
    isolated("every_behavior_is_forwarded_to_every_other", || {
        let (below, _below) = fallback();
        let before = Server::start(|exception: Exception<'_>| {
            assert_eq!(exception.tag(), 5);
            // Only the kernel makes a token; a protected behavior without a state gives no access to the thread.
            if exception.flavor().is_none() && exception.thread().is_none() {
                return exception.decline();
            }
            skip_somehow(exception)
        })
        .expect("a server");
        let server = Server::start(forward).expect("a server");
        let (mut forwarded, mut declined) = (0, 0);
        for to in every_delivery() {
            for from in every_delivery() {
                on_a_thread(|thread| {
                    let target = Target::Thread(thread);
                    let routing = Routing::new(UNDEFINED, to).tag(5);
                    let first = before.route(target, &routing).expect("a route");
                    let second = server.route(target, &Routing::new(UNDEFINED, from));
                    let second = second.expect("a route");
                    let previous = second.previous().expect("the server lives");
                    assert_eq!(previous.handlers().len(), 1);
                    assert_eq!(previous.handlers()[0].behavior, to.behavior());
                    drop(previous);
                    for _ in 0..3 {
                        undefined();
                    }
                    assert_eq!(second.close(), Ok(Restored::Clean));
                    assert_eq!(first.close(), Ok(Restored::Clean));
                });
                if can_ask(from, to) && to != Delivery::identity_protected() {
                    forwarded += 3;
                } else {
                    declined += 3;
                }
                let stats = server.stats();
                assert_eq!(
                    (stats.forwarded, stats.declined),
                    (forwarded, declined),
                    "{from} to {to}"
                );
            }
        }
        assert_eq!(below.stats().resumed, declined);
        assert!(forwarded > 100);
    });
}

#[test]
fn a6_5_a_handler_that_leaves_the_thread_as_it_is_has_handled_it() {
    let page = Arc::new(GuardPage::new());
    let opened = Arc::clone(&page);
    let before = Server::start(move |exception: Exception<'_>| {
        opened.open();
        exception.resume()
    })
    .expect("a server");
    let server = Server::start(forward).expect("a server");
    for to in every_delivery() {
        on_a_thread(|thread| {
            let target = Target::Thread(thread);
            let access = ExceptionMask::BAD_ACCESS;
            let _first = before.route(target, &Routing::new(access, to));
            // A protected request can be converted to every behavior.
            let from = Delivery::state_identity_protected::<NativeState>();
            let _second = server.route(target, &Routing::new(access, from));
            page.shut();
            page.store();
        });
    }
    assert_eq!(server.shutdown().forwarded, 8);
    assert_eq!(before.shutdown().resumed, 8);
}

#[test]
fn without_a_handler_after_a_refusal_and_with_a_dead_port_the_exception_is_declined() {
    isolated(
        "without_a_handler_after_a_refusal_and_with_a_dead_port_the_exception_is_declined",
        || {
            let (below, _below) = fallback();
            let before =
                Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
            let server = Server::start(forward).expect("a server");
            let routing = Routing::new(UNDEFINED, Delivery::THREAD);
            on_a_thread(|thread| {
                let target = Target::Thread(thread);
                // There is no handler.
                let route = server.route(target, &routing).expect("a route");
                undefined();
                drop(route);
                // The handler declines, and then its port is dead.
                let first = before.route(target, &routing).expect("a route");
                let second = server.route(target, &routing).expect("a route");
                undefined();
                drop(first);
                undefined();
                assert_eq!(second.close(), Ok(Restored::Clean));
            });
            let stats = server.shutdown();
            assert_eq!((stats.forwarded, stats.declined), (0, 3));
            assert_eq!(before.shutdown().declined, 1);
            assert_eq!(below.stats().resumed, 3);
        },
    );
}

#[test]
fn a_server_does_not_wait_for_itself() {
    isolated("a_server_does_not_wait_for_itself", || {
        let (below, _below) = fallback();
        let mut declined = 0;
        for by_forward_to in [false, true] {
            // With the lower route open, and with its delivery stopped and its port not destroyed yet.
            for stopped in [false, true] {
                let previous = Arc::new(Mutex::new(None::<Previous>));
                let lower = Arc::clone(&previous);
                let server = Server::start(move |exception: Exception<'_>| {
                    assert_eq!(exception.tag(), 2);
                    match &*lower.lock().expect("not poisoned") {
                        Some(previous) => exception.forward_to(previous, Timeout::Never),
                        None => exception.forward(Timeout::Never),
                    }
                })
                .expect("a server");
                on_a_thread(|thread| {
                    let target = Target::Thread(thread);
                    let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                    let first = server.route(target, &routing.tag(1)).expect("a route");
                    let second = server.route(target, &routing.tag(2)).expect("a route");
                    if by_forward_to {
                        *previous.lock().expect("not poisoned") = second.previous();
                    }
                    let mut first = Some(first);
                    let detached = first.take_if(|_| stopped).map(|first| {
                        let (detached, restored) = first.unroute();
                        assert_eq!(restored, Ok(Restored::Displaced(UNDEFINED)));
                        detached.stop_delivery();
                        detached
                    });
                    undefined();
                    declined += 1;
                    drop((second, detached, first));
                });
                drop(previous.lock().expect("not poisoned").take());
                assert_eq!(server.shutdown().declined, 1);
                assert_eq!(below.stats().resumed, declined);
            }
        }
    });
}

#[test]
fn forward_to_asks_a_port_that_is_not_the_servers() {
    let before = Server::start(skip).expect("a server");
    let previous = Arc::new(Mutex::new(None::<Previous>));
    let lower = Arc::clone(&previous);
    let server = Server::start(move |exception: Exception<'_>| {
        let previous = lower.lock().expect("not poisoned");
        exception.forward_to(previous.as_ref().expect("registered"), LIMIT)
    })
    .expect("a server");
    on_a_thread(|thread| {
        let target = Target::Thread(thread);
        let routing = Routing::new(UNDEFINED, Delivery::THREAD);
        let _first = before.route(target, &routing).expect("a route");
        let second = server.route(target, &routing).expect("a route");
        *previous.lock().expect("not poisoned") = second.previous();
        undefined();
    });
    assert_eq!(server.shutdown().forwarded, 1);
}

#[test]
fn a_receiver_does_not_wait_for_itself() {
    isolated("a_receiver_does_not_wait_for_itself", || {
        let (below, _below) = fallback();
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a send right");
        std::thread::scope(|scope| {
            let (thread, go) = thread_that_will_fault(scope);
            let install = || {
                let target = Target::Thread(&thread);
                Installation::install(target, UNDEFINED, &send, Delivery::THREAD)
                    .expect("installed")
            };
            let first = install();
            let second = install();
            go.send(()).expect("the thread waits");
            let mut buffer = MessageBuffer::new();
            let exception = Receiver::from_port(&port)
                .receive(&mut buffer, Timeout::Never)
                .expect("an exception");
            let answered = exception.forward_to(second.previous(), Timeout::Never);
            assert_eq!(answered.outcome(), Outcome::Declined);
            drop((second, first));
        });
        assert_eq!(below.stats().resumed, 1);
    });
}

#[test]
fn a_receiver_of_a_set_waits_for_no_member_of_it() {
    isolated("a_receiver_of_a_set_waits_for_no_member_of_it", || {
        let (below, _below) = fallback();
        let set = PortSet::new().expect("a set");
        let [port, other] = [(); 2].map(|()| ReceiveRight::new().expect("a port"));
        set.insert(&port).expect("room");
        let send = port.make_send().expect("a send right");
        let other_send = other.make_send().expect("a send right");
        let before = support::census();
        // Only this receiver receives the messages to a member; nothing receives from the port once it is not a member.
        for (member, limit, reason) in [
            (true, Timeout::Never, ForwardError::OwnPort),
            (
                false,
                Duration::from_millis(20).into(),
                ForwardError::TimedOut,
            ),
        ] {
            if member {
                set.insert(&other).expect("room");
            } else {
                set.remove(&other).expect("a member");
            }
            std::thread::scope(|scope| {
                let (thread, go) = thread_that_will_fault(scope);
                let install = |send| {
                    let target = Target::Thread(&thread);
                    Installation::install(target, UNDEFINED, send, Delivery::THREAD)
                        .expect("installed")
                };
                let first = install(&other_send);
                let second = install(&send);
                go.send(()).expect("the thread waits");
                let mut buffer = MessageBuffer::new();
                let exception = Receiver::from_set(&set)
                    .receive(&mut buffer, LIMIT)
                    .expect("an exception");
                assert_eq!(exception.port(), Some(port.name()));
                let refused = exception
                    .try_forward_to(second.previous(), limit)
                    .expect_err("no answer");
                assert_eq!(refused.reason, reason);
                assert_eq!(refused.exception.decline().outcome(), Outcome::Declined);
                drop((second, first));
            });
            support::wait_for_census(before);
        }
        assert_eq!(below.stats().resumed, 2);
    });
}

#[test]
fn a_handler_that_does_not_answer_times_out_and_its_late_answer_is_dropped() {
    isolated(
        "a_handler_that_does_not_answer_times_out_and_its_late_answer_is_dropped",
        || {
            let (below, _below) = fallback();
            // No thread receives from this port: messages wait in its queue.
            let silent = ReceiveRight::new().expect("a port");
            let send = silent.make_send().expect("a send right");
            let limit = Duration::from_millis(30);
            let server = Server::start(move |exception: Exception<'_>| {
                exception.forward(Timeout::After(limit))
            })
            .expect("a server");
            let before = support::census();
            on_a_thread(|thread| {
                let target = Target::Thread(thread);
                let installation =
                    Installation::install(target, UNDEFINED, &send, Delivery::THREAD)
                        .expect("a live thread");
                let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                let route = server.route(target, &routing).expect("a route");
                // More than a queue holds (C10.5): the last ones cannot even be sent.
                for _ in 0..7 {
                    let start = Instant::now();
                    undefined();
                    assert!(start.elapsed() >= limit);
                }
                drop(route);
                drop(installation);
            });
            assert_eq!(server.stats().declined, 7);
            assert_eq!(below.stats().resumed, 7);
            support::wait_for_census(before);
            drop(silent);
        },
    );
}
