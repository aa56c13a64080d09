//! The audit tells leaks from the names that a process's own libraries take (G6.1, G6.2).
#![allow(unsafe_code)]

mod support;

use core::time::Duration;
use mach_sys::rights::{Census, NameInfo, Right, Source, TaskRight};
use std::sync::atomic::Ordering;
use support::{HANDLED, forget_references, isolated, trimming};
use test_support::instructions::undefined;
use test_support::wait::wait_for;
use thread_mgr::{Audit, Difference};

const LONG: Duration = Duration::from_secs(20);

fn names() -> Vec<NameInfo> {
    let mut found = Vec::new();
    Census::list(|name| found.push(name)).expect("a census");
    found
}

/// Waits until nothing leaks any more, and prints the source of each new name.
fn settled(what: &str, audit: &Audit, before: &[NameInfo]) -> Difference {
    let left = audit.settle(LONG.into()).expect("a census");
    println!("{what}: {left}");
    assert!(left.is_leak_free(), "{what}: {left}");
    let is_new = |name: &NameInfo| before.iter().all(|known| known.name != name.name);
    for name in names().into_iter().filter(is_new) {
        println!("  {name}");
        assert!(!name.source.is_leak(), "{what}: {name}");
        assert_eq!(
            name.source == Source::ReplyPort,
            name.thread.is_some(),
            "{what}: {name}"
        );
    }
    left
}

#[test]
fn g6_1_g6_2_names_that_libraries_take_are_no_leak_and_are_listed_by_source() {
    isolated(
        "g6_1_g6_2_names_that_libraries_take_are_no_leak_and_are_listed_by_source",
        || {
            let at_first = Audit::start().expect("a census");
            let before = names();
            let manager = trimming();
            // The server's thread has its names once the manager is built, among them its reply port.
            let with_manager = names();
            let port_of_server = with_manager
                .iter()
                .find(|name| {
                    name.source == Source::ReplyPort
                        && before.iter().all(|known| known.name != name.name)
                })
                .expect("the server's reply port");
            let server = port_of_server.thread.expect("its thread");
            assert!(
                with_manager
                    .iter()
                    .any(|name| name.name == server && name.source == Source::Thread)
            );
            let audit = Audit::start().expect("a census");
            let run = |body: fn()| {
                let _ended = manager
                    .spawn(body)
                    .expect("a thread")
                    .join()
                    .expect("ended");
            };
            run(|| {});
            settled("a thread without a fault", &audit, &with_manager);
            run(undefined);
            let left = settled("a thread with one fault", &audit, &with_manager);
            // The server's first request makes no further name.
            assert_eq!(left.of(Source::ReplyPort).names, 0, "{left}");
            for _ in 0..20 {
                run(undefined);
            }
            settled("twenty more", &audit, &with_manager);
            // XNU makes a semaphore, with one reference; the emulation's host parks without Mach.
            std::thread::park_timeout(Duration::from_millis(5));
            settled("the auditor has parked", &audit, &with_manager);
            // The server's thread takes its names with it.
            drop(manager);
            let left = settled("without the manager", &at_first, &before);
            assert_eq!(left.of(Source::ReplyPort).names, 0, "{left}");
            assert_eq!(HANDLED.load(Ordering::Relaxed), 21);
        },
    );
}

#[test]
fn an_audit_finds_each_kind_of_leak() {
    isolated("an_audit_finds_each_kind_of_leak", || {
        let manager = trimming();
        let audit = Audit::start().expect("a census");
        let difference = || audit.difference().expect("a census");
        // The main thread's own name, and the task's.
        forget_references(2);
        let left = difference();
        assert_eq!(left.of(Source::Thread).references, 2, "{left}");
        assert!(!left.is_leak_free(), "{left}");
        let audit = Audit::start().expect("a census");
        let difference = || audit.difference().expect("a census");
        let _ = TaskRight::current().expect("the task").into_name();
        let left = difference();
        assert_eq!(left.of(Source::Task).references, 1, "{left}");
        assert!(!left.is_leak_free(), "{left}");
        // A thread that ends unmanaged, with a reference too many.
        let audit = Audit::start().expect("a census");
        std::thread::spawn(|| forget_references(3))
            .join()
            .expect("ended");
        // The name may live on for a moment after the join.
        wait_for("the thread is gone", || {
            let left = audit.difference().expect("a census");
            left.of(Source::Dead).names > 0
        });
        let left = audit
            .settle(Duration::from_millis(500).into())
            .expect("a census");
        let dead = left.of(Source::Dead);
        assert_eq!((dead.names, dead.references), (1, 3), "{left}");
        assert!(!left.is_leak_free(), "{left}");
        assert!(
            left.to_string()
                .starts_with("leaked: +1 (+3 references) dead names"),
            "{left}"
        );
        drop(manager);
    });
}
