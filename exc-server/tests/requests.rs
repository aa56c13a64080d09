//! Messages that the kernel did not send: malformed, foreign, stale. Each is answered, and none of its rights stays.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    Delivery, Exception, MessageBuffer, ReceiveError, Receiver, RouteError, Routing, Server,
    Target, Timeout,
};
use mach_sys::exception::ExceptionMask;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{Disposition, MACH_SEND_MSG};
use mach_sys::mig::{HeaderPort, Identity, Raise, Routine};
use mach_sys::rights::{Census, ReceiveRight, Right, TaskRight, ThreadRight};
use mach_sys::thread_state::NativeState;
use support::{UNDEFINED, ask, fallback, isolated, on_a_thread, raise, request, skip};
use test_support::instructions::undefined;
use test_support::wait::wait_for;

#[test]
fn a_message_that_is_no_request_is_answered_as_mig_does() {
    isolated(
        "a_message_that_is_no_request_is_answered_as_mig_does",
        || {
            let server = Server::start(skip).expect("a server");
            on_a_thread(|thread| {
                let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                let route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                undefined();
                let before = Census::take().expect("a census");
                let cases = [
                    (4711, 8, KernReturn::MIG_BAD_ID),
                    (2400, 8, KernReturn::MIG_BAD_ID),
                    (2404, 8, KernReturn::MIG_BAD_ID),
                    (2411, 8, KernReturn::MIG_BAD_ID),
                    (i32::MIN, 6, KernReturn::MIG_BAD_ID),
                    (2401, 8, KernReturn::MIG_BAD_ARGUMENTS),
                    (2402, 6, KernReturn::MIG_BAD_ARGUMENTS),
                    (2405, 19, KernReturn::MIG_BAD_ARGUMENTS),
                    (2406, 8, KernReturn::MIG_BAD_ARGUMENTS),
                    (2407, 23, KernReturn::MIG_BAD_ARGUMENTS),
                    (2408, 20, KernReturn::MIG_BAD_ARGUMENTS),
                    (2410, 40, KernReturn::MIG_BAD_ARGUMENTS),
                ];
                for (id, words, expected) in cases {
                    let reply = ask(route.port(), id, words);
                    assert_eq!((reply.id, reply.code), (id + 100, expected), "{id}");
                    assert_eq!(reply.size, 36);
                }
                assert_eq!(Census::take().expect("a census"), before);
                // The route still serves.
                undefined();
            });
            // Malformed messages are counted after the answer, so that the counters are read after the server has ended.
            let stats = server.shutdown();
            assert_eq!((stats.resumed, stats.malformed), (2, 12));
        },
    );
}

/// C12.3: the rights of a message that is not handed on are released here.
#[test]
fn c12_3_a_malformed_request_gives_its_rights_back() {
    isolated("c12_3_a_malformed_request_gives_its_rights_back", || {
        let port = ReceiveRight::new().expect("a port");
        let other = ReceiveRight::new().expect("a port");
        let right = other.make_send().expect("a send right");
        let before = Census::take().expect("a census");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = MessageBuffer::new();
                let error = Receiver::from_port(&port)
                    .receive(&mut buffer, Timeout::Never)
                    .err();
                let Some(ReceiveError::Malformed { id: 2407, reason }) = error else {
                    panic!("{error:?}");
                };
                assert_eq!(reason.kern_return(), KernReturn::MIG_BAD_ARGUMENTS);
            });
            let reply = support::exchange(|message, reply| {
                let state = NativeState::default();
                let name = right.name().raw();
                let good = Raise {
                    routine: Routine::MachExceptionRaiseStateIdentity,
                    remote: HeaderPort::new(port.name().raw(), Disposition::MAKE_SEND),
                    local: HeaderPort::new(reply.name().raw(), Disposition::MAKE_SEND_ONCE),
                    identity: Identity::ThreadAndTask {
                        thread: name,
                        task: name,
                    },
                    ..request(Routine::MachExceptionRaiseState, &state)
                };
                let size = good
                    .encode(mach_sys::pod::word_bytes_mut(message))
                    .expect("a good request");
                // Removes one word of the state.
                size - 4
            });
            assert_eq!(reply.code, KernReturn::MIG_BAD_ARGUMENTS);
        });
        // The scoped thread's name may live on for a moment.
        support::wait_for_census(before);
    });
}

#[test]
fn c10_5_a_reply_port_that_is_full_does_not_hold_the_server_up() {
    isolated(
        "c10_5_a_reply_port_that_is_full_does_not_hold_the_server_up",
        || {
            let server = Server::start(skip).expect("a server");
            on_a_thread(|thread| {
                let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                let route = server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route");
                undefined();
                let before = Census::take().expect("a census");
                let full = ReceiveRight::new().expect("a port");
                // The reply port is a send right. Five replies fill its queue; there is no room for the others.
                for id in [4711, 2406, 4711, 4711, 4711, 2406, 4711, 4711] {
                    let mut message = [0_u32; 8];
                    let make_send = Disposition::MAKE_SEND.raw();
                    message[0] = make_send | make_send << 8;
                    message[2] = route.port().raw();
                    message[3] = full.name().raw();
                    message[5] = id;
                    // SAFETY: the buffer is valid for its size.
                    let code = unsafe {
                        kernel::mach_msg(
                            message.as_mut_ptr().cast(),
                            MACH_SEND_MSG,
                            size_of_val(&message) as u32,
                            0,
                            0,
                            0,
                            0,
                        )
                    };
                    assert_eq!(KernReturn::new(code), KernReturn::SUCCESS);
                }
                undefined();
                wait_for("all are answered", || server.stats().malformed == 8);
                drop(full);
                assert_eq!(Census::take().expect("a census"), before);
            });
            assert_eq!(server.shutdown().resumed, 2);
        },
    );
}

#[test]
fn b6_3_an_exception_of_another_task_is_declined() {
    isolated("b6_3_an_exception_of_another_task_is_declined", || {
        let server =
            Server::start(|exception: Exception<'_>| exception.resume()).expect("a server");
        let task = TaskRight::current().expect("the own task");
        // An exception type that nothing else raises.
        let routing = Routing::new(ExceptionMask::EMULATION, Delivery::TASK);
        let route = server
            .route(Target::Task(&task), &routing)
            .expect("a route");
        let state = NativeState::default();
        let stranger = ReceiveRight::new().expect("a port");
        let stranger = (stranger.make_send().expect("a send right"), stranger);
        let thread = ThreadRight::current().expect("the own thread");
        let about = |task| Raise {
            routine: Routine::MachExceptionRaiseStateIdentity,
            identity: Identity::ThreadAndTask {
                thread: thread.name().raw(),
                task,
            },
            ..request(Routine::MachExceptionRaiseState, &state)
        };
        let handled = raise(route.port(), about(system::task_self()));
        assert_eq!(handled.code, KernReturn::RCV_PORT_DIED);
        let declined = raise(route.port(), about(stranger.0.name().raw()));
        assert_eq!(declined.code, KernReturn::FAILURE);
        // A request that does not name its task could come from any task.
        let declined = raise(
            route.port(),
            request(Routine::MachExceptionRaiseState, &state),
        );
        assert_eq!(declined.code, KernReturn::FAILURE);
        let stats = server.stats();
        assert_eq!((stats.foreign, stats.declined, stats.resumed), (2, 2, 1));
        drop(route);
        // With `accept_child_tasks` it is handled.
        let route = server
            .route(Target::Task(&task), &routing.accept_child_tasks())
            .expect("a route");
        let handled = raise(route.port(), about(stranger.0.name().raw()));
        assert_eq!(handled.code, KernReturn::RCV_PORT_DIED);
    });
}

#[test]
fn a_task_route_that_names_no_task_must_be_allowed_explicitly() {
    let server = Server::start(|exception: Exception<'_>| exception.decline()).expect("a server");
    let task = TaskRight::current().expect("the own task");
    for delivery in [
        Delivery::THREAD,
        Delivery::identity_protected(),
        Delivery::state_identity_protected::<NativeState>(),
    ] {
        let routing = Routing::new(ExceptionMask::RPC_ALERT, delivery);
        let refused = server.route(Target::Task(&task), &routing).err();
        let behavior = delivery.behavior();
        assert_eq!(refused, Some(RouteError::AnonymousTask { behavior }));
        let allowed = routing.accept_child_tasks();
        let route = server
            .route(Target::Task(&task), &allowed)
            .expect("a route");
        assert_eq!(route.close(), Ok(exc_server::Restored::Clean));
    }
}

#[test]
fn a_request_of_a_route_that_is_gone_is_declined() {
    isolated("a_request_of_a_route_that_is_gone_is_declined", || {
        let (below, _below) = fallback();
        let server = Server::start(skip).expect("a server");
        let context_of = |name: u32| {
            let mut context = 0;
            // SAFETY: the result goes to a local variable.
            let code =
                unsafe { kernel::mach_port_get_context(system::task_self(), name, &mut context) };
            assert_eq!(code, 0);
            context
        };
        let set_context = |name: u32, context: u64| {
            // SAFETY: no pointers.
            let code = unsafe { kernel::mach_port_set_context(system::task_self(), name, context) };
            assert_eq!(code, 0);
        };
        on_a_thread(|thread| {
            let routing = Routing::new(UNDEFINED, Delivery::THREAD);
            let route = || {
                server
                    .route(Target::Thread(thread), &routing)
                    .expect("a route")
            };
            let first = route();
            let stale = context_of(first.port().raw());
            drop(first);
            let second = route();
            let port = second.port().raw();
            let fresh = context_of(port);
            assert_ne!(fresh, stale);
            assert_eq!(fresh >> 32, stale >> 32, "the same place");
            // Like a message that was received before the first route was closed.
            for context in [stale, 0, u64::MAX] {
                set_context(port, context);
                undefined();
            }
            set_context(port, fresh);
            undefined();
        });
        let stats = server.shutdown();
        assert_eq!((stats.stale, stats.declined, stats.resumed), (3, 3, 1));
        assert_eq!(below.stats().resumed, 3);
    });
}
