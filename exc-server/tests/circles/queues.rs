//! Servers that wait for room in a queue, or for a receiver that waits for them.
#![allow(unsafe_code)]

use crate::support::{
    UNDEFINED, census, fallback, isolated, skip, thread_that_will_fault, wait_for_census,
};
use crate::{LIMIT, forwarders, route};
use exc_server::{
    Delivery, Exception, Installation, MessageBuffer, Receiver, Routing, Server, Target, Timeout,
};
use mach_sys::kernel::{self, system};
use mach_sys::port::{MACH_PORT_RECEIVE_STATUS_COUNT, PortFlavor, mach_port_status_t};
use mach_sys::rights::{Name, ReceiveRight, Right};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use test_support::wait::wait_for;

/// Returns how many messages wait in a port's queue.
fn queued(port: &ReceiveRight) -> u32 {
    queued_at(port.name())
}

fn queued_at(port: Name) -> u32 {
    let mut status = mach_port_status_t::default();
    let mut count = MACH_PORT_RECEIVE_STATUS_COUNT;
    // SAFETY: the structure has as many words as the count says.
    let read = unsafe {
        kernel::mach_port_get_attributes(
            system::task_self(),
            port.raw(),
            PortFlavor::RECEIVE_STATUS.raw(),
            (&raw mut status).cast(),
            &raw mut count,
        )
    };
    assert_eq!(read, 0);
    status.mps_msgcount
}

/// A server that waits for room in a queue serves the receiver of that queue, which waits for it about another exception.
#[test]
fn a_server_whose_request_finds_no_room_serves_the_one_that_is_to_make_it() {
    isolated(
        "queues::a_server_whose_request_finds_no_room_serves_the_one_that_is_to_make_it",
        || {
            let (below, _below) = fallback();
            let before = census();
            for limit in [Timeout::Never, LIMIT] {
                let lost = Arc::default();
                let [server] = <[Server; 1]>::try_from(forwarders(1, &lost)).expect("one");
                let port = ReceiveRight::new().expect("a port");
                let send = port.make_send().expect("a right");
                std::thread::scope(|scope| {
                    // More than a queue has room for, from the kernel, which needs none.
                    let mut threads = Vec::new();
                    for _ in 0..8 {
                        let (thread, go) = thread_that_will_fault(scope);
                        let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                        let lower = route(&server, Some(&thread), &routing);
                        let target = Target::Thread(&thread);
                        let upper =
                            Installation::install(target, UNDEFINED, &send, Delivery::THREAD);
                        go.send(()).expect("the thread waits");
                        threads.push((upper.expect("a live thread"), lower));
                    }
                    wait_for("the queue is full", || queued(&port) == 8);
                    let (thread, go) = thread_that_will_fault(scope);
                    let target = Target::Thread(&thread);
                    let lower = Installation::install(target, UNDEFINED, &send, Delivery::THREAD);
                    let routing = Routing::new(UNDEFINED, Delivery::THREAD).tag(1);
                    let upper = route(&server, Some(&thread), &routing);
                    go.send(()).expect("the thread waits");
                    wait_for("it is forwarded", || upper.in_flight() == 1);
                    // Time for the server to wait for room.
                    std::thread::sleep(Duration::from_millis(30));
                    assert_eq!(queued(&port), 8);
                    let mut buffer = MessageBuffer::new();
                    let receiver = Receiver::from_port(&port);
                    for (upper, _) in &threads {
                        let exception = receiver.receive(&mut buffer, LIMIT);
                        let begin = Instant::now();
                        let answered = exception
                            .expect("an exception")
                            .try_forward_to(upper.previous(), limit);
                        assert!(answered.is_ok(), "{answered:?}");
                        assert!(begin.elapsed() < Duration::from_secs(5));
                    }
                    // The server's own is the last.
                    let exception = receiver.receive(&mut buffer, LIMIT);
                    let _ = skip(exception.expect("an exception"));
                    wait_for("it is answered", || upper.in_flight() == 0);
                    drop((upper, lower, threads));
                });
                assert_eq!(lost.load(Ordering::SeqCst), 0);
                let stats = server.shutdown();
                assert_eq!((stats.resumed, stats.forwarded), (8, 1));
            }
            assert_eq!(below.stats().resumed, 0);
            wait_for_census(before);
        },
    );
}

/// A receiver cannot serve while it waits for a server: the server does, and is served by the receiver then.
#[test]
fn a_server_serves_a_receiver_that_waits_for_it_before_it_is_served_by_that() {
    isolated(
        "queues::a_server_serves_a_receiver_that_waits_for_it_before_it_is_served_by_that",
        || {
            let (below, _below) = fallback();
            let before = census();
            for limit in [Timeout::Never, LIMIT] {
                let (asked, is_asked) = std::sync::mpsc::channel();
                let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
                let goes_on = Mutex::new(goes_on);
                let server = Server::start(move |exception: Exception<'_>| {
                    if exception.tag() == 0 {
                        return skip(exception);
                    }
                    asked.send(()).expect("the test listens");
                    let goes_on = goes_on.lock().expect("not poisoned");
                    goes_on.recv().expect("the word to go on");
                    drop(goes_on);
                    exception.forward(limit)
                });
                let server = server.expect("a server");
                let port = ReceiveRight::new().expect("a port");
                let send = port.make_send().expect("a right");
                std::thread::scope(|scope| {
                    let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                    // The server's first, the receiver's second.
                    let (first, first_goes) = thread_that_will_fault(scope);
                    let target = Target::Thread(&first);
                    let lower = Installation::install(target, UNDEFINED, &send, Delivery::THREAD);
                    let lower = lower.expect("a live thread");
                    let upper = route(&server, Some(&first), &routing.tag(1));
                    let (second, second_goes) = thread_that_will_fault(scope);
                    let under = route(&server, Some(&second), &routing);
                    let target = Target::Thread(&second);
                    let over = Installation::install(target, UNDEFINED, &send, Delivery::THREAD);
                    let over = over.expect("a live thread");
                    first_goes.send(()).expect("the thread waits");
                    is_asked.recv().expect("the server is asked");
                    second_goes.send(()).expect("the thread waits");
                    std::thread::scope(|receivers| {
                        let receiver = receivers.spawn(|| {
                            let mut buffer = MessageBuffer::new();
                            let receiver = Receiver::from_port(&port);
                            let second = receiver.receive(&mut buffer, LIMIT).expect("one");
                            let answered = second.try_forward_to(over.previous(), limit);
                            let _ = answered.expect("the server serves it");
                            let first = receiver.receive(&mut buffer, LIMIT).expect("one");
                            let _ = skip(first);
                        });
                        wait_for("the receiver waits", || queued_at(under.port()) == 1);
                        go_on.send(()).expect("the server waits");
                        receiver.join().expect("both are answered");
                    });
                    wait_for("it is answered", || upper.in_flight() == 0);
                    drop((upper, lower, over, under));
                });
                let stats = server.shutdown();
                assert_eq!((stats.resumed, stats.forwarded, stats.declined), (1, 1, 0));
            }
            assert_eq!(below.stats().resumed, 0);
            wait_for_census(before);
        },
    );
}
