//! Servers that forward to each other: every circle is detected, and nothing else is taken for one.

mod queues;
#[path = "../support/mod.rs"]
mod support;

use exc_server::{
    Answered, Delivery, Exception, ForwardError, Installation, MessageBuffer, NotForwarded,
    Previous, Receiver, Route, Routing, Server, Target, Timeout,
};
use mach_sys::rights::{ReceiveRight, Right, TaskRight, ThreadRight};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{
    UNDEFINED, census, fallback, isolated, on_a_thread, skip, skip_somehow, thread_that_will_fault,
    wait_for_census,
};
use test_support::emulator::is_emulated;
use test_support::instructions::undefined;
use test_support::wait::wait_for;

const LIMIT: Timeout = Timeout::After(Duration::from_secs(20));

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Forward,
    ForwardTo,
    TryForward,
    TryForwardTo,
}

/// The record of a server in a circle.
#[derive(Default)]
struct Seen {
    asked: AtomicU64,
    reasons: Mutex<Vec<ForwardError>>,
    below: Mutex<Option<Arc<Previous>>>,
}

impl Seen {
    /// Forwards in one of the ways. Answers an exception that is not forwarded with `or`.
    fn forward<'b>(
        &self,
        exception: Exception<'b>,
        how: How,
        limit: Timeout,
        or: impl FnOnce(Exception<'b>) -> Answered,
    ) -> Answered {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let below = self.below.lock().expect("not poisoned").clone();
        let below = || below.as_deref().expect("registered");
        let outcome = match how {
            How::Forward => return exception.forward(limit),
            How::ForwardTo => return exception.forward_to(below(), limit),
            How::TryForward => exception.try_forward(limit),
            How::TryForwardTo => exception.try_forward_to(below(), limit),
        };
        outcome.unwrap_or_else(
            |NotForwarded {
                 exception, reason, ..
             }| {
                self.reasons.lock().expect("not poisoned").push(reason);
                or(exception)
            },
        )
    }
}

fn route(server: &Server, thread: Option<&ThreadRight>, routing: &Routing) -> Route {
    let task = TaskRight::current().expect("the own task");
    let target = thread.map_or(Target::Task(&task), Target::Thread);
    server.route(target, routing).expect("a route")
}

/// Checks a circle of `servers` servers, the first of which is both at the bottom and at the top.
fn circle(servers: usize, at_task: bool, how: How, limit: Timeout, delivery: Delivery) {
    let what = format!("{servers} servers, task: {at_task}, {how:?}, {limit:?}, {delivery}");
    let seen: Vec<Arc<Seen>> = (0..servers).map(|_| Arc::default()).collect();
    let running: Vec<Server> = (0..servers)
        .map(|index| {
            let seen = Arc::clone(&seen[index]);
            let start = Server::start(move |exception: Exception<'_>| match index {
                // The top handles the exceptions that no other does; the others decline, in each of the ways.
                0 => {
                    let how = match how {
                        How::Forward | How::TryForward => How::TryForward,
                        How::ForwardTo | How::TryForwardTo => How::TryForwardTo,
                    };
                    seen.forward(exception, how, limit, skip_somehow)
                }
                _ => seen.forward(exception, how, limit, Exception::decline),
            });
            start.expect("a server")
        })
        .collect();
    on_a_thread(|thread| {
        let thread = (!at_task).then_some(thread);
        let routing = Routing::new(UNDEFINED, delivery);
        let mut routes = Vec::new();
        for index in (0..servers).chain([0]) {
            let route = route(&running[index], thread, &routing);
            *seen[index].below.lock().expect("not poisoned") = route.previous().map(Arc::new);
            routes.push(route);
        }
        for round in 1..=3 {
            let begin = Instant::now();
            undefined();
            assert!(begin.elapsed() < Duration::from_secs(5), "{what}");
            for seen in &seen {
                assert_eq!(seen.asked.load(Ordering::SeqCst), round, "{what}");
            }
        }
        while routes.pop().is_some() {}
    });
    for (index, seen) in seen.iter().enumerate() {
        let reasons = seen.reasons.lock().expect("not poisoned");
        let silent = index != 0 && matches!(how, How::Forward | How::ForwardTo);
        assert_eq!(reasons.len(), if silent { 0 } else { 3 }, "{what}");
        for reason in &*reasons {
            match (index, servers) {
                (0, 1) => assert_eq!(*reason, ForwardError::OwnPort, "{what}"),
                (1, _) => assert_eq!(*reason, ForwardError::Circle, "{what}"),
                _ => assert!(
                    matches!(reason, ForwardError::Declined(_)),
                    "{what}: {reason}"
                ),
            }
        }
        *seen.below.lock().expect("not poisoned") = None;
    }
    for (index, server) in running.into_iter().enumerate() {
        let stats = server.shutdown();
        let taken = if index == 0 { (3, 0) } else { (0, 3) };
        assert_eq!((stats.resumed, stats.declined), taken, "{what}");
    }
}

#[test]
fn every_circle_is_declined_by_the_one_that_would_close_it() {
    isolated(
        "every_circle_is_declined_by_the_one_that_would_close_it",
        || {
            let before = census();
            for servers in 1..=4 {
                for at_task in [false, true] {
                    for how in [
                        How::Forward,
                        How::ForwardTo,
                        How::TryForward,
                        How::TryForwardTo,
                    ] {
                        for limit in [Timeout::Never, LIMIT] {
                            let narrow = Delivery::TASK.narrow().expect("a narrow one");
                            circle(servers, at_task, how, limit, Delivery::TASK);
                            circle(servers, at_task, how, limit, narrow);
                            if !at_task {
                                circle(servers, at_task, how, limit, Delivery::THREAD);
                                circle(servers, at_task, how, limit, Delivery::identity());
                            }
                        }
                    }
                }
            }
            wait_for_census(before);
        },
    );
}

/// Starts servers that answer the exceptions of routes with tag 0, and forward all others.
fn forwarders(count: usize, lost: &Arc<AtomicUsize>) -> Vec<Server> {
    let start = |_| {
        let lost = Arc::clone(lost);
        let start = Server::start(move |exception: Exception<'_>| {
            if exception.tag() == 0 {
                return skip(exception);
            }
            match exception.try_forward(Timeout::Never) {
                Ok(answered) => answered,
                Err(NotForwarded { exception, .. }) => {
                    lost.fetch_add(1, Ordering::SeqCst);
                    exception.decline()
                }
            }
        });
        start.expect("a server")
    };
    (0..count).map(start).collect()
}

/// Runs threads that fault at the same time, each with its own order of the servers, the lowest first.
fn faults_at_once(servers: &[Server], orders: &[Vec<usize>], faults: u32) {
    std::thread::scope(|scope| {
        for order in orders {
            scope.spawn(move || {
                let thread = ThreadRight::current().expect("the own thread");
                let mut routes = Vec::new();
                for (tag, index) in (0..).zip(order) {
                    let routing = Routing::new(UNDEFINED, Delivery::THREAD).tag(tag);
                    routes.push(route(&servers[*index], Some(&thread), &routing));
                }
                for _ in 0..faults {
                    undefined();
                }
                while routes.pop().is_some() {}
            });
        }
    });
}

#[test]
fn chains_that_are_no_circles_are_followed_to_their_end_on_many_threads() {
    isolated(
        "chains_that_are_no_circles_are_followed_to_their_end_on_many_threads",
        || {
            let (below, _below) = fallback();
            let before = census();
            let lost = Arc::default();
            let servers = forwarders(4, &lost);
            let orders: Vec<_> = (0..8).map(|_| vec![0, 1, 2, 3]).collect();
            let rounds = if is_emulated() { 20 } else { 100 };
            faults_at_once(&servers, &orders, rounds);
            assert_eq!(lost.load(Ordering::SeqCst), 0);
            let forwarded = servers
                .into_iter()
                .map(|server| server.shutdown().forwarded);
            let all = u64::from(rounds) * 8;
            assert_eq!(forwarded.collect::<Vec<_>>(), [0, all, all, all]);
            assert_eq!(below.stats().resumed, 0);
            wait_for_census(before);
        },
    );
}

#[test]
fn servers_over_each_other_for_different_threads_serve_them_all() {
    isolated(
        "servers_over_each_other_for_different_threads_serve_them_all",
        || {
            let (below, _below) = fallback();
            let before = census();
            let rounds = if is_emulated() { 12 } else { 60 };
            for (count, orders) in [
                (2, vec![vec![0, 1], vec![1, 0]]),
                (2, vec![vec![0, 1], vec![1, 0], vec![0, 1], vec![1, 0]]),
                (3, vec![vec![0, 1, 2], vec![1, 2, 0], vec![2, 0, 1]]),
                (3, vec![vec![0, 1], vec![1, 2], vec![2, 0]]),
                (
                    3,
                    (0..9)
                        .map(|n| vec![n % 3, (n + 1) % 3, (n + 2) % 3])
                        .collect(),
                ),
                (
                    4,
                    (0..4)
                        .flat_map(|_| [vec![0, 1, 2, 3], vec![3, 2, 1, 0]])
                        .collect(),
                ),
            ] {
                let lost = Arc::default();
                let servers = forwarders(count, &lost);
                faults_at_once(&servers, &orders, rounds);
                assert_eq!(lost.load(Ordering::SeqCst), 0, "{orders:?}");
                let hops: usize = orders.iter().map(|order| order.len() - 1).sum();
                let forwarded = servers
                    .into_iter()
                    .map(|server| server.shutdown().forwarded);
                assert_eq!(
                    forwarded.sum::<u64>(),
                    u64::from(rounds) * hops as u64,
                    "{orders:?}"
                );
            }
            assert_eq!(below.stats().resumed, 0);
            wait_for_census(before);
        },
    );
}

#[test]
fn an_exception_is_not_forwarded_again_to_a_handler_that_declined() {
    isolated(
        "an_exception_is_not_forwarded_again_to_a_handler_that_declined",
        || {
            let (below, _below) = fallback();
            let before = census();
            let declines = || {
                let server = Server::start(|exception: Exception<'_>| exception.decline());
                server.expect("a server")
            };
            let lowest = declines();
            // The middle forwards to the lowest only.
            let middle =
                Server::start(|exception: Exception<'_>| exception.forward(Timeout::Never));
            let middle = middle.expect("a server");
            let asks_lowest = Arc::new(Mutex::new(None::<Arc<Previous>>));
            let reasons = Arc::new(Mutex::new(Vec::new()));
            let (previous, told) = (Arc::clone(&asks_lowest), Arc::clone(&reasons));
            let top = Server::start(move |exception: Exception<'_>| {
                let lowest = previous.lock().expect("not poisoned").clone();
                let lowest = lowest.expect("registered");
                let mut exception = exception;
                let mut told = told.lock().expect("not poisoned");
                for ask_lowest in [false, false, true, true] {
                    let outcome = if ask_lowest {
                        exception.try_forward_to(&lowest, LIMIT)
                    } else {
                        exception.try_forward(LIMIT)
                    };
                    match outcome {
                        Ok(answered) => return answered,
                        Err(refused) => {
                            told.push(refused.reason);
                            exception = refused.exception;
                        }
                    }
                }
                exception.decline()
            });
            let top = top.expect("a server");
            on_a_thread(|thread| {
                let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                let first = route(&lowest, Some(thread), &routing);
                let second = route(&middle, Some(thread), &routing);
                *asks_lowest.lock().expect("not poisoned") = second.previous().map(Arc::new);
                let third = route(&top, Some(thread), &routing);
                // Refusals of one fault do not count for the next.
                for round in 1..=3 {
                    undefined();
                    let mut reasons = reasons.lock().expect("not poisoned");
                    assert!(matches!(reasons[0], ForwardError::Declined(_)));
                    assert_eq!(reasons[1..], [ForwardError::AlreadyDeclined; 3]);
                    reasons.clear();
                    assert_eq!(middle.stats().declined, round);
                    assert_eq!(lowest.stats().declined, round);
                }
                drop((third, second, first));
            });
            *asks_lowest.lock().expect("not poisoned") = None;
            assert_eq!(below.stats().resumed, 3);
            drop((top, middle, lowest));
            wait_for_census(before);
        },
    );
}

/// If the handler between leaves while the request is at its port, the one below it serves.
#[test]
fn a_handler_that_leaves_before_its_reply_is_skipped() {
    isolated("a_handler_that_leaves_before_its_reply_is_skipped", || {
        let (below, _below) = fallback();
        let before = census();
        let lower = Server::start(skip).expect("a server");
        let upper = Server::start(|exception: Exception<'_>| exception.forward(Timeout::Never));
        let upper = upper.expect("a server");
        std::thread::scope(|scope| {
            let (thread, go) = thread_that_will_fault(scope);
            let routing = Routing::new(UNDEFINED, Delivery::THREAD);
            let lowest = route(&lower, Some(&thread), &routing);
            // Receives requests, and answers none.
            let between = ReceiveRight::new().expect("a port");
            let send = between.make_send().expect("a right");
            let target = Target::Thread(&thread);
            let installed = Installation::install(target, UNDEFINED, &send, Delivery::THREAD);
            let installed = installed.expect("a live thread");
            let highest = route(&upper, Some(&thread), &routing);
            go.send(()).expect("the thread waits");
            wait_for("the request is received", || highest.in_flight() == 1);
            // Gives the request time to arrive in its queue.
            std::thread::sleep(Duration::from_millis(30));
            drop(between);
            wait_for("the lower one serves", || lower.stats().resumed == 1);
            drop((highest, installed, lowest));
        });
        assert_eq!(upper.shutdown().forwarded, 1);
        drop(lower);
        assert_eq!(below.stats().resumed, 0);
        wait_for_census(before);
    });
}

/// Two receivers that forward to each other, each on its own port and thread, are no deadlock.
#[test]
fn receivers_do_not_wait_for_each_other_about_one_exception() {
    isolated(
        "receivers_do_not_wait_for_each_other_about_one_exception",
        || {
            let (below, _below) = fallback();
            let before = census();
            std::thread::scope(|scope| {
                let ports = [(); 2].map(|()| ReceiveRight::new().expect("a port"));
                let sends = [0, 1].map(|index| ports[index].make_send().expect("a right"));
                let (thread, go) = thread_that_will_fault(scope);
                let install = |send| {
                    Installation::install(
                        Target::Thread(&thread),
                        UNDEFINED,
                        send,
                        Delivery::THREAD,
                    )
                    .expect("installed")
                };
                let installed = [install(&sends[0]), install(&sends[1]), install(&sends[0])];
                let receive = |index: usize, over: &Installation| {
                    let mut buffer = MessageBuffer::new();
                    let exception = Receiver::from_port(&ports[index])
                        .receive(&mut buffer, LIMIT)
                        .expect("an exception");
                    assert_eq!(exception.port(), Some(ports[index].name()));
                    let refused = exception.try_forward_to(over.previous(), Timeout::Never);
                    let refused = refused.expect_err("no handler takes it");
                    let reason = refused.reason;
                    let _ = refused.exception.decline();
                    reason
                };
                let [_, lower, upper] = &installed;
                std::thread::scope(|receivers| {
                    let second = receivers.spawn(|| receive(1, lower));
                    let first = receivers.spawn(|| receive(0, upper));
                    go.send(()).expect("the thread waits");
                    let second = second.join().expect("a reason");
                    assert_eq!(second, ForwardError::Circle);
                    let first = first.join().expect("a reason");
                    assert!(matches!(first, ForwardError::Declined(_)));
                });
                let [bottom, lower, upper] = installed;
                drop((bottom, upper, lower));
            });
            assert_eq!(below.stats().resumed, 1);
            wait_for_census(before);
        },
    );
}

#[test]
fn forwards_that_time_out_or_end_in_a_panic_are_forgotten() {
    isolated(
        "forwards_that_time_out_or_end_in_a_panic_are_forgotten",
        || {
            std::panic::set_hook(Box::new(|_| {}));
            let (below, _below) = fallback();
            let before = census();
            // No thread receives from this port.
            let silent = ReceiveRight::new().expect("a port");
            let send = silent.make_send().expect("a right");
            let server = Server::start(|exception: Exception<'_>| {
                let refused = exception.try_forward(Timeout::Now).expect_err("no answer");
                assert_eq!(refused.reason, ForwardError::TimedOut);
                panic!("after the forward");
            });
            let server = server.expect("a server");
            // More forwards than the table has places.
            on_a_thread(|thread| {
                let installed = Installation::install(
                    Target::Thread(thread),
                    UNDEFINED,
                    &send,
                    Delivery::THREAD,
                );
                let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                let route = route(&server, Some(thread), &routing);
                for _ in 0..600 {
                    undefined();
                }
                drop((route, installed));
            });
            assert_eq!(server.shutdown().panicked, 600);
            drop((silent, send));
            assert_eq!(below.stats().resumed, 600);
            circle(3, false, How::TryForward, Timeout::Never, Delivery::THREAD);
            wait_for_census(before);
        },
    );
}

/// The fault of a handler is served by the server that its thread is routed to, also while another server waits for that handler.
#[test]
fn a_fault_of_a_handler_that_is_waited_for_is_served() {
    isolated("a_fault_of_a_handler_that_is_waited_for_is_served", || {
        let before = census();
        let guard = Server::start(skip).expect("a server");
        let own = Arc::new(Mutex::new(None));
        let tell = Arc::clone(&own);
        let lower = Server::start(move |exception: Exception<'_>| {
            *tell.lock().expect("not poisoned") = ThreadRight::current().ok();
            if exception.tag() == 1 {
                undefined();
            }
            skip(exception)
        });
        let lower = lower.expect("a server");
        let upper = Server::start(|exception: Exception<'_>| exception.forward(Timeout::Never));
        let upper = upper.expect("a server");
        on_a_thread(|thread| {
            let routing = Routing::new(UNDEFINED, Delivery::THREAD);
            let first = route(&lower, Some(thread), &routing);
            undefined();
            drop(first);
            let handler = own.lock().expect("not poisoned").take().expect("told");
            let guarding = route(&guard, Some(&handler), &routing);
            let first = route(&lower, Some(thread), &routing.tag(1));
            let second = route(&upper, Some(thread), &routing);
            for _ in 0..10 {
                undefined();
            }
            drop((second, first, guarding));
        });
        drop(own);
        assert_eq!(guard.shutdown().resumed, 10);
        assert_eq!(upper.shutdown().forwarded, 10);
        drop(lower);
        wait_for_census(before);
    });
}

/// When servers end while they forward to each other, and threads keep faulting, each fault is served in the end.
#[test]
fn servers_that_end_amid_circles_leave_no_thread_waiting() {
    isolated(
        "servers_that_end_amid_circles_leave_no_thread_waiting",
        || {
            let (below, _below) = fallback();
            let before = census();
            for round in 0..30_usize {
                let servers = forwarders(3, &Arc::default());
                let servers: Vec<_> = servers
                    .into_iter()
                    .map(|one| Mutex::new(Some(one)))
                    .collect();
                let (ready, all_ready) = std::sync::mpsc::channel();
                let (servers, goes_on) = (&servers, &AtomicBool::new(true));
                std::thread::scope(|scope| {
                    for number in 0..4 {
                        let ready = ready.clone();
                        scope.spawn(move || {
                            let thread = ThreadRight::current().expect("the own thread");
                            let mut routes = Vec::new();
                            for tag in 0..4 {
                                let server = servers[(number + tag) % 3].lock();
                                let server = server.expect("not poisoned");
                                let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                                let server = server.as_ref().expect("it runs");
                                let routing = routing.tag(tag as u64);
                                routes.push(route(server, Some(&thread), &routing));
                            }
                            ready.send(()).expect("the test listens");
                            while goes_on.load(Ordering::SeqCst) {
                                undefined();
                            }
                            // The lowest first.
                            for route in routes {
                                assert!(route.close().is_ok());
                            }
                        });
                    }
                    for _ in 0..4 {
                        all_ready.recv().expect("ready");
                    }
                    std::thread::sleep(Duration::from_millis(round as u64 % 5));
                    for number in 0..3 {
                        let server = servers[(number + round) % 3].lock();
                        drop(server.expect("not poisoned").take());
                    }
                    let served = below.stats().resumed;
                    wait_for("the fallback serves all of them", || {
                        below.stats().resumed > served + 20
                    });
                    goes_on.store(false, Ordering::SeqCst);
                });
            }
            wait_for_census(before);
        },
    );
}
