//! Every behavior and code width on real faults: resumed with a state, resumed unchanged, declined; and the names left behind.
#![allow(unsafe_code)]

mod support;

use exc_server::{Delivery, Exception, Restored, Routing, Server, Target};
use mach_sys::exception::{BehaviorKind, ExceptionMask, ExceptionType};
use mach_sys::kernel::system;
use mach_sys::rights::{Right, TaskRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use support::{
    GuardPage, UNDEFINED, every_delivery, fallback, faults_on_a_thread, get, isolated, on_a_thread,
    set, skip, skip_undefined,
};
use test_support::instructions::undefined;

#[test]
fn a3_every_behavior_with_state_is_resumed_with_another() {
    let server = Server::start(move |exception: Exception<'_>| {
        assert_eq!(exception.exception_type(), ExceptionType::BAD_INSTRUCTION);
        assert_eq!(exception.tag(), 77);
        skip(exception)
    })
    .expect("a server");
    let with_state = every_delivery().into_iter().filter(|d| d.has_state());
    for delivery in with_state {
        faults_on_a_thread(&server, &Routing::new(UNDEFINED, delivery).tag(77), 10);
    }
    let stats = server.shutdown();
    assert_eq!((stats.resumed, stats.declined, stats.malformed), (50, 0, 0));
}

#[test]
fn a3_1_a_behavior_without_state_is_resumed_with_what_was_set_through_the_right() {
    let server = Server::start(move |exception: Exception<'_>| {
        let thread = exception.thread().expect("a thread");
        let mut state = get(thread).expect("it waits");
        skip_undefined(&mut state);
        set(thread, &state, NativeState::COUNT).expect("it waits");
        exception.resume()
    })
    .expect("a server");
    let wide = Delivery::identity();
    for delivery in [wide, wide.narrow().expect("a narrow form")] {
        faults_on_a_thread(&server, &Routing::new(UNDEFINED, delivery), 10);
    }
    assert_eq!(server.shutdown().resumed, 20);
}

#[test]
fn a6_5_every_behavior_is_resumed_unchanged() {
    // The handler removes the cause, and the instruction works: no behavior needs a state for that.
    let page = Arc::new(GuardPage::new());
    let (opened, address) = (Arc::clone(&page), page.address() as u64);
    let server = Server::start(move |exception: Exception<'_>| {
        assert_eq!(exception.exception_type(), ExceptionType::BAD_ACCESS);
        // A 32-bit code has only the low half.
        let [_, subcode] = exception.codes();
        assert_eq!(subcode as u32, address as u32);
        opened.open();
        exception.resume()
    })
    .expect("a server");
    for delivery in every_delivery() {
        on_a_thread(|thread| {
            let routing = Routing::new(ExceptionMask::BAD_ACCESS, delivery);
            let route = server
                .route(Target::Thread(thread), &routing)
                .expect("a route");
            for _ in 0..5 {
                page.shut();
                page.store();
            }
            assert_eq!(route.close(), Ok(Restored::Clean));
        });
    }
    assert_eq!(server.shutdown().resumed, 40);
}

#[test]
fn a1_1_every_behavior_is_declined_and_the_next_level_gets_it() {
    isolated(
        "a1_1_every_behavior_is_declined_and_the_next_level_gets_it",
        || {
            let (below, _route) = fallback();
            let server =
                Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
            for delivery in every_delivery() {
                faults_on_a_thread(&server, &Routing::new(UNDEFINED, delivery), 5);
            }
            assert_eq!(below.stats().resumed, 40);
            assert_eq!(server.shutdown().declined, 40);
        },
    );
}

#[test]
fn a4_2_and_a2_6_what_a_request_says_is_what_its_behavior_sends() {
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    let page = Arc::new(GuardPage::new());
    let opened = Arc::clone(&page);
    let server = Server::start(move |exception: Exception<'_>| {
        let kind = BehaviorKind::new(exception.tag() as i32);
        let identity = matches!(kind, BehaviorKind::DEFAULT | BehaviorKind::STATE_IDENTITY);
        let protected = matches!(
            kind,
            BehaviorKind::IDENTITY_PROTECTED | BehaviorKind::STATE_IDENTITY_PROTECTED
        );
        assert_eq!(exception.thread().is_some(), identity);
        assert_eq!(exception.task().is_some(), identity);
        assert_eq!(exception.task_token().is_some(), protected);
        assert_eq!(exception.thread_id().is_some(), protected);
        assert_eq!(exception.registers().is_ok(), kind.has_state());
        assert_eq!(exception.flavor().is_some(), kind.has_state());
        count.fetch_add(1, Ordering::Relaxed);
        opened.open();
        exception.resume()
    })
    .expect("a server");
    for delivery in every_delivery() {
        on_a_thread(|thread| {
            let kind = delivery.behavior().kind().raw() as u64;
            let routing = Routing::new(ExceptionMask::BAD_ACCESS, delivery).tag(kind);
            let _route = server
                .route(Target::Thread(thread), &routing)
                .expect("a route");
            page.shut();
            page.store();
        });
    }
    assert_eq!(seen.load(Ordering::Relaxed), 8);
}

#[test]
fn a7_6_the_rights_of_a_request_name_the_thread_and_the_task_and_are_released() {
    let server = Server::start(|exception: Exception<'_>| {
        let task = exception.task().expect("a task").name().raw();
        assert_eq!(task, system::task_self());
        let thread = exception.thread().expect("a thread").name().raw();
        assert_eq!(u64::from(thread), exception.tag());
        skip(exception)
    })
    .expect("a server");
    on_a_thread(|thread| {
        let routing = Routing::new(UNDEFINED, Delivery::TASK).tag(u64::from(thread.name().raw()));
        let _route = server
            .route(Target::Thread(thread), &routing)
            .expect("a route");
        let before = thread.user_references().expect("a live thread");
        for _ in 0..100 {
            undefined();
            // The rights are released before the reply, so that no wait is needed (E49).
            assert_eq!(thread.user_references(), Ok(before));
        }
    });
    assert_eq!(server.shutdown().resumed, 100);
}

#[test]
fn a3_4_a_protected_request_names_the_thread_by_its_identifier() {
    let expected = Arc::new(AtomicU64::new(0));
    let wanted = Arc::clone(&expected);
    let server = Server::start(move |exception: Exception<'_>| {
        assert_eq!(exception.thread_id(), Some(wanted.load(Ordering::Relaxed)));
        skip(exception)
    })
    .expect("a server");
    on_a_thread(|thread| {
        expected.store(system::thread_id(), Ordering::Relaxed);
        let delivery = Delivery::state_identity_protected::<NativeState>();
        let _route = server
            .route(Target::Thread(thread), &Routing::new(UNDEFINED, delivery))
            .expect("a route");
        for _ in 0..5 {
            undefined();
        }
    });
    assert_eq!(server.shutdown().resumed, 5);
}

/// A7.5, D2.8: what each request brings, the task's references too, is released with it.
#[test]
fn d2_8_a_thousand_exceptions_of_each_behavior_leave_the_census_as_it_was() {
    isolated(
        "d2_8_a_thousand_exceptions_of_each_behavior_leave_the_census_as_it_was",
        || {
            let page = Arc::new(GuardPage::new());
            let opened = Arc::clone(&page);
            let turn = AtomicU32::new(0);
            // The thread's level resumes one and declines one; the task's level handles the declined ones.
            let server = Server::start(move |exception: Exception<'_>| {
                if exception.tag() == 1 && turn.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
                    return exception.decline();
                }
                opened.open();
                exception.resume()
            })
            .expect("a server");
            let access = ExceptionMask::BAD_ACCESS;
            let task = TaskRight::current().expect("the own task");
            let routing = Routing::new(access, Delivery::TASK).tag(2);
            let _route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            let run = |delivery: Delivery, faults: u32| {
                on_a_thread(|thread| {
                    let routing = Routing::new(access, delivery).tag(1);
                    let route = server
                        .route(Target::Thread(thread), &routing)
                        .expect("a route");
                    for _ in 0..faults {
                        page.shut();
                        page.store();
                    }
                    assert_eq!(route.close(), Ok(Restored::Clean));
                });
            };
            let before = support::census();
            for delivery in every_delivery() {
                run(delivery, 1000);
            }
            support::wait_for_census(before);
            let stats = server.shutdown();
            assert_eq!((stats.resumed, stats.declined), (8000, 4000));
        },
    );
}
