//! Servers that forward to each other: a circle is seen, and nothing else is taken for one.

mod support;

use exc_server::{
    Answered, Delivery, Exception, ForwardError, Installation, MessageBuffer, NotForwarded,
    Previous, Receiver, Route, Routing, Server, Target, Timeout,
};
use mach_sys::rights::{ReceiveRight, Right, TaskRight, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{
    UNDEFINED, census, fallback, get, in_own_process, on_a_thread, set, skip, skip_undefined,
    thread_that_will_fault, undefined_instruction, wait_for_census,
};

const LIMIT: Timeout = Timeout::After(Duration::from_secs(20));

/// Skips the undefined instruction by whatever the behavior offers.
fn skip_somehow(exception: Exception<'_>) -> Answered {
    if exception.flavor().is_some() {
        return skip(exception);
    }
    let thread = exception.thread().expect("a thread");
    let mut state = get(thread).expect("it waits");
    skip_undefined(&mut state);
    set(thread, &state, NativeState::COUNT).expect("it waits");
    exception.resume()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Forward,
    ForwardTo,
    TryForward,
    TryForwardTo,
}

/// What a server of a circle has seen.
#[derive(Default)]
struct Seen {
    asked: AtomicU64,
    reasons: Mutex<Vec<ForwardError>>,
    below: Mutex<Option<Arc<Previous>>>,
}

impl Seen {
    /// Forwards, in one of the ways. The exception that is not forwarded is answered by `or`.
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

/// A circle of so many servers: the first is at the bottom and at the top.
fn circle(servers: usize, at_task: bool, how: How, limit: Timeout, delivery: Delivery) {
    let what = format!("{servers} servers, task: {at_task}, {how:?}, {limit:?}, {delivery}");
    let seen: Vec<Arc<Seen>> = (0..servers).map(|_| Arc::default()).collect();
    let running: Vec<Server> = (0..servers)
        .map(|index| {
            let seen = Arc::clone(&seen[index]);
            let start = Server::start(move |exception: Exception<'_>| match index {
                // The top takes what no other does; the others leave it, in each of the ways.
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
            undefined_instruction();
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
    in_own_process(
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

/// Servers that forward what comes by any route but a tag of 0, which they answer.
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

/// Threads that fault at the same time, each with its own order of the servers, the lowest first.
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
                    undefined_instruction();
                }
                while routes.pop().is_some() {}
            });
        }
    });
}

#[test]
fn chains_that_are_no_circles_are_followed_to_their_end_on_many_threads() {
    in_own_process(
        "chains_that_are_no_circles_are_followed_to_their_end_on_many_threads",
        || {
            let (below, _below) = fallback();
            let before = census();
            let lost = Arc::default();
            let servers = forwarders(4, &lost);
            let orders: Vec<_> = (0..8).map(|_| vec![0, 1, 2, 3]).collect();
            faults_at_once(&servers, &orders, 100);
            assert_eq!(lost.load(Ordering::SeqCst), 0);
            let forwarded = servers
                .into_iter()
                .map(|server| server.shutdown().forwarded);
            assert_eq!(forwarded.collect::<Vec<_>>(), [0, 800, 800, 800]);
            assert_eq!(below.stats().resumed, 0);
            wait_for_census(before);
        },
    );
}

#[test]
fn servers_over_each_other_for_different_threads_serve_them_all() {
    in_own_process(
        "servers_over_each_other_for_different_threads_serve_them_all",
        || {
            let (below, _below) = fallback();
            let before = census();
            for (count, orders) in [
                (2, vec![vec![0, 1], vec![1, 0]]),
                (2, vec![vec![0, 1], vec![1, 0], vec![0, 1], vec![1, 0]]),
                (3, vec![vec![0, 1, 2], vec![1, 2, 0], vec![2, 0, 1]]),
                (3, vec![vec![0, 1], vec![1, 2], vec![2, 0]]),
            ] {
                let lost = Arc::default();
                let servers = forwarders(count, &lost);
                faults_at_once(&servers, &orders, 400);
                assert_eq!(lost.load(Ordering::SeqCst), 0, "{orders:?}");
                let hops: usize = orders.iter().map(|order| order.len() - 1).sum();
                let forwarded = servers
                    .into_iter()
                    .map(|server| server.shutdown().forwarded);
                assert_eq!(forwarded.sum::<u64>(), 400 * hops as u64, "{orders:?}");
            }
            assert_eq!(below.stats().resumed, 0);
            wait_for_census(before);
        },
    );
}
