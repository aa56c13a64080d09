//! The raising client: what its requests carry, how their replies are judged, and that no path leaves a right behind.
#![allow(unsafe_code)]

use core::time::Duration;
use mach_sys::exception::ExceptionType;
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{
    Disposition, MACH_MSGH_BITS, MACH_MSGH_BITS_COMPLEX, MACH_RCV_MSG, MACH_SEND_MSG,
    MACH_SEND_TIMEOUT, mach_msg_base_t, mach_msg_body_t, mach_msg_header_t,
    mach_msg_port_descriptor_t,
};
use mach_sys::mig::{
    self, Accept, EncodeError, Identity, REPLY_SIZE_MAX, ReplyError, ReplyTo, Request, Routine,
};
use mach_sys::pod::{self, Pod};
use mach_sys::raise::{self, RaiseError, State};
use mach_sys::rights::{
    Borrowed, Census, Change, Name, ReceiveRight, Right, SendRight, TaskRight, ThreadRight,
};
use mach_sys::types::{mach_port_name_t, natural_t};
use std::sync::mpsc::channel;
use test_support::isolated::isolated;
use test_support::wait::wait_for;

const LONG: Option<Duration> = Some(Duration::from_secs(60));
const SHORT: Option<Duration> = Some(Duration::from_millis(20));

/// Words of a buffer for any request.
const WORDS: usize = 2048;

/// Receives one message.
fn receive(port: &ReceiveRight, buffer: &mut [u32; WORDS]) -> KernReturn {
    // SAFETY: the buffer has the size that is passed.
    KernReturn::new(unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_RCV_MSG,
            0,
            size_of_val(buffer) as u32,
            port.name().raw(),
            0,
            0,
        )
    })
}

/// Sends a message.
fn send(message: &mut [u8], option: i32) -> KernReturn {
    // SAFETY: the buffer has the size that is passed.
    KernReturn::new(unsafe {
        kernel::mach_msg(
            message.as_mut_ptr().cast(),
            MACH_SEND_MSG | option,
            message.len() as u32,
            0,
            0,
            0,
            0,
        )
    })
}

/// Releases the rights of a received request, but the reply right, which has left with the reply.
fn release(request: &mut [u32; WORDS]) {
    request[2] = 0;
    // SAFETY: the message was received, and nothing else owns its rights.
    unsafe { kernel::mach_msg_destroy(request.as_mut_ptr().cast()) };
}

/// Serves one request on a thread of its own while `client` runs. `answer` gets the request and returns the reply, or nothing if it
/// has used the reply right up otherwise.
fn with_server<R>(
    answer: impl FnOnce(&mut [u32; WORDS]) -> Option<Vec<u8>> + Send,
    client: impl FnOnce(&SendRight) -> R,
) -> R {
    let port = ReceiveRight::new().expect("a port");
    let handler = port.make_send().expect("a send right");
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut request = [0; WORDS];
            assert_eq!(receive(&port, &mut request), KernReturn::SUCCESS);
            let Some(mut reply) = answer(&mut request) else {
                return;
            };
            assert_eq!(send(&mut reply, 0), KernReturn::SUCCESS);
            release(&mut request);
        });
        let outcome = client(&handler);
        server.join().expect("the server");
        outcome
    })
}

fn thread() -> ThreadRight {
    ThreadRight::current().expect("the own thread")
}

fn raise(port: &SendRight, limit: Option<Duration>) -> Result<(), RaiseError> {
    let task = Borrowed::current_task();
    raise::mach_exception_raise(
        port,
        &thread(),
        &task,
        ExceptionType::BAD_ACCESS,
        &[1, 2],
        limit,
    )
}

fn raise_state(port: &SendRight, new: &mut [natural_t]) -> Result<usize, RaiseError> {
    let old = State {
        flavor: 4,
        words: &[7; 3],
    };
    let exception = ExceptionType::BAD_ACCESS;
    raise::mach_exception_raise_state(port, exception, &[1, 2], old, new, LONG)
        .map(|state| state.words.len())
}

/// Runs a body in a process of its own, and compares the census after its first run with that after four more. A thread of the first run
/// may still be there in the first census, so that there may be less in the second, but four leaks are more than such a thread.
fn leaves_nothing(name: &str, body: impl Fn()) {
    isolated(name, || {
        body();
        let before = Census::take().expect("a census");
        (0..4).for_each(|_| body());
        wait_for("a census without anything more", || {
            let now = Census::take().expect("a census");
            let more = |change: Change| change.names > 0 || change.references > 0;
            !now.since(&before).changes().any(|(_, change)| more(change))
        });
    });
}

/// A request as a server saw it.
#[derive(Debug, PartialEq)]
struct Seen {
    routine: Routine,
    identity: Identity,
    codes: Vec<i64>,
    flavor: Option<i32>,
    state: Vec<u32>,
}

impl Seen {
    fn of(request: &Request<'_>) -> Self {
        assert_eq!(request.exception(), ExceptionType::SOFTWARE);
        Self {
            routine: request.routine(),
            identity: request.identity(),
            codes: request.codes().to_vec(),
            flavor: request.flavor(),
            state: request.old_state().iter().collect(),
        }
    }
}

/// Raises by each routine, and returns what the client made of the reply and what the server saw.
fn exchange(
    routine: Routine,
    call: impl FnOnce(&SendRight) -> Result<(i32, Vec<u32>), RaiseError>,
) -> (Result<(i32, Vec<u32>), RaiseError>, Seen) {
    let (tell, seen) = channel();
    let outcome = with_server(
        move |bytes| {
            let request = mig::decode(pod::word_bytes(bytes), Accept::Both).expect("well-formed");
            tell.send(Seen::of(&request)).expect("a listener");
            let mut reply = vec![0; REPLY_SIZE_MAX];
            let to = ReplyTo::request(&request);
            let size = if routine.has_state() {
                to.encode_state(&mut reply, 5, &[9, 8, 7, 6]).expect("room")
            } else {
                to.encode_status(&mut reply, KernReturn::SUCCESS)
                    .expect("room")
            };
            reply.truncate(size);
            Some(reply)
        },
        call,
    );
    (outcome, seen.recv().expect("a request"))
}

#[test]
fn a3_1_a3_2_a3_3_each_routine_carries_what_its_behavior_says() {
    leaves_nothing(
        "a3_1_a3_2_a3_3_each_routine_carries_what_its_behavior_says",
        || {
            let thread = thread();
            let task = Borrowed::current_task();
            let identity = Identity::ThreadAndTask {
                thread: thread.name().raw(),
                task: task.name().raw(),
            };
            let kind = ExceptionType::SOFTWARE;
            let narrow: [i32; 2] = [-1, 0x7000_0000];
            let wide: [i64; 2] = [0x1_0000_0001, -7];
            let old = State {
                flavor: 4,
                words: &[1, 2, 3],
            };
            let none = |outcome: Result<(), RaiseError>| outcome.map(|()| (0, Vec::new()));
            let some = |state: State<'_>| (state.flavor, state.words.to_vec());
            type Call<'c> = &'c dyn Fn(&SendRight) -> Result<(i32, Vec<u32>), RaiseError>;
            let calls: [(Routine, bool, Call<'_>); 6] = [
                (Routine::ExceptionRaise, true, &|port| {
                    none(raise::exception_raise(
                        port, &thread, &task, kind, &narrow, LONG,
                    ))
                }),
                (Routine::ExceptionRaiseState, false, &|port| {
                    let new = &mut [0; 8];
                    raise::exception_raise_state(port, kind, &narrow, old, new, LONG).map(some)
                }),
                (Routine::ExceptionRaiseStateIdentity, true, &|port| {
                    let new = &mut [0; 8];
                    raise::exception_raise_state_identity(
                        port, &thread, &task, kind, &narrow, old, new, LONG,
                    )
                    .map(some)
                }),
                (Routine::MachExceptionRaise, true, &|port| {
                    none(raise::mach_exception_raise(
                        port, &thread, &task, kind, &wide, LONG,
                    ))
                }),
                (Routine::MachExceptionRaiseState, false, &|port| {
                    let new = &mut [0; 8];
                    raise::mach_exception_raise_state(port, kind, &wide, old, new, LONG).map(some)
                }),
                (Routine::MachExceptionRaiseStateIdentity, true, &|port| {
                    let new = &mut [0; 8];
                    raise::mach_exception_raise_state_identity(
                        port, &thread, &task, kind, &wide, old, new, LONG,
                    )
                    .map(some)
                }),
            ];
            for (routine, named, call) in calls {
                let (outcome, seen) = exchange(routine, call);
                let state = routine.has_state();
                let codes = match routine.code_size() {
                    4 => vec![-1, 0x7000_0000],
                    _ => wide.to_vec(),
                };
                let wanted = Seen {
                    routine,
                    identity: if named { identity } else { Identity::None },
                    codes,
                    flavor: state.then_some(4),
                    state: if state { vec![1, 2, 3] } else { Vec::new() },
                };
                assert_eq!(seen, wanted);
                let new = if state {
                    (5, vec![9, 8, 7, 6])
                } else {
                    (0, Vec::new())
                };
                assert_eq!(outcome, Ok(new), "{routine}");
            }
        },
    );
}

/// A reply to the request in the buffer, with the given size and return code, behind a well-formed header.
fn reply(request: &[u32; WORDS], size: usize, code: i32) -> Vec<u8> {
    let header: mach_msg_header_t = pod::read(pod::word_bytes(request)).expect("a header");
    let mut bytes = vec![0; size.max(36)];
    let written = ReplyTo::header(&header).encode_status(&mut bytes, KernReturn::new(code));
    assert_eq!(written.map(|written| written.min(size)), Ok(size.min(36)));
    bytes.truncate(size);
    bytes
}

/// Changes the header of a message.
fn edit(mut message: Vec<u8>, change: impl FnOnce(&mut mach_msg_header_t)) -> Vec<u8> {
    let mut header: mach_msg_header_t = pod::read(&message).expect("a header");
    change(&mut header);
    put(&mut message, 0, &header);
    message
}

fn put(message: &mut [u8], at: usize, value: &impl Pod) {
    let bytes = pod::bytes_of(value);
    message[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A complex message with one port descriptor, of which a right is made from `port`.
fn with_a_right(reply: Vec<u8>, port: &ReceiveRight) -> Vec<u8> {
    let mut message = edit(reply, |header| header.msgh_bits |= MACH_MSGH_BITS_COMPLEX);
    message.resize(40, 0);
    put(
        &mut message,
        24,
        &mach_msg_body_t {
            msgh_descriptor_count: 1,
        },
    );
    let right = mach_msg_port_descriptor_t::new(port.name().raw(), Disposition::MAKE_SEND);
    put(&mut message, size_of::<mach_msg_base_t>(), &right);
    message
}

#[test]
fn a6_12_replies_are_judged_as_the_kernel_judges_them() {
    type Make = fn(&[u32; WORDS], &ReceiveRight) -> Vec<u8>;
    let replies: &[(&str, Make, Result<(), ReplyError>)] = &[
        ("A6.4 handled", |request, _| reply(request, 36, 0), Ok(())),
        (
            "A6.5 an error",
            |request, _| reply(request, 36, 5),
            Err(ReplyError::Refused(KernError::FAILURE)),
        ),
        (
            "A6.5 a receiver's error",
            |request, _| reply(request, 36, 0x1000_4009),
            Err(ReplyError::Refused(KernError::RCV_PORT_DIED)),
        ),
        (
            "A6.1 another id",
            |request, _| edit(reply(request, 36, 0), |header| header.msgh_id += 1),
            Err(ReplyError::Id {
                found: 2506,
                wanted: 2505,
            }),
        ),
        (
            "A6.1 the id of a send-once notification",
            |request, _| edit(reply(request, 24, 0), |header| header.msgh_id = 71),
            Err(ReplyError::ServerDied),
        ),
        (
            "A6.4 without a return code",
            |request, _| reply(request, 32, 0),
            Err(ReplyError::Size { found: 32 }),
        ),
        (
            "A6.4 with more than a return code",
            |request, _| reply(request, 40, 0),
            Err(ReplyError::Size { found: 40 }),
        ),
        (
            "A6.4 larger than the kernel's buffer",
            |request, _| reply(request, 48, 0),
            Err(ReplyError::TooLarge {
                found: 48,
                limit: 44,
            }),
        ),
        (
            "A6.2 complex",
            |request, _| {
                edit(reply(request, 36, 0), |header| {
                    header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
                })
            },
            Err(ReplyError::Complex),
        ),
        (
            "A6.2 a right in the body",
            |request, port| with_a_right(reply(request, 36, 0), port),
            Err(ReplyError::Complex),
        ),
        (
            "A6.2 a right in the body of a larger message",
            |request, port| {
                let mut message = with_a_right(reply(request, 36, 0), port);
                message.resize(5312, 0);
                message
            },
            Err(ReplyError::TooLarge {
                found: 5312,
                limit: 44,
            }),
        ),
    ];
    leaves_nothing("a6_12_replies_are_judged_as_the_kernel_judges_them", || {
        for (what, make, wanted) in replies {
            let port = ReceiveRight::new().expect("a port");
            let outcome = with_server(
                |request| Some(make(request, &port)),
                |handler| raise(handler, LONG),
            );
            let wanted = wanted.map_err(RaiseError::Reply);
            assert_eq!(outcome, wanted, "{what}");
        }
    });
}

#[test]
fn a6_3_a_reply_with_a_reply_port_is_refused() {
    leaves_nothing("a6_3_a_reply_with_a_reply_port_is_refused", || {
        let port = ReceiveRight::new().expect("a port");
        let outcome = with_server(
            |request| {
                Some(edit(reply(request, 36, 0), |header| {
                    header.msgh_local_port = port.name().raw();
                    header.msgh_bits = MACH_MSGH_BITS(18, 20);
                }))
            },
            |handler| raise(handler, LONG),
        );
        // The name is that of the port itself, which this task receives from.
        let refused = ReplyError::ReplyPort {
            port: port.name().raw(),
        };
        assert_eq!(outcome, Err(RaiseError::Reply(refused)));
        assert_eq!(refused.kern_return(), KernReturn::MIG_TYPE_ERROR);
    });
}

#[test]
fn a6_4_a_new_state_that_does_not_fit_is_an_error() {
    leaves_nothing("a6_4_a_new_state_that_does_not_fit_is_an_error", || {
        let four = |request: &mut [u32; WORDS]| {
            let header = pod::read(pod::word_bytes(request)).expect("a header");
            let mut message = vec![0; 60];
            let written = ReplyTo::header(&header).encode_state(&mut message, 4, &[1, 2, 3, 4]);
            assert_eq!(written, Ok(60));
            Some(message)
        };
        let mut room = [0; 4];
        assert_eq!(
            with_server(four, |port| raise_state(port, &mut room)),
            Ok(4)
        );
        assert_eq!(room, [1, 2, 3, 4]);
        let error = with_server(four, |port| raise_state(port, &mut room[..3]));
        assert_eq!(error, Err(RaiseError::NewState { found: 4, room: 3 }));
        let none = |request: &mut [u32; WORDS]| Some(reply(request, 36, 0));
        let error = with_server(none, |port| raise_state(port, &mut room));
        assert_eq!(
            error,
            Err(RaiseError::Reply(ReplyError::Size { found: 36 }))
        );
        let error = raise::mach_exception_raise_state(
            &ReceiveRight::new()
                .expect("a port")
                .make_send()
                .expect("a right"),
            ExceptionType::BAD_ACCESS,
            &[1, 2, 3],
            State {
                flavor: 4,
                words: &[],
            },
            &mut room,
            None,
        );
        let codes = EncodeError::CodeCount { found: 3 };
        assert_eq!(error, Err(RaiseError::Request(codes)));
    });
}

#[test]
fn a6_8_a_dropped_reply_right_ends_the_wait() {
    leaves_nothing("a6_8_a_dropped_reply_right_ends_the_wait", || {
        let outcome = with_server(
            |request| {
                // SAFETY: the message was received, and nothing else owns its rights.
                unsafe { kernel::mach_msg_destroy(request.as_mut_ptr().cast()) };
                None
            },
            |handler| raise(handler, None),
        );
        assert_eq!(outcome, Err(RaiseError::Reply(ReplyError::ServerDied)));
        // The port dies with the request in its queue.
        let port = ReceiveRight::new().expect("a port");
        let handler = port.make_send().expect("a send right");
        let outcome = std::thread::scope(|scope| {
            let client = scope.spawn(|| raise(&handler, None));
            let queued = || {
                let mut status = [0_i32; 10];
                let mut count = 10;
                // SAFETY: the array has the length that is passed.
                unsafe {
                    kernel::mach_port_get_attributes(
                        task_self(),
                        port.name().raw(),
                        2,
                        status.as_mut_ptr(),
                        &mut count,
                    )
                };
                status[4] == 1
            };
            wait_for("the request", queued);
            drop(port);
            client.join().expect("the client")
        });
        assert_eq!(outcome, Err(RaiseError::Reply(ReplyError::ServerDied)));
    });
}

#[test]
fn c10_2_a_dead_handler_is_a_send_error() {
    leaves_nothing("c10_2_a_dead_handler_is_a_send_error", || {
        let port = ReceiveRight::new().expect("a port");
        let handler = port.make_send().expect("a send right");
        drop(port);
        let error = RaiseError::Send(KernError::SEND_INVALID_DEST);
        assert_eq!(raise(&handler, None), Err(error));
        assert_eq!(error.kern_return(), KernReturn::SEND_INVALID_DEST);
    });
}

#[test]
fn c10_4_a_right_that_is_not_there_is_a_send_error() {
    leaves_nothing("c10_4_a_right_that_is_not_there_is_a_send_error", || {
        let port = ReceiveRight::new().expect("a port");
        let handler = port.make_send().expect("a send right");
        let absent = Name::new(0xdead03).expect("a name");
        // SAFETY: not kept: a name that denotes nothing is what this test is about, and it is only put into a message.
        let absent: Borrowed<'_, ThreadRight> = unsafe { Borrowed::from_name(absent) };
        let task: Borrowed<'_, TaskRight> = Borrowed::current_task();
        let outcome =
            raise::exception_raise(&handler, &absent, &task, ExceptionType::CRASH, &[], None);
        assert_eq!(
            outcome,
            Err(RaiseError::Send(KernError::SEND_INVALID_RIGHT))
        );
    });
}

/// Fills the port's queue, whose limit is 5.
fn fill(handler: &SendRight) {
    for _ in 0..5 {
        let header = mach_msg_header_t {
            msgh_bits: MACH_MSGH_BITS(19, 0),
            msgh_remote_port: handler.name().raw(),
            msgh_size: 24,
            ..mach_msg_header_t::default()
        };
        let mut message = pod::bytes_of(&header).to_vec();
        assert_eq!(send(&mut message, MACH_SEND_TIMEOUT), KernReturn::SUCCESS);
    }
}

#[test]
fn c10_7_a_request_that_is_given_back_is_released() {
    leaves_nothing("c10_7_a_request_that_is_given_back_is_released", || {
        let port = ReceiveRight::new().expect("a port");
        let handler = port.make_send().expect("a send right");
        fill(&handler);
        let before = handler.user_references();
        let error = RaiseError::Send(KernError::SEND_TIMED_OUT);
        assert_eq!(raise(&handler, SHORT), Err(error));
        assert_eq!(raise(&handler, Some(Duration::ZERO)), Err(error));
        assert_eq!(handler.user_references(), before);
    });
}

extern "C" fn nothing(_: libc::c_int) {}

#[test]
fn c10_5_an_interrupted_request_is_sent_again() {
    leaves_nothing("c10_5_an_interrupted_request_is_sent_again", || {
        // SAFETY: a handler that does nothing, which interrupts waits.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            assert_eq!(
                libc::sigaction(libc::SIGUSR1, &action, core::ptr::null_mut()),
                0
            );
        }
        let port = ReceiveRight::new().expect("a port");
        let handler = port.make_send().expect("a send right");
        fill(&handler);
        let before = handler.user_references().expect("alive");
        let (tell, client_thread) = channel();
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                // SAFETY: the own identifier.
                tell.send(unsafe { libc::pthread_self() } as usize)
                    .expect("a listener");
                raise(&handler, LONG)
            });
            let id = client_thread.recv().expect("a client") as libc::pthread_t;
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(2));
                // SAFETY: the thread waits, and is joined later.
                assert_eq!(unsafe { libc::pthread_kill(id, libc::SIGUSR1) }, 0);
            }
            let mut request = [0; WORDS];
            for _ in 0..5 {
                assert_eq!(receive(&port, &mut request), KernReturn::SUCCESS);
            }
            assert_eq!(receive(&port, &mut request), KernReturn::SUCCESS);
            let mut answer = reply(&request, 36, 0);
            assert_eq!(send(&mut answer, 0), KernReturn::SUCCESS);
            release(&mut request);
            assert_eq!(client.join().expect("the client"), Ok(()));
        });
        assert_eq!(handler.user_references(), Ok(before));
    });
}

#[test]
fn c11_2_a_late_reply_is_destroyed() {
    leaves_nothing("c11_2_a_late_reply_is_destroyed", || {
        let port = ReceiveRight::new().expect("a port");
        let handler = port.make_send().expect("a send right");
        let error = RaiseError::Receive(KernError::RCV_TIMED_OUT);
        assert_eq!(raise(&handler, SHORT), Err(error));
        let mut request = [0; WORDS];
        assert_eq!(receive(&port, &mut request), KernReturn::SUCCESS);
        let dead: mach_port_name_t = request[2];
        assert_eq!(
            dead,
            u32::MAX,
            "the reply port died before the request was received"
        );
        release(&mut request);
        // The request is received in time, and the reply comes late.
        let (replied, late) = channel::<()>();
        std::thread::scope(|scope| {
            let port = &port;
            let server = scope.spawn(move || {
                let mut request = [0; WORDS];
                assert_eq!(receive(port, &mut request), KernReturn::SUCCESS);
                late.recv().expect("a client");
                let mut answer = reply(&request, 36, 0);
                // The reply right's port died: the send is accepted, and vanishes (C10.2).
                assert_eq!(send(&mut answer, 0), KernReturn::SUCCESS);
                release(&mut request);
            });
            assert_eq!(raise(&handler, SHORT), Err(error));
            replied.send(()).expect("a server");
            server.join().expect("the server");
        });
    });
}
