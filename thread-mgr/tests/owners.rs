//! References that rights own: a thread's exit leaves them to their owners, which may drop them at any time.
#![allow(unsafe_code)]

mod support;

use core::time::Duration;
use exc_server::{Delivery, Exception, Route, Routing, Server, Target};
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::{Right, ThreadRight, owned_references, send_references};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use support::{forget_references, isolated, reporting, thread_count, trimming};
use test_support::wait::wait_for;
use thread_mgr::{Audit, Handle, Manager, Normalization, ShutdownReport};

const LONG: Duration = Duration::from_secs(20);

/// Starts a thread that exits when the returned sender is dropped, and returns its handle, its right and the sender.
fn waiting_thread(
    manager: &Manager,
    forgotten: u32,
) -> (Handle<()>, ThreadRight, mpsc::Sender<()>) {
    let (send, receive) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let handle = manager
        .spawn(move || {
            forget_references(forgotten);
            send.send(ThreadRight::current().expect("the own thread"))
                .expect("a receiver");
            let _ = wait.recv();
        })
        .expect("a thread");
    (handle, receive.recv().expect("a right"), go)
}

fn ended(handle: Handle<()>) -> ShutdownReport {
    handle.join().expect("a thread").report.expect("a report")
}

fn routed(server: &Server, thread: &ThreadRight) -> Route {
    let routing = Routing::new(ExceptionMask::EMULATION, Delivery::THREAD);
    server
        .route(Target::Thread(thread), &routing)
        .expect("a route")
}

#[test]
fn e37_a_trim_leaves_what_the_route_of_another_server_owns() {
    isolated(
        "e37_a_trim_leaves_what_the_route_of_another_server_owns",
        || {
            let manager = trimming();
            let other =
                Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
            let audit = Audit::start().expect("a census");
            let (handle, right, go) = waiting_thread(&manager, 3);
            let route = routed(&other, &right);
            let name = right.name();
            // The route's installation owns the remaining reference.
            drop(right);
            drop(go);
            let report = ended(handle);
            assert_eq!(report.normalization, Some(Normalization::Dropped(3)));
            assert_eq!((report.owned, report.gained), (1, Some(4)));
            let left = || audit.difference().expect("a census");
            wait_for("the thread's port dies", || left().dead_names == 1);
            assert_eq!(left().dead_references, 1);
            assert_eq!(owned_references(name), 1, "the route's");
            // E55: no other thread gets the name while the route has its reference.
            for _ in 0..300 {
                let (handle, right, go) = waiting_thread(&manager, 0);
                assert_ne!(right.name(), name);
                drop((right, go));
                assert_eq!(ended(handle).owned, 0);
            }
            drop(route);
            let left = audit.settle(LONG.into()).expect("a census");
            assert!(left.is_leak_free(), "{left}");
        },
    );
}

#[test]
fn owned_and_forgotten_references_are_told_apart() {
    isolated("owned_and_forgotten_references_are_told_apart", || {
        use Normalization::{AlreadyOne, Dropped, Owned, Surplus};
        let (with, without) = (trimming(), reporting());
        let audit = Audit::start().expect("a census");
        for (manager, forgotten, owned, expected) in [
            (&with, 0, 0, AlreadyOne),
            (&with, 0, 2, Owned(2)),
            (&with, 2, 0, Dropped(2)),
            (&with, 2, 2, Dropped(2)),
            (&without, 0, 2, Owned(2)),
            (&without, 2, 2, Surplus(2)),
        ] {
            let (handle, right, go) = waiting_thread(manager, forgotten);
            let mut rights = vec![right];
            for _ in 0..owned {
                rights.push(rights[0].try_clone().expect("the thread lives"));
            }
            rights.truncate(owned as usize);
            drop(go);
            let report = ended(handle);
            assert_eq!(report.normalization, Some(expected));
            assert_eq!(report.owned, owned);
            assert_eq!(report.gained, Some(i64::from(forgotten + owned)));
            assert_eq!(
                expected.is_normal(),
                !matches!(expected, Surplus(_)),
                "{expected}"
            );
        }
        assert_eq!(with.end_stats().owned, 4);
        assert_eq!(without.end_stats().owned, 4);
        assert_eq!(with.end_stats().abnormal, 0);
        // The reporting manager left two references of one dead name.
        wait_for("the rest is gone", || {
            let left = audit.difference().expect("a census");
            (left.dead_names, left.dead_references, left.owned_references) == (1, 2, 0)
        });
    });
}

/// Threads exit and are trimmed while other threads make and drop rights on their names, some long after the exit. No right ever loses its
/// reference, and nothing leaks.
#[test]
fn e37_e50_e55_owners_beside_ending_threads_lose_nothing() {
    isolated(
        "e37_e50_e55_owners_beside_ending_threads_lose_nothing",
        || {
            const KEPT: usize = 40;
            let manager = trimming();
            let other =
                Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
            let audit = Audit::start().expect("a census");
            let mut kept = Vec::new();
            for round in 0..thread_count() / 5 {
                let (handle, right, go) = waiting_thread(&manager, round % 3);
                let right = Arc::new(right);
                let over = Arc::new(AtomicBool::new(false));
                let busy = {
                    let (right, over) = (Arc::clone(&right), Arc::clone(&over));
                    std::thread::spawn(move || {
                        let mut made = 0_u32;
                        while !over.load(Ordering::Relaxed) {
                            // Fails once the port is dead.
                            made += u32::from(right.try_clone().is_ok());
                        }
                        made
                    })
                };
                let route = (round % 5 == 0).then(|| routed(&other, &right));
                drop(go);
                let report = ended(handle);
                let normalization = report.normalization.expect("it ended");
                assert!(
                    normalization.is_normal()
                        || matches!(normalization, Normalization::Raced { .. }),
                    "{normalization}"
                );
                assert!(report.owned >= 1);
                over.store(true, Ordering::Relaxed);
                busy.join().expect("a thread");
                let right = Arc::into_inner(right).expect("the last one");
                kept.push((right, route));
                if kept.len() > KEPT {
                    let (right, route) = kept.remove(0);
                    // The right's name exists, dead or alive, with its reference.
                    assert!(send_references(right.name()).is_ok());
                    wait_for("the port dies", || right.is_dead());
                    drop((route, right));
                }
            }
            drop(kept);
            let left = audit.settle(LONG.into()).expect("a census");
            assert_eq!(
                (left.owned_references, left.send_references),
                (0, 0),
                "{left}"
            );
            // A trim during a change may leave references that it could not attribute. The report says so.
            assert!(
                left.is_leak_free() || manager.end_stats().abnormal > 0,
                "{left}"
            );
        },
    );
}
