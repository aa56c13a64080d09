//! Opening and closing routes, also while other code registers.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    Delivery, Exception, Installation, Restored, RouteError, Routing, Server, Target, Timeout,
};
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::{Census, ReceiveRight, TaskRight, ThreadRight};
use support::{UNDEFINED, fallback, faults_on_a_thread, isolated, on_a_thread, skip};
use test_support::instructions::undefined;
use test_support::wait::wait_for;

const ROUTING: Routing = Routing::new(UNDEFINED, Delivery::THREAD);

#[test]
fn routes_that_open_and_close_on_many_threads_never_make_each_other_stale() {
    let server = Server::start(skip).expect("a server");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let thread = ThreadRight::current().expect("the own thread");
                for _ in 0..300 {
                    let route = server.route(Target::Thread(&thread), &ROUTING);
                    let route = route.expect("a route");
                    undefined();
                    assert_eq!(route.close(), Ok(Restored::Clean));
                }
            });
        }
    });
    let stats = server.shutdown();
    assert_eq!((stats.resumed, stats.declined), (2400, 0));
}

#[test]
fn a_registration_over_a_route_is_left_alone() {
    let server = Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
    on_a_thread(|thread| {
        let mask = UNDEFINED | ExceptionMask::ARITHMETIC;
        let routing = Routing::new(mask, Delivery::THREAD);
        let target = Target::Thread(thread);
        let route = server.route(target, &routing).expect("a route");
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a send right");
        let over = Installation::install(target, UNDEFINED, &send, Delivery::THREAD);
        let over = over.expect("a live thread");
        assert_eq!(route.close(), Ok(Restored::Displaced(UNDEFINED)));
        assert_eq!(over.uninstall(), Ok(Restored::Clean));
    });
}

#[test]
fn b2_9_the_previous_handler_is_put_back_unchanged() {
    let port = ReceiveRight::new().expect("a port");
    let send = port.make_send().expect("a send right");
    let server = Server::start(skip).expect("a server");
    on_a_thread(|thread| {
        let target = Target::Thread(thread);
        let narrow = Delivery::identity().narrow().expect("a narrow form");
        let first = Installation::install(target, UNDEFINED, &send, narrow).expect("a live thread");
        assert!(first.previous().handlers().iter().all(|h| h.port.is_none()));
        for _ in 0..3 {
            let route = server.route(target, &ROUTING).expect("a route");
            undefined();
            let previous = route.previous().expect("the server lives");
            let [handler] = previous.handlers() else {
                panic!("{previous:?}");
            };
            assert_eq!((handler.mask, handler.flavor.raw), (UNDEFINED, 0));
            assert_eq!(handler.behavior, narrow.behavior());
            assert_eq!(route.close(), Ok(Restored::Clean));
        }
        assert_eq!(first.uninstall(), Ok(Restored::Clean));
    });
    assert_eq!(server.shutdown().resumed, 3);
}

#[test]
fn b3_5_routes_leave_the_census_as_it_was() {
    isolated("b3_5_routes_leave_the_census_as_it_was", || {
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a send right");
        let server = Server::start(skip).expect("a server");
        let task = TaskRight::current().expect("the own task");
        let thread = ThreadRight::current().expect("the own thread");
        let targets = [Target::Thread(&thread), Target::Task(&task)];
        let routing = Routing::new(UNDEFINED, Delivery::TASK);
        drop(server.route(targets[0], &routing));
        let before = Census::take().expect("a census");
        for target in targets {
            let first = Installation::install(target, UNDEFINED, &send, Delivery::TASK);
            let first = first.expect("a live target");
            for _ in 0..100 {
                let route = server.route(target, &routing).expect("a route");
                drop(route.previous());
                drop(route);
            }
            // The kernel refuses this: mask bit 0 is no exception type (B2.1).
            let wrong = Routing::new(ExceptionMask::from_bits_retain(1), Delivery::TASK);
            assert!(server.route(target, &wrong).is_err());
            drop(first);
        }
        assert_eq!(Census::take().expect("a census"), before);
    });
}

#[test]
fn each_step_of_closing_on_its_own() {
    isolated("each_step_of_closing_on_its_own", || {
        let (below, _route) = fallback();
        let server = Server::start(skip).expect("a server");
        on_a_thread(|thread| {
            let references = || thread.user_references().expect("a live thread");
            let before = references();
            let route = server
                .route(Target::Thread(thread), &ROUTING)
                .expect("a route");
            undefined();
            assert_eq!(references(), before + 1, "an installation holds one");
            let (detached, restored) = route.unroute();
            assert_eq!(restored, Ok(Restored::Clean));
            assert_eq!(references(), before, "and gives it back");
            undefined();
            for _ in 0..2 {
                detached.stop_delivery();
                assert_eq!(detached.wait_idle(Timeout::Now), Ok(()));
            }
            detached.close_port();
            undefined();
        });
        assert_eq!(server.shutdown().resumed, 1);
        assert_eq!(below.stats().resumed, 2);
    });
}

#[test]
fn a_thread_that_is_gone_is_a_typed_error_and_leaves_nothing() {
    isolated(
        "a_thread_that_is_gone_is_a_typed_error_and_leaves_nothing",
        || {
            let server = Server::start(skip).expect("a server");
            let (give, take) = std::sync::mpsc::channel();
            let before = support::census();
            let thread = std::thread::spawn(move || {
                give.send(ThreadRight::current().expect("the own thread"))
                    .expect("the test listens");
            });
            thread.join().expect("the thread ends");
            let right = take.recv().expect("a right");
            wait_for("the thread's port dies", || right.is_dead());
            let refused = server.route(Target::Thread(&right), &ROUTING).err();
            // The kernel first refuses to clone the right, which is a dead name now.
            assert!(
                matches!(refused, Some(RouteError::Install(_))),
                "{refused:?}"
            );
            drop(right);
            support::wait_for_census(before);
        },
    );
}

#[test]
fn a11_3_a_server_refuses_its_own_thread_and_takes_another_servers() {
    isolated(
        "a11_3_a_server_refuses_its_own_thread_and_takes_another_servers",
        || {
            let (tell, told) = std::sync::mpsc::channel();
            let first = Server::start(move |exception: Exception<'_>| {
                tell.send(ThreadRight::current().expect("the server's thread"))
                    .expect("heard");
                skip(exception)
            })
            .expect("a server");
            let routing = Routing::new(ExceptionMask::BAD_INSTRUCTION, Delivery::THREAD);
            faults_on_a_thread(&first, &routing, 1);
            let itself = told.recv().expect("a thread");
            assert_eq!(
                first.route(Target::Thread(&itself), &routing).err(),
                Some(RouteError::ServerThread)
            );
            let second = Server::start(skip).expect("a server");
            let route = second.route(Target::Thread(&itself), &routing);
            drop(route.expect("another server's thread"));
        },
    );
}
