//! Exceptions that receivers defer into a borrowed table.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    DeferError, Deferrals, Delivery, MessageBuffer, NotDeferred, Receiver, Target, Timeout,
};
use mach_sys::rights::ReceiveRight;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::{UNDEFINED, fallback, isolated, on_a_thread, resume, skip};
use test_support::instructions::undefined;
use test_support::wait::wait_for;

/// Runs undefined instructions on a new thread whose exceptions go to a port.
fn fault_to_port(port: &ReceiveRight, faults: u32) {
    let send = port.make_send().expect("a send right");
    on_a_thread(|thread| {
        let target = Target::Thread(thread);
        let delivery = Delivery::THREAD;
        let _installation = exc_server::Installation::install(target, UNDEFINED, &send, delivery)
            .expect("installed");
        for _ in 0..faults {
            undefined();
        }
    });
}

#[test]
fn a_receivers_exceptions_are_deferred_into_a_table_of_its_owners() {
    isolated(
        "a_receivers_exceptions_are_deferred_into_a_table_of_its_owners",
        || {
            let (below, _below) = fallback();
            let port = ReceiveRight::new().expect("a port");
            let table = Deferrals::new(1).expect("a table");
            let mut buffer = MessageBuffer::new();
            std::thread::scope(|scope| {
                scope.spawn(|| fault_to_port(&port, 4));
                let plain = Receiver::from_port(&port);
                let receiver = Receiver::from_port(&port).deferring(&table);
                // Deferring without a table is refused.
                let exception = plain.receive(&mut buffer, Timeout::Never).expect("one");
                let NotDeferred {
                    exception, reason, ..
                } = exception.defer(Timeout::Never).expect_err("no table");
                assert_eq!(reason, DeferError::NoTable);
                let _ = skip(exception);
                // A deferred exception is answered.
                let exception = receiver.receive(&mut buffer, Timeout::Never).expect("one");
                let (_, deferred) = exception.defer(Timeout::Never).expect("room");
                assert_eq!(table.pending().count(), 1);
                assert_eq!(resume(deferred), Ok(()));
                // The receiver declines a deferred exception whose deadline passes while it waits for the next.
                let exception = receiver.receive(&mut buffer, Timeout::Never).expect("one");
                let limit = Timeout::After(Duration::from_millis(10));
                core::mem::forget(exception.defer(limit).expect("room").1);
                let exception = receiver.receive(&mut buffer, Timeout::Never).expect("one");
                assert_eq!(below.stats().resumed, 1);
                // Dropping the table declines an exception whose key was forgotten.
                core::mem::forget(exception.defer(Timeout::Never).expect("room").1);
                drop(table);
            });
            assert_eq!(below.stats().resumed, 2);
        },
    );
}

#[test]
fn a_receiver_that_waits_for_a_deadline_keeps_its_own_limit() {
    isolated(
        "a_receiver_that_waits_for_a_deadline_keeps_its_own_limit",
        || {
            let (_below, _route) = fallback();
            let port = ReceiveRight::new().expect("a port");
            let table = Deferrals::new(1).expect("a table");
            let mut buffer = MessageBuffer::new();
            std::thread::scope(|scope| {
                scope.spawn(|| fault_to_port(&port, 1));
                let receiver = Receiver::from_port(&port).deferring(&table);
                let exception = receiver.receive(&mut buffer, Timeout::Never).expect("one");
                let hour = Timeout::After(Duration::from_secs(3600));
                let (_, deferred) = exception.defer(hour).expect("room");
                let limit = Duration::from_millis(20);
                let start = Instant::now();
                assert!(matches!(
                    receiver.receive(&mut buffer, Timeout::After(limit)),
                    Err(exc_server::ReceiveError::TimedOut)
                ));
                assert!(start.elapsed() >= limit);
                assert!(matches!(
                    receiver.receive(&mut buffer, Timeout::Now),
                    Err(exc_server::ReceiveError::TimedOut)
                ));
                assert!(deferred.is_pending());
            });
        },
    );
}

#[test]
fn a_receiver_that_waits_already_keeps_a_deadline_that_another_thread_sets() {
    isolated(
        "a_receiver_that_waits_already_keeps_a_deadline_that_another_thread_sets",
        || {
            let (below, _below) = fallback();
            let hour = Timeout::After(Duration::from_secs(3600));
            for (round, limit) in [Timeout::Never, hour].into_iter().enumerate() {
                let table = Deferrals::new(1).expect("a table");
                let deferring_port = ReceiveRight::new().expect("a port");
                let waiting_port = ReceiveRight::new().expect("a port");
                let (table, waiting_port) = (&table, &waiting_port);
                std::thread::scope(|scope| {
                    let (waits, wait_waits) = mpsc::channel();
                    scope.spawn(move || {
                        let receiver = Receiver::from_port(waiting_port).deferring(table);
                        waits.send(()).expect("the test listens");
                        let mut buffer = MessageBuffer::new();
                        let exception = receiver.receive(&mut buffer, limit).expect("one");
                        let _ = skip(exception);
                    });
                    wait_waits.recv().expect("it receives next");
                    std::thread::sleep(Duration::from_millis(30));
                    scope.spawn(|| fault_to_port(&deferring_port, 1));
                    // This thread defers, and does not receive any more.
                    let mut buffer = MessageBuffer::new();
                    let receiver = Receiver::from_port(&deferring_port).deferring(table);
                    let exception = receiver.receive(&mut buffer, Timeout::Never).expect("one");
                    let limit = Timeout::After(Duration::from_millis(20));
                    core::mem::forget(exception.defer(limit).expect("room").1);
                    assert_eq!(table.pending().count(), 1);
                    wait_for("the next level has it", || {
                        below.stats().resumed == round as u64 + 1
                    });
                    assert_eq!(table.pending().count(), 0);
                    // It still receives.
                    fault_to_port(waiting_port, 1);
                });
            }
        },
    );
}
