//! In the child of a fork every value is inert: no call panics, waits, or touches the parent's ports.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    AnswerError, Deferrals, Deferred, Delivery, Exception, Installation, MessageBuffer,
    NotDeferred, Outcome, Receiver, Restored, RouteError, Routing, Server, Target, Timeout,
};
use mach_sys::rights::{ReceiveRight, ThreadRight};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use support::{UNDEFINED, fallback, isolated, on_a_thread, skip, skip_undefined};
use test_support::flag::SetWhenDropped;
use test_support::instructions::undefined;

const ROUTING: Routing = Routing::new(UNDEFINED, Delivery::TASK);

/// Runs code in the child of a fork, and checks that it exits with status 0.
fn in_a_child(what: &str, code: impl FnOnce()) {
    // SAFETY: the child runs the code and exits. No other thread holds a lock that the code takes, except those under test.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{what}");
    if child == 0 {
        // Kills a child that waits forever.
        // SAFETY: no preconditions.
        unsafe { libc::alarm(20) };
        let status = i32::from(catch_unwind(AssertUnwindSafe(code)).is_err());
        // SAFETY: `_exit` runs none of the parent's destructors.
        unsafe { libc::_exit(status) };
    }
    reap(child, what);
}

fn reap(child: i32, what: &str) {
    let mut status = 0;
    // SAFETY: the status goes to a local variable.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    let exited = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    assert!(exited, "{what}: status {status:#x}");
}

/// A server, and a route of a thread to it.
struct Parts {
    server: Server,
    route: exc_server::Route,
}

/// The child's action.
type Act = fn(Parts);

#[test]
fn a_server_and_its_routes_are_inert_in_the_child() {
    isolated("a_server_and_its_routes_are_inert_in_the_child", || {
        let acts: [(&str, Act); 10] = [
            ("drops the server first", |parts| {
                drop(parts.server);
                drop(parts.route);
            }),
            ("drops the route first", |parts| {
                drop(parts.route);
                drop(parts.server);
            }),
            ("shuts down", |parts| {
                assert_eq!(parts.server.shutdown().resumed, 1);
                drop(parts.route);
            }),
            ("closes", |parts| {
                assert_eq!(parts.route.close(), Ok(Restored::Clean));
                drop(parts.server);
            }),
            ("closes in steps", |parts| {
                let (detached, restored) = parts.route.unroute();
                assert_eq!(restored, Ok(Restored::Clean));
                detached.stop_delivery();
                assert_eq!(detached.wait_idle(Timeout::Never), Ok(()));
                detached.close_port();
            }),
            ("waits", |parts| {
                assert_eq!(parts.route.wait_idle(Timeout::Never), Ok(()));
            }),
            ("looks", |parts| {
                assert!(parts.route.previous().is_none());
                assert_eq!(parts.server.stats().resumed, 1);
                assert_eq!(parts.server.deferrals().pending().count(), 0);
                assert!(!format!("{:?} {:?}", parts.server, parts.route).is_empty());
            }),
            ("routes", |parts| {
                // The name belongs to the parent, and must not be used.
                let thread = ThreadRight::current();
                if let Ok(thread) = &thread {
                    let refused = parts.server.route(Target::Thread(thread), &ROUTING);
                    assert_eq!(refused.err(), Some(RouteError::Stopped));
                }
                core::mem::forget(thread);
            }),
            ("panics", |parts| {
                let unwound = catch_unwind(AssertUnwindSafe(move || {
                    let _parts = parts;
                    std::panic::resume_unwind(Box::new(()));
                }));
                assert!(unwound.is_err());
            }),
            ("leaves them", core::mem::forget),
        ];
        for (what, act) in acts {
            on_a_thread(|thread| {
                let server = Server::start(skip).expect("a server");
                let route = server.route(Target::Thread(thread), &ROUTING);
                let route = route.expect("a route");
                undefined();
                let parts = Mutex::new(Some(Parts { server, route }));
                in_a_child(what, || {
                    let parts = parts.lock().expect("not poisoned").take();
                    act(parts.expect("not taken"));
                });
                // The parent's values are unchanged.
                let parts = parts.lock().expect("not poisoned").take();
                let Parts { server, route } = parts.expect("the parent's");
                undefined();
                assert_eq!(route.close(), Ok(Restored::Clean), "{what}");
                assert_eq!(server.shutdown().resumed, 2, "{what}");
            });
        }
    });
}

#[test]
fn a_lock_that_another_thread_holds_does_not_hold_up_the_child() {
    isolated(
        "a_lock_that_another_thread_holds_does_not_hold_up_the_child",
        || {
            let server = Server::start(skip).expect("a server");
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let _ending = SetWhenDropped(&stop);
                scope.spawn(|| {
                    let thread = ThreadRight::current().expect("the own thread");
                    while !stop.load(Ordering::Relaxed) {
                        drop(server.route(Target::Thread(&thread), &ROUTING));
                    }
                });
                on_a_thread(|thread| {
                    for _ in 0..50 {
                        let other = Server::start(skip).expect("a server");
                        let route = server.route(Target::Thread(thread), &ROUTING);
                        let mut parts = Some((other, route.expect("a route")));
                        in_a_child("drops", || drop(parts.take()));
                    }
                });
            });
        },
    );
}

#[test]
fn a_handler_may_fork() {
    isolated("a_handler_may_fork", || {
        let (send, receive) = mpsc::channel();
        let server = Server::start(move |exception: Exception<'_>| {
            // SAFETY: the child has only the server's thread. It answers as its parent does, without effect, and exits with that thread.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: no preconditions.
                unsafe { libc::alarm(20) };
            }
            let _ = send.send(child);
            skip(exception)
        })
        .expect("a server");
        support::faults_on_a_thread(&server, &ROUTING, 3);
        for child in receive.iter().take(3) {
            reap(child, "the handler's child");
        }
        assert_eq!(server.shutdown().resumed, 3);
    });
}

#[test]
fn installations_are_inert_in_the_child() {
    isolated("installations_are_inert_in_the_child", || {
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a send right");
        let acts: [fn(Installation); 3] = [
            drop,
            |installation| assert_eq!(installation.uninstall(), Ok(Restored::Clean)),
            Installation::leave_installed,
        ];
        for act in acts {
            on_a_thread(|thread| {
                let target = Target::Thread(thread);
                let installation =
                    Installation::install(target, UNDEFINED, &send, Delivery::THREAD);
                let mut installation = Some(installation.expect("a live thread"));
                in_a_child("ends an installation", || {
                    act(installation.take().expect("one"));
                });
                // The registration is still in place in the parent.
                let installation = installation.take().expect("the parent's");
                assert_eq!(installation.uninstall(), Ok(Restored::Clean));
            });
        }
    });
}

#[test]
fn deferred_exceptions_are_inert_in_the_child() {
    isolated("deferred_exceptions_are_inert_in_the_child", || {
        let acts: [fn(Deferred); 4] = [
            drop,
            |deferred| assert_eq!(deferred.resume(), Err(AnswerError::AlreadyDeclined)),
            |deferred| assert_eq!(deferred.decline(), Err(AnswerError::AlreadyDeclined)),
            |deferred| assert!(!deferred.is_pending() && deferred.thread().is_none()),
        ];
        for act in acts {
            let (send, receive) = mpsc::sync_channel(1);
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
                scope.spawn(|| support::faults_on_a_thread(&server, &ROUTING, 1));
                let mut deferred = Some(receive.recv().expect("an exception"));
                in_a_child("ends a deferred exception", || {
                    act(deferred.take().expect("one"));
                });
                // The exception still waits for an answer in the parent.
                let deferred = deferred.take().expect("the parent's");
                assert_eq!(deferred.resume(), Ok(()));
            });
        }
    });
}

#[test]
fn a_receivers_exceptions_are_inert_in_the_child() {
    isolated("a_receivers_exceptions_are_inert_in_the_child", || {
        let (below, _route) = fallback();
        let acts: [fn(Exception<'_>); 6] = [
            |exception| drop(exception),
            |exception| core::mem::forget(exception),
            |exception| assert_eq!(exception.resume().outcome(), Outcome::Unwanted),
            |exception| assert_eq!(exception.decline().outcome(), Outcome::Unwanted),
            |exception| match exception.defer(Timeout::Never) {
                Ok(_) => panic!("nothing waits in this process"),
                Err(NotDeferred { exception, .. }) => drop(exception),
            },
            |exception| {
                let _ = exception.forward_to(&exc_server::Previous::default(), Timeout::Never);
            },
        ];
        for act in acts {
            let port = ReceiveRight::new().expect("a port");
            let send = port.make_send().expect("a send right");
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    on_a_thread(|thread| {
                        let target = Target::Thread(thread);
                        let _installation =
                            Installation::install(target, UNDEFINED, &send, Delivery::TASK)
                                .expect("a live thread");
                        undefined();
                    });
                });
                let table = Deferrals::new(1).expect("a table");
                let mut buffer = MessageBuffer::new();
                let receiver = Receiver::from_port(&port).deferring(&table);
                let exception = receiver.receive(&mut buffer, Timeout::Never);
                let mut exception = Some(exception.expect("an exception"));
                in_a_child("ends an exception", || {
                    act(exception.take().expect("one"));
                });
                // The exception still waits for an answer in the parent.
                let answered = exception.take().expect("the parent's").decline();
                assert_eq!(answered.outcome(), Outcome::Declined);
                in_a_child("drops the table and the buffer", || {
                    drop(exception.take());
                });
            });
        }
        assert_eq!(below.stats().resumed, acts.len() as u64);
    });
}
