//! The server on real faults: every behavior, every way of answering, and the ugly ends.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    Answered, DeferSlot, Deferred, Delivery, Exception, Outcome, PanicPolicy, Restored, Routing,
    Server, Target,
};
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::kernel::system;
use mach_sys::rights::{Census, Right, TaskRight, ThreadRight};
use mach_sys::thread_state::{NativeState, Registers};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use support::{settled_census, skip_undefined, undefined_instruction};

const MASK: ExceptionMask = ExceptionMask::BAD_INSTRUCTION;

/// Skips the undefined instruction.
fn skip(mut exception: Exception<'_>) -> Answered {
    let mut state: NativeState = exception.state().expect("the native state");
    skip_undefined(&mut state);
    // SAFETY: the next instruction expects nothing of the one that is skipped.
    unsafe { exception.set_state(&state) }.expect("a state-carrying request");
    exception.resume()
}

fn on_a_thread<R: Send>(body: impl FnOnce(&ThreadRight) -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| body(&ThreadRight::current().expect("the own thread")));
        thread.join().expect("the thread went on")
    })
}

#[test]
fn a3_every_behavior_and_width_is_resumed() {
    type State = NativeState;
    let wide = [
        Delivery::state::<State>(),
        Delivery::state_identity::<State>(),
        Delivery::state_identity_protected::<State>(),
    ];
    let narrow = [
        Delivery::state::<State>().narrow().expect("a narrow form"),
        Delivery::state_identity::<State>()
            .narrow()
            .expect("a narrow form"),
    ];
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let server = Server::start(move |exception: Exception<'_>| {
        counter.fetch_add(1, Ordering::Relaxed);
        assert_eq!(exception.kind(), ExceptionType::BAD_INSTRUCTION);
        assert_eq!(exception.tag(), 77);
        skip(exception)
    })
    .expect("a server");
    for delivery in wide.into_iter().chain(narrow) {
        on_a_thread(|thread| {
            let routing = Routing::new(MASK, delivery).tag(77);
            let route = server
                .route(Target::Thread(thread), &routing)
                .expect("a route");
            for _ in 0..10 {
                undefined_instruction();
            }
            assert_eq!(route.close(), Ok(Restored::Clean));
        });
    }
    assert_eq!(seen.load(Ordering::Relaxed), 50);
    let stats = server.shutdown();
    assert_eq!((stats.resumed, stats.declined, stats.malformed), (50, 0, 0));
}

#[test]
fn a7_7_the_rights_of_a_request_name_the_thread_and_the_task() {
    let server = Server::start(|exception: Exception<'_>| {
        let task = exception.task().expect("a task").name().raw();
        assert_eq!(task, system::task_self());
        let thread = exception.thread().expect("a thread").name().raw();
        assert_eq!(u64::from(thread), exception.tag());
        skip(exception)
    })
    .expect("a server");
    on_a_thread(|thread| {
        let routing = Routing::new(MASK, Delivery::state_identity::<NativeState>())
            .tag(u64::from(thread.name().raw()));
        let _route = server
            .route(Target::Thread(thread), &routing)
            .expect("a route");
        let before = thread.user_references().expect("a live thread");
        for _ in 0..100 {
            undefined_instruction();
        }
        assert_eq!(
            thread.user_references(),
            Ok(before),
            "every right was released"
        );
    });
    assert_eq!(server.shutdown().resumed, 100);
}

#[test]
fn a1_1_declined_at_the_thread_level_the_task_level_gets_the_original_fault() {
    support::in_own_process(
        "a1_1_declined_at_the_thread_level_the_task_level_gets_the_original_fault",
        || {
            let order = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&order);
            let server = Server::start(move |exception: Exception<'_>| {
                let level = exception.tag();
                let pc = exception.registers().expect("registers").pc();
                log.lock()
                    .expect("not poisoned")
                    .push((level, pc, exception.codes()));
                if level == 2 {
                    skip(exception)
                } else {
                    exception.decline()
                }
            })
            .expect("a server");
            let task = TaskRight::current();
            let routing = Routing::new(MASK, Delivery::state_identity::<NativeState>()).tag(2);
            let _task_route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            on_a_thread(|thread| {
                let routing = Routing::new(MASK, Delivery::state::<NativeState>()).tag(1);
                let _route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                undefined_instruction();
            });
            let order = order.lock().expect("not poisoned");
            let [(1, pc, codes), (2, pc_again, codes_again)] = order[..] else {
                panic!("{order:?}");
            };
            assert_eq!((pc, codes), (pc_again, codes_again));
        },
    );
}

#[test]
fn a1_1_handled_at_the_thread_level_the_task_level_never_hears_of_it() {
    support::in_own_process(
        "a1_1_handled_at_the_thread_level_the_task_level_never_hears_of_it",
        || {
            let server = Server::start(|exception: Exception<'_>| {
                assert_eq!(exception.tag(), 1);
                skip(exception)
            })
            .expect("a server");
            let task = TaskRight::current();
            let routing = Routing::new(MASK, Delivery::state_identity::<NativeState>()).tag(2);
            let _task_route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            on_a_thread(|thread| {
                let routing = Routing::new(MASK, Delivery::state::<NativeState>()).tag(1);
                let _route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                for _ in 0..10 {
                    undefined_instruction();
                }
            });
            assert_eq!(server.shutdown().resumed, 10);
        },
    );
}

#[test]
fn a_state_route_for_a_task_has_to_be_asked_for() {
    let server = Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
    let task = TaskRight::current();
    // A kind of exception that no other test raises.
    let routing = Routing::new(ExceptionMask::EMULATION, Delivery::state::<NativeState>());
    let refused = server.route(Target::Task(&task), &routing);
    assert!(matches!(
        refused,
        Err(exc_server::RouteError::AnonymousTask)
    ));
    let allowed = routing.children_need_not_be_told_apart();
    let route = server
        .route(Target::Task(&task), &allowed)
        .expect("a route");
    assert_eq!(route.close(), Ok(Restored::Clean));
}

#[test]
fn a_deferred_exception_is_answered_from_another_thread() {
    let (send, receive) = mpsc::sync_channel::<Deferred>(1);
    // Two: a thread may fault again before the slot of its last fault is back.
    let slots = [(); 2].map(|()| DeferSlot::for_state::<NativeState>());
    let slots = Arc::new(Mutex::new(Vec::from(slots)));
    let (pool, answered_slots) = (Arc::clone(&slots), slots);
    let server = Server::start(move |exception: Exception<'_>| {
        let slot = pool.lock().expect("not poisoned").pop().expect("a slot");
        let (answered, deferred) = exception.defer(slot);
        assert_eq!(answered.outcome(), Outcome::Deferred);
        send.send(deferred).expect("somebody listens");
        answered
    })
    .expect("a server");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for mut deferred in receive.iter().take(20) {
                let mut state: NativeState = deferred.state().expect("the native state");
                skip_undefined(&mut state);
                // SAFETY: the next instruction expects nothing of the one that is skipped.
                unsafe { deferred.set_state(&state) }.expect("a state-carrying request");
                let slot = deferred.resume().expect("the thread waits");
                answered_slots.lock().expect("not poisoned").push(slot);
            }
        });
        scope.spawn(|| {
            let thread = ThreadRight::current().expect("the own thread");
            let routing = Routing::new(MASK, Delivery::state_identity::<NativeState>());
            let _route = server
                .route(Target::Thread(&thread), &routing)
                .expect("a route");
            for _ in 0..20 {
                undefined_instruction();
            }
        });
    });
    assert_eq!(server.shutdown().deferred, 20);
}

#[test]
fn a_handler_that_panics_declines_and_the_server_goes_on() {
    support::in_own_process(
        "a_handler_that_panics_declines_and_the_server_goes_on",
        || {
            std::panic::set_hook(Box::new(|_| {}));
            let server = Server::builder()
                .on_panic(PanicPolicy::Decline)
                .start(|exception: Exception<'_>| -> Answered {
                    if exception.tag() == 1 {
                        panic!("a handler's bug");
                    }
                    skip(exception)
                })
                .expect("a server");
            let task = TaskRight::current();
            let routing = Routing::new(MASK, Delivery::state_identity::<NativeState>()).tag(2);
            let _task_route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            on_a_thread(|thread| {
                let routing = Routing::new(MASK, Delivery::state::<NativeState>()).tag(1);
                let _route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                for _ in 0..5 {
                    undefined_instruction();
                }
            });
            let stats = server.shutdown();
            assert_eq!((stats.panicked, stats.resumed), (5, 5));
        },
    );
}

#[test]
fn a6_8_a_server_that_is_dropped_leaves_no_thread_waiting() {
    support::in_own_process(
        "a6_8_a_server_that_is_dropped_leaves_no_thread_waiting",
        || {
            // The task level, another server, takes what the dropped one leaves.
            let fallback = Server::start(skip).expect("a server");
            let task = TaskRight::current();
            let routing = Routing::new(MASK, Delivery::state_identity::<NativeState>());
            let _task_route = fallback
                .route(Target::Task(&task), &routing)
                .expect("a route");
            // The first server holds the first exception in its hand, and the others are queued behind it.
            let (entered, wait_entered) = mpsc::channel();
            let (go, wait_go) = mpsc::channel::<()>();
            let wait_go = Mutex::new(wait_go);
            let server = Server::start(move |exception: Exception<'_>| {
                let _ = entered.send(());
                let _ = wait_go.lock().map(|wait| wait.recv());
                exception.decline()
            })
            .expect("a server");
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let thread = ThreadRight::current().expect("the own thread");
                        let routing = Routing::new(MASK, Delivery::state::<NativeState>());
                        let route = server.route(Target::Thread(&thread), &routing);
                        let route = route.expect("a route");
                        undefined_instruction();
                        drop(route);
                    });
                }
                wait_entered.recv().expect("the handler runs");
                // Others fault meanwhile; then the handler may go on, and every thread with it.
                std::thread::sleep(std::time::Duration::from_millis(50));
                drop(go);
            });
            drop(server);
            assert_eq!(fallback.stats().resumed, 4);
        },
    );
}

#[test]
fn dropping_the_server_closes_its_routes() {
    support::in_own_process("dropping_the_server_closes_its_routes", || {
        let fallback = Server::start(skip).expect("a server");
        let task = TaskRight::current();
        let routing = Routing::new(MASK, Delivery::state_identity::<NativeState>());
        let _task_route = fallback
            .route(Target::Task(&task), &routing)
            .expect("a route");
        on_a_thread(|thread| {
            let server = Server::start(|_: Exception<'_>| -> Answered {
                unreachable!("the server is gone before the fault")
            })
            .expect("a server");
            let routing = Routing::new(MASK, Delivery::state::<NativeState>());
            let route = server
                .route(Target::Thread(thread), &routing)
                .expect("a route");
            drop(server);
            undefined_instruction();
            drop(route);
        });
        assert_eq!(fallback.stats().resumed, 1);
    });
}

#[test]
fn forwarding_asks_the_displaced_handler_in_his_own_form() {
    let before = Server::start(|exception: Exception<'_>| {
        assert_eq!(exception.tag(), 5);
        skip(exception)
    })
    .expect("a server");
    for delivery in [
        Delivery::state::<NativeState>(),
        Delivery::state_identity::<NativeState>(),
        Delivery::state::<NativeState>()
            .narrow()
            .expect("a narrow form"),
    ] {
        on_a_thread(|thread| {
            let routing = Routing::new(MASK, delivery).tag(5);
            let _first = before
                .route(Target::Thread(thread), &routing)
                .expect("a route");
            let previous = Arc::new(Mutex::new(None));
            let shared = Arc::clone(&previous);
            let server = Server::start(move |exception: Exception<'_>| {
                let previous: std::sync::MutexGuard<'_, Option<exc_server::Installation>> =
                    shared.lock().expect("not poisoned");
                match previous.as_ref() {
                    Some(installation) => exception.forward(installation.previous()),
                    None => exception.decline(),
                }
            })
            .expect("a server");
            // What the route displaces is the first server's registration; a second installation remembers it for the handler.
            let port = mach_sys::rights::ReceiveRight::new().expect("a port");
            let send = port.make_send().expect("a send right");
            let installation = exc_server::Installation::install(
                Target::Thread(thread),
                MASK,
                &send,
                Delivery::state::<NativeState>(),
            )
            .expect("a live thread");
            *previous.lock().expect("not poisoned") = Some(installation);
            let routing = Routing::new(MASK, Delivery::state_identity::<NativeState>());
            let route = server
                .route(Target::Thread(thread), &routing)
                .expect("a route");
            for _ in 0..10 {
                undefined_instruction();
            }
            drop(route);
            assert_eq!(server.stats().forwarded, 10);
            let installation = previous.lock().expect("not poisoned").take();
            let restored = installation.expect("installed").uninstall();
            assert_eq!(restored, Ok(Restored::Clean));
        });
    }
    assert_eq!(before.shutdown().resumed, 30);
}

#[test]
fn a_thousand_exceptions_of_each_behavior_leave_the_census_as_it_was() {
    support::in_own_process(
        "a_thousand_exceptions_of_each_behavior_leave_the_census_as_it_was",
        || {
            let server = Server::start(skip).expect("a server");
            let run = |delivery: Delivery, faults: u32| {
                on_a_thread(|thread| {
                    let routing = Routing::new(MASK, delivery);
                    let route = server
                        .route(Target::Thread(thread), &routing)
                        .expect("a route");
                    for _ in 0..faults {
                        undefined_instruction();
                    }
                    assert_eq!(route.close(), Ok(Restored::Clean));
                });
            };
            run(Delivery::state::<NativeState>(), 1);
            let before: Census = settled_census();
            for delivery in [
                Delivery::state::<NativeState>(),
                Delivery::state_identity::<NativeState>(),
                Delivery::state_identity_protected::<NativeState>(),
            ] {
                run(delivery, 1000);
            }
            support::wait_for_census(before);
        },
    );
}

#[test]
fn a6_12_messages_that_are_no_requests_are_answered_as_mig_does() {
    use mach_sys::kern_return::KernReturn;
    let server = Server::start(skip).expect("a server");
    on_a_thread(|thread| {
        let routing = Routing::new(MASK, Delivery::state::<NativeState>());
        let route = server
            .route(Target::Thread(thread), &routing)
            .expect("a route");
        for (id, words, expected) in [
            (4711, 8, KernReturn::MIG_BAD_ID),
            (2406, 8, KernReturn::MIG_BAD_ARGUMENTS),
            (2402, 8, KernReturn::MIG_BAD_ARGUMENTS),
        ] {
            let (reply_id, code) = support::ask(route.port(), id, words);
            assert_eq!((reply_id, code), (id + 100, expected));
        }
        // And the route goes on.
        undefined_instruction();
    });
    assert_eq!(server.stats().resumed, 1);
    assert_eq!(server.shutdown().malformed, 3);
}

#[test]
fn routes_that_open_and_close_on_many_threads_never_make_each_other_stale() {
    let server = Server::start(skip).expect("a server");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let thread = ThreadRight::current().expect("the own thread");
                for _ in 0..300 {
                    let routing = Routing::new(MASK, Delivery::state::<NativeState>());
                    let route = server
                        .route(Target::Thread(&thread), &routing)
                        .expect("a route");
                    undefined_instruction();
                    assert_eq!(route.close(), Ok(Restored::Clean));
                }
            });
        }
    });
    let stats = server.shutdown();
    assert_eq!((stats.resumed, stats.declined), (2400, 0));
}
