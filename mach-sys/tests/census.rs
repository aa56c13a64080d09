//! A census says where each name comes from.
#![allow(unsafe_code)]

use test_support::emulator::is_emulated;
use test_support::flag::SetWhenDropped;
use test_support::isolated;

use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use isolated::isolated;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::port::{
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE,
};
use mach_sys::rights::{
    Census, Change, Difference, Name, NameInfo, PortSet, ReceiveRight, ReplyPort, Right, Source,
    TaskRight, ThreadRight,
};
use std::sync::{Arc, Barrier, Mutex};

/// Returns the changes that one action makes, by source.
fn changes(action: impl FnOnce()) -> Difference {
    let before = Census::take().expect("a census");
    action();
    Census::take().expect("a census").since(&before)
}

fn pair(change: Change) -> (i64, i64) {
    (change.names, change.references)
}

fn allocate(right: u32) -> Name {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::mach_port_allocate(task_self(), right, &mut name) };
    assert_eq!(code, 0);
    Name::new(name).expect("a name")
}

fn info(name: Name) -> NameInfo {
    let mut found = None;
    Census::list(|info| {
        if info.name == name {
            found = Some(info);
        }
    })
    .expect("a census");
    found.expect("the name is there")
}

/// A leak: its right, the source of its name, the names and references that it adds, and the function that leaks it.
type Forgotten = (&'static str, Source, (i64, i64), &'static dyn Fn());

#[test]
fn every_name_is_counted_by_its_source() {
    isolated("every_name_is_counted_by_its_source", || {
        // What the libraries make on first use is there from here on.
        drop((ThreadRight::current(), TaskRight::current()));
        let mut kept = Vec::new();
        // Rights that right types own, and forget.
        let forgotten: [Forgotten; 7] = [
            ("a reference on a thread", Source::Thread, (0, 1), &|| {
                core::mem::forget(ThreadRight::current().expect("the thread"));
            }),
            ("a reference on the task", Source::Task, (0, 1), &|| {
                core::mem::forget(TaskRight::current().expect("the task"));
            }),
            ("a port", Source::Owned, (1, 0), &|| {
                core::mem::forget(ReceiveRight::new().expect("a port"));
            }),
            ("a set", Source::Owned, (1, 0), &|| {
                core::mem::forget(PortSet::new().expect("a set"));
            }),
            (
                "a route's port, and its send right",
                Source::Route,
                (1, 1),
                &|| {
                    let port = ReceiveRight::new().expect("a port");
                    port.mark_route();
                    core::mem::forget((port.make_send().expect("a send right"), port));
                },
            ),
            ("a dead name", Source::Dead, (1, 1), &|| {
                allocate(MACH_PORT_RIGHT_DEAD_NAME);
            }),
            (
                "a send right that outlives its port",
                Source::Dead,
                (1, 2),
                &|| {
                    let port = ReceiveRight::new().expect("a port");
                    let send = port.make_send().expect("a send right");
                    core::mem::forget((send.try_clone().expect("another"), send));
                },
            ),
        ];
        for (what, source, expected, action) in forgotten {
            let left = changes(action);
            assert_eq!(pair(left.of(source)), expected, "{what}: {left}");
            assert_eq!(left.changes().count(), 1, "{what}: {left}");
            assert!(source.is_leak() && !left.is_leak_free(), "{what}: {left}");
            assert!(left.to_string().starts_with("leaked: "), "{what}: {left}");
        }
        // What other code makes is told apart, and is no leak of these crates.
        let mut foreign = |right, source| {
            let left = changes(|| kept.push(allocate(right)));
            assert_eq!(pair(left.of(source)), (1, 0), "{left}");
            assert_eq!(left.changes().count(), 1, "{left}");
            assert!(!source.is_leak() && left.is_leak_free(), "{left}");
            assert_eq!(left.names, 1);
            assert!(
                left.to_string().starts_with("no leak; besides: +1 "),
                "{left}"
            );
        };
        foreign(MACH_PORT_RIGHT_RECEIVE, Source::Receive);
        foreign(MACH_PORT_RIGHT_PORT_SET, Source::PortSet);
        // A name that is given away is other code's, and comes back with the right.
        let port = ReceiveRight::new().expect("a port");
        let once = port.make_send_once().expect("a send-once right");
        let name = once.name();
        assert_eq!(info(name).source, Source::Owned);
        let given = once.into_name();
        assert_eq!(info(given).source, Source::SendOnce);
        // SAFETY: the right that was given away a moment ago.
        let back = unsafe { mach_sys::rights::SendOnceRight::from_name(given) };
        assert_eq!(info(name).source, Source::Owned);
        let port_name = port.into_name();
        assert_eq!(info(port_name).source, Source::Receive);
        // SAFETY: as above.
        let port = unsafe { ReceiveRight::from_name(port_name) };
        assert_eq!(info(port_name).source, Source::Owned);
        drop((back, port));
        // A name that is used again has nothing of the one before.
        for _ in 0..100 {
            let port = ReceiveRight::new().expect("a port");
            port.mark_route();
            drop(port);
            let other = allocate(MACH_PORT_RIGHT_RECEIVE);
            assert_eq!(info(other).source, Source::Receive);
            // SAFETY: the right was just made.
            drop(unsafe { ReceiveRight::from_name(other) });
        }
        assert!(changes(|| drop(ReceiveRight::new())).is_leak_free());
    });
}

/// A name that is released while the census looks at it is its owner's, or is not counted: it never turns into a name of other code.
#[test]
fn names_that_go_meanwhile_are_never_other_codes() {
    isolated("names_that_go_meanwhile_are_never_other_codes", || {
        /// Makes what goes when the value is dropped. Censuses wait for the making: a name is its maker's before it is labelled.
        type Make = fn() -> Box<dyn Any>;
        let makes: [Make; 3] = [
            || Box::new(ReceiveRight::new().expect("a port")),
            || {
                let port = ReceiveRight::new().expect("a port");
                port.mark_route();
                let send = port.make_send().expect("a send right");
                let once = port.make_send_once().expect("a send-once right");
                Box::new((send, once, port, PortSet::new().expect("a set")))
            },
            || {
                let ready = Arc::new(Barrier::new(2));
                let itself = Arc::clone(&ready);
                drop(std::thread::spawn(move || {
                    let right = ThreadRight::current().expect("its own");
                    itself.wait();
                    drop(right);
                }));
                ready.wait();
                Box::new(())
            },
        ];
        let stop = AtomicBool::new(false);
        let (making, at_work) = (Mutex::new(()), Barrier::new(makes.len() + 1));
        std::thread::scope(|scope| {
            for make in makes {
                let (stop, making, at_work) = (&stop, &making, &at_work);
                scope.spawn(move || {
                    // Some calls make the thread's reply port (G6.1), which stays: it is there from the start on.
                    let _reply_port = ReplyPort::of_this_thread();
                    at_work.wait();
                    while !stop.load(Ordering::Relaxed) {
                        let made = {
                            let _making = making.lock().expect("no panic");
                            make()
                        };
                        drop(made);
                    }
                });
            }
            let _ending = SetWhenDropped(&stop);
            at_work.wait();
            let census = || {
                let _making = making.lock().expect("no panic");
                Census::take().expect("a census")
            };
            let start = census();
            let censuses = if is_emulated() { 200 } else { 3_000 };
            for _ in 0..censuses {
                let left = census().since(&start);
                for source in [
                    Source::Receive,
                    Source::Send,
                    Source::SendOnce,
                    Source::PortSet,
                ] {
                    assert_eq!(pair(left.of(source)), (0, 0), "{source}: {left}");
                }
            }
        });
    });
}

#[test]
fn g6_1_a_reply_port_is_its_threads() {
    isolated("g6_1_a_reply_port_is_its_threads", || {
        let own = ReplyPort::of_this_thread();
        let thread = ThreadRight::current().expect("the thread");
        let found = info(own.name().expect("a port"));
        assert_eq!(
            (found.source, found.thread),
            (Source::ReplyPort, Some(thread.name()))
        );
        let at = [const { Barrier::new(2) }; 3];
        std::thread::scope(|scope| {
            let (name_of, names) = std::sync::mpsc::channel();
            let at = &at;
            scope.spawn(move || {
                let thread = ThreadRight::current().expect("the thread");
                let reply_port = ReplyPort::of_this_thread();
                name_of
                    .send((thread.name(), reply_port.name().expect("a port")))
                    .expect("heard");
                at[0].wait();
                at[1].wait();
                // Nothing tells of it any more. The port is still there.
                drop(reply_port);
                at[2].wait();
                at[0].wait();
            });
            let (thread, reply_port) = names.recv().expect("the names");
            at[0].wait();
            let found = info(reply_port);
            assert_eq!(
                (found.source, found.thread),
                (Source::ReplyPort, Some(thread))
            );
            assert_eq!(info(thread).source, Source::Thread);
            at[1].wait();
            at[2].wait();
            let found = info(reply_port);
            assert_eq!((found.source, found.thread), (Source::Receive, None));
            at[0].wait();
        });
        // G6.2 cannot be made here: the emulation's system parks without Mach.
        if KERNEL == Kernel::Emulated {
            let census = Census::take().expect("a census");
            assert_eq!(census.of(Source::Semaphore).names, 0);
        }
    });
}
