//! The guarantees to callers: codes and texts of errors, refused calls, and the values that failed calls return.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    AnswerError, Answered, DeferError, Deferrals, Deferred, Delivery, DeliveryError, Exception,
    ForwardError, Handler, InstallError, Installation, MessageBuffer, ReceiveError, Receiver,
    RouteError, Routing, Server, ServerStartError, StateError, Target, Timeout,
};
use mach_sys::exception::{Behavior, ExceptionMask};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system};
use mach_sys::machine::Machine;
use mach_sys::message::{Disposition, MACH_SEND_MSG};
use mach_sys::mig::{self, HeaderPort, Identity, Raise, Routine};
use mach_sys::pod;
use mach_sys::rights::{Census, Name, ReceiveRight, Right, TaskRight, ThreadRight};
use mach_sys::thread_state::{
    Flavor, NativeState, ThreadState, arm_thread_state64_t, x86_thread_state64_t,
};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use support::{
    UNDEFINED, fallback, faults_on_a_thread, isolated, on_a_thread, raise, request, skip,
    skip_undefined,
};
use test_support::instructions::undefined;
use test_support::wait::wait_for;

const ROUTING: Routing = Routing::new(UNDEFINED, Delivery::THREAD);

#[cfg(not(target_arch = "aarch64"))]
type ForeignState = arm_thread_state64_t;
#[cfg(target_arch = "aarch64")]
type ForeignState = x86_thread_state64_t;
/// Uses both states, so that neither is an unused import.
const _: usize = size_of::<arm_thread_state64_t>() + size_of::<x86_thread_state64_t>();

/// Checks that each cause appears once in a report that prints the chain of causes.
fn said_once(error: &dyn Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        assert!(!text.contains(&inner_text), "{text}: {inner_text}");
        text = inner_text;
        cause = inner.source();
    }
}

#[test]
fn errors_have_codes_that_never_change_and_name_their_cause_once() {
    let behavior = Delivery::THREAD.behavior();
    let code = KernError::NO_SPACE;
    let flavor = Flavor::new(Machine::Arm64, 9);
    let encode = mig::EncodeError::Identity;
    let mismatch = NativeState::from_words(&[]).expect_err("too few words");
    let capacity = Deferrals::new(usize::MAX).expect_err("too many");
    let mask = ExceptionMask::BAD_ACCESS;
    let io = || std::io::Error::from_raw_os_error(libc::EAGAIN);
    macro_rules! rows {
        ($($number:literal $error:expr;)*) => {
            [$(($number, $error.code(), Box::new($error) as Box<dyn Error>)),*]
        };
    }
    let rows = rows! {
        0x4001 DeliveryError::Behavior(behavior);
        0x4002 DeliveryError::NoFlavor { behavior };
        0x4003 DeliveryError::NeedlessFlavor { behavior, flavor };
        0x4004 DeliveryError::Flavor { behavior, flavor };
        0x4101 StateError::Absent;
        0x4102 StateError::Mismatch(mismatch);
        0x4103 StateError::Foreign { flavor };
        0x4104 StateError::Answered;
        0x4105 StateError::TooLarge { words: 4711 };
        0x4201 ReceiveError::TimedOut;
        0x4202 ReceiveError::PortGone;
        0x4203 ReceiveError::Malformed { id: 7, reason: mig::DecodeError::NotComplex };
        0x4204 ReceiveError::TooLarge;
        0x4205 ReceiveError::NoRoom(code);
        0x4206 ReceiveError::Kernel(code);
        0x4301 AnswerError::Unwanted;
        0x4302 AnswerError::AlreadyDeclined;
        0x4303 AnswerError::Encode(encode);
        0x4304 AnswerError::Kernel(code);
        0x4305 AnswerError::State(StateError::Absent);
        0x4401 ForwardError::NoHandler;
        0x4402 ForwardError::OwnPort;
        0x4403 ForwardError::Forked;
        0x4404 ForwardError::Behavior(behavior);
        0x4405 ForwardError::State(code);
        0x4406 ForwardError::Encode(encode);
        0x4407 ForwardError::TimedOut;
        0x4408 ForwardError::PortGone;
        0x4409 ForwardError::Declined(code);
        0x440a ForwardError::Malformed(mig::ReplyError::Complex);
        0x440b ForwardError::Kernel(code);
        0x440c ForwardError::Circle;
        0x440d ForwardError::AlreadyDeclined;
        0x4501 DeferError::NoTable;
        0x4502 DeferError::Full { capacity: 1 };
        0x4503 DeferError::Closed;
        0x4601 capacity;
        0x4701 InstallError::Denied { behavior };
        0x4702 InstallError::TargetGone(code);
        0x4703 InstallError::OwnCrash;
        0x4704 InstallError::Kernel { mask, behavior, code };
        0x4801 RouteError::AnonymousTask { behavior };
        0x4802 RouteError::Full(1);
        0x4803 RouteError::Stopped;
        0x4804 RouteError::Port(code);
        0x4805 RouteError::ServerThread;
        0x4703 RouteError::Install(InstallError::OwnCrash);
        0x4a01 ServerStartError::Name { name: "\0".into() };
        0x4a02 ServerStartError::StackSize { bytes: 1, min: 2, max: 3 };
        0x4a03 ServerStartError::Port(code);
        0x4a04 ServerStartError::Thread(io());
        0x4601 ServerStartError::Deferrals(capacity);
        0x2002 ServerStartError::Kernel(&mach_sys::kernel::StartError::Full);
    };
    for (number, found, error) in rows {
        assert_eq!(found, number, "{error}");
        said_once(&*error);
    }
}

#[test]
fn a1_7_crashes_of_the_own_task_are_not_routed_to_it() {
    let server = Server::start(|exception| exception.decline()).expect("a server");
    let task = TaskRight::current().expect("the own task");
    let thread = ThreadRight::current().expect("the own thread");
    let port = ReceiveRight::new().expect("a port");
    let send = port.make_send().expect("a send right");
    let before = Census::take().expect("a census");
    for mask in [
        ExceptionMask::CRASH,
        ExceptionMask::CRASH | ExceptionMask::BAD_ACCESS,
    ] {
        for target in [Target::Task(&task), Target::Thread(&thread)] {
            let routed = server.route(target, &Routing::new(mask, Delivery::TASK));
            assert_eq!(
                routed.err(),
                Some(RouteError::Install(InstallError::OwnCrash))
            );
            let installed = Installation::install(target, mask, &send, Delivery::TASK);
            assert_eq!(installed.err(), Some(InstallError::OwnCrash));
        }
    }
    assert_eq!(Census::take().expect("a census"), before);
}

#[test]
fn a_state_of_another_machine_is_neither_read_nor_set() {
    let foreign = Flavor::new(ForeignState::MACHINE, ForeignState::FLAVOR);
    let refused = StateError::Foreign { flavor: foreign };
    let state: ForeignState = pod::zeroed();
    let server = Server::builder().deferrals(1).start(move |mut exception| {
        assert_eq!(exception.state::<ForeignState>(), Err(refused));
        // SAFETY: refused, so that no register changes.
        assert_eq!(unsafe { exception.set_state(&state) }, Err(refused));
        // On this machine the number is the flavor of exception states.
        let words = state.as_words();
        // SAFETY: as above.
        let set = unsafe { exception.set_state_words(foreign, words) };
        assert_eq!(set, Err(refused));
        if exception.tag() == 1 {
            return skip(exception);
        }
        let (answered, mut deferred) = exception.defer(Timeout::Never).expect("room");
        assert_eq!(deferred.state::<ForeignState>(), Err(refused));
        // SAFETY: as above.
        assert_eq!(unsafe { deferred.set_state(&state) }, Err(refused));
        let mut state: NativeState = deferred.state().expect("the native state");
        skip_undefined(&mut state);
        // SAFETY: the next instruction does not depend on the skipped one.
        unsafe { deferred.resume_with(&state) }.expect("the thread waits");
        answered
    });
    let server = server.expect("a server");
    for tag in [1, 2] {
        faults_on_a_thread(&server, &ROUTING.tag(tag), 3);
    }
    let stats = server.shutdown();
    assert_eq!((stats.resumed, stats.deferred, stats.unwanted), (3, 3, 0));
}

#[test]
fn a_state_that_cannot_be_set_is_not_resumed_with() {
    isolated("a_state_that_cannot_be_set_is_not_resumed_with", || {
        let (below, _below) = fallback();
        let state: ForeignState = pod::zeroed();
        let server = Server::builder().deferrals(1).start(move |exception| {
            if exception.tag() == 1 {
                // SAFETY: refused, so that no register changes.
                let answered = unsafe { exception.resume_with(&state) };
                assert_eq!(answered.outcome(), exc_server::Outcome::Declined);
                return answered;
            }
            let (answered, deferred) = exception.defer(Timeout::Never).expect("room");
            // SAFETY: as above.
            let resumed = unsafe { deferred.resume_with(&state) };
            assert!(matches!(
                resumed,
                Err(AnswerError::State(StateError::Foreign { .. }))
            ));
            answered
        });
        let server = server.expect("a server");
        for tag in [1, 2] {
            faults_on_a_thread(&server, &ROUTING.tag(tag), 2);
        }
        assert_eq!(below.stats().resumed, 4);
        assert_eq!(server.shutdown().panicked, 0);
    });
}

#[test]
fn a3_6_a_backtrace_request_has_a_kcdata_object_and_no_task_token() {
    isolated(
        "a3_6_a_backtrace_request_has_a_kcdata_object_and_no_task_token",
        || {
            let server = Server::start(|exception: Exception<'_>| {
                assert_eq!(exception.routine(), Routine::MachExceptionRaiseBacktrace);
                assert!(exception.task_token().is_none() && exception.thread_id().is_none());
                assert!(exception.kcdata().is_some());
                exception.resume()
            })
            .expect("a server");
            let object = ReceiveRight::new().expect("a port");
            let object = (object.make_send().expect("a send right"), object);
            on_a_thread(|thread| {
                let route = server
                    .route(Target::Thread(thread), &ROUTING)
                    .expect("a route");
                let state = NativeState::default();
                let before = Census::take().expect("a census");
                let reply = raise(
                    route.port(),
                    Raise {
                        identity: Identity::Kcdata {
                            object: object.0.name().raw(),
                        },
                        ..request(Routine::MachExceptionRaiseBacktrace, &state)
                    },
                );
                assert_eq!(reply.code, KernReturn::SUCCESS);
                assert_eq!(Census::take().expect("a census"), before);
            });
            let stats = server.shutdown();
            assert_eq!((stats.resumed, stats.panicked), (1, 0));
        },
    );
}

/// Sends a request with this reply port, and does not wait for the reply.
fn send(port: Name, codes: &[i64], reply: &ReceiveRight) {
    let state = NativeState::default();
    let raise = Raise {
        remote: HeaderPort::new(port.raw(), Disposition::MAKE_SEND),
        local: HeaderPort::new(reply.name().raw(), Disposition::MAKE_SEND_ONCE),
        codes,
        ..request(Routine::MachExceptionRaiseState, &state)
    };
    let mut message = [0_u32; 2048];
    let size = raise
        .encode(pod::word_bytes_mut(&mut message))
        .expect("a good request");
    // SAFETY: the buffer is valid for its size.
    let code = unsafe {
        kernel::mach_msg(
            message.as_mut_ptr().cast(),
            MACH_SEND_MSG,
            size as u32,
            0,
            0,
            0,
            0,
        )
    };
    assert_eq!(KernReturn::new(code), KernReturn::SUCCESS);
}

#[test]
fn replies_that_the_kernel_refuses_are_counted_however_they_are_given() {
    isolated(
        "replies_that_the_kernel_refuses_are_counted_however_they_are_given",
        || {
            let (go, wait) = mpsc::channel::<()>();
            let wait = std::sync::Mutex::new(wait);
            let (give, receive) = mpsc::sync_channel::<Deferred>(8);
            let server = Server::builder().deferrals(4).start(move |exception| {
                if exception.codes() == [0, 0] {
                    // Waits until the next request has arrived and its reply port is dead.
                    wait.lock().expect("no panic").recv().expect("a sender");
                    return exception.resume();
                }
                match exception.tag() {
                    1 => exception.resume(),
                    2 => exception.decline(),
                    3 => {
                        let limit = Timeout::After(Duration::from_millis(1));
                        let (answered, deferred) = exception.defer(limit).expect("room");
                        core::mem::forget(deferred);
                        answered
                    }
                    4..=6 => {
                        let (answered, deferred) = exception.defer(Timeout::Never).expect("room");
                        give.send(deferred).expect("the test listens");
                        answered
                    }
                    _ => panic!("on purpose"),
                }
            });
            let started = server.expect("a server");
            let server = &started;
            on_a_thread(move |thread| {
                for tag in 1..=7 {
                    let route = server
                        .route(Target::Thread(thread), &ROUTING.tag(tag))
                        .expect("a route");
                    let busy = ReceiveRight::new().expect("a port");
                    send(route.port(), &[0, 0], &busy);
                    let reply = ReceiveRight::new().expect("a port");
                    send(route.port(), &[1, 2], &reply);
                    drop(reply);
                    go.send(()).expect("the server listens");
                    if (4..=6).contains(&tag) {
                        let deferred = receive.recv().expect("a key");
                        match tag {
                            4 => assert_eq!(deferred.resume(), Err(AnswerError::Unwanted)),
                            5 => drop(deferred),
                            // Closing its route declines it.
                            _ => {
                                core::mem::forget(deferred);
                                assert_eq!(server.stats().unwanted, 5);
                                drop(route);
                            }
                        }
                    }
                    wait_for("it is counted", || server.stats().unwanted == tag);
                }
            });
            let stats = started.shutdown();
            assert_eq!((stats.resumed, stats.declined), (8, 2));
            assert_eq!((stats.deferred, stats.expired), (4, 1));
            assert_eq!((stats.unwanted, stats.panicked), (7, 1));
        },
    );
}

#[test]
fn an_exception_that_no_other_handler_handles_comes_back_with_the_reason() {
    isolated(
        "an_exception_that_no_other_handler_handles_comes_back_with_the_reason",
        || {
            let (send, receive) = mpsc::channel();
            let started = Server::start(move |exception: Exception<'_>| {
                let limit = Timeout::After(Duration::from_millis(20));
                match exception.try_forward(limit) {
                    Ok(answered) => answered,
                    Err(refused) => {
                        said_once(&refused);
                        send.send(refused.reason).expect("the test listens");
                        skip(refused.exception)
                    }
                }
            })
            .expect("a server");
            let declining = Server::start(|exception| exception.decline()).expect("a server");
            let handling = Server::start(skip).expect("a server");
            let silent = ReceiveRight::new().expect("a port");
            let silent_send = silent.make_send().expect("a send right");
            let server = &started;
            on_a_thread(move |thread| {
                let target = Target::Thread(thread);
                let fault = || {
                    let route = server.route(target, &ROUTING).expect("a route");
                    undefined();
                    route.close().expect("a live thread")
                };
                let reason = || receive.try_recv().expect("a reason");
                let _ = fault();
                assert_eq!(reason(), ForwardError::NoHandler);
                {
                    let _own = server.route(target, &ROUTING).expect("a route");
                    let _ = fault();
                    assert_eq!(reason(), ForwardError::OwnPort);
                }
                {
                    let _other = declining.route(target, &ROUTING).expect("a route");
                    let _ = fault();
                    assert_eq!(reason(), ForwardError::Declined(KernError::FAILURE));
                }
                {
                    let protected = Routing::new(UNDEFINED, Delivery::identity_protected());
                    let _other = handling.route(target, &protected).expect("a route");
                    let _ = fault();
                    let behavior: Behavior = protected_behavior();
                    assert_eq!(reason(), ForwardError::Behavior(behavior));
                }
                {
                    let delivery = Delivery::THREAD;
                    let _silent = Installation::install(target, UNDEFINED, &silent_send, delivery)
                        .expect("a live thread");
                    let _ = fault();
                    assert_eq!(reason(), ForwardError::TimedOut);
                }
                let _other = handling.route(target, &ROUTING).expect("a route");
                let _ = fault();
                assert!(receive.try_recv().is_err());
            });
            let stats = started.shutdown();
            assert_eq!((stats.resumed, stats.forwarded, stats.panicked), (5, 1, 0));
            drop(silent);
        },
    );
}

fn protected_behavior() -> Behavior {
    Delivery::identity_protected().behavior()
}

/// A handler with its own state.
#[derive(Default)]
struct Counting(AtomicU64);

impl Handler for Counting {
    fn handle(&self, exception: Exception<'_>) -> Answered {
        self.0.fetch_add(1, Ordering::Relaxed);
        skip(exception)
    }
}

#[test]
fn a_handler_is_shared_or_boxed() {
    let counting = Arc::new(Counting::default());
    let shared: Arc<dyn Handler> = counting.clone();
    let boxed: Box<dyn Handler> = Box::new(Arc::clone(&counting));
    let servers = [
        Server::start_handler(Arc::clone(&counting)),
        Server::start_handler(shared),
        Server::start_handler(boxed),
        Server::builder().start_handler(Counting::default()),
    ];
    for server in servers {
        let server = server.expect("a server");
        faults_on_a_thread(&server, &ROUTING, 2);
        assert_eq!(server.shutdown().resumed, 2);
    }
    assert_eq!(counting.0.load(Ordering::Relaxed), 6);
}

#[test]
fn a_refusal_is_turned_into_its_reason() {
    let port = ReceiveRight::new().expect("a port");
    let receiver = Receiver::from_port(&port);
    let reason = |exception: Exception<'_>| -> Result<Answered, DeferError> {
        let (answered, _) = exception.defer(Timeout::Never)?;
        Ok(answered)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let state = NativeState::default();
            let about = request(Routine::MachExceptionRaiseState, &state);
            // The exception is dropped with the refusal, which declines it.
            assert_eq!(raise(port.name(), about).code, KernReturn::FAILURE);
        });
        let mut buffer = MessageBuffer::new();
        let exception = receiver
            .receive(&mut buffer, Timeout::Never)
            .expect("an exception");
        assert_eq!(reason(exception).err(), Some(DeferError::NoTable));
    });
    assert_ne!(system::task_self(), 0);
}

/// With `ulimit -v 150000` the chain of sources ends with the failed reservation and the host's error. Not for an emulator, which needs
/// address space itself.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_server_that_finds_no_address_space_says_which_reservation_failed() {
    isolated(
        "a_server_that_finds_no_address_space_says_which_reservation_failed",
        || {
            let limit = libc::rlimit {
                rlim_cur: 150_000 << 10,
                rlim_max: 150_000 << 10,
            };
            // SAFETY: the limit is a local variable, and the process the test's own.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
            let started = Server::start(|exception| exception.decline());
            let Err(error) = started else {
                panic!("there is not so much address space");
            };
            let mut chain = vec![error.to_string()];
            let mut next = error.source();
            while let Some(error) = next {
                chain.push(error.to_string());
                next = error.source();
            }
            assert_eq!(chain[0], "starting the emulated kernel");
            assert!(
                chain[1].contains("could not be reserved for the"),
                "{chain:?}"
            );
            assert_eq!(chain.len(), 3, "{chain:?}");
        },
    );
}
