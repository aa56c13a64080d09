//! The judgement of replies, and replies that do not come (A6, C11.2).

use crate::support::*;
use mach_sys::exception::ExceptionType;
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{
    Disposition, MACH_MSGH_BITS, MACH_MSGH_BITS_COMPLEX, mach_msg_base_t, mach_msg_body_t,
    mach_msg_header_t, mach_msg_port_descriptor_t,
};
use mach_sys::mig::{EncodeError, ReplyError, ReplyTo};
use mach_sys::pod::{self};
use mach_sys::raise::{self, RaiseError, State};
use mach_sys::rights::{ReceiveRight, Right, SendRight};
use mach_sys::types::{mach_port_name_t, natural_t};
use std::sync::mpsc::channel;
use test_support::wait::wait_for;

fn raise_state(port: &SendRight, new: &mut [natural_t]) -> Result<usize, RaiseError> {
    let old = State {
        flavor: 4,
        words: &[7; 3],
    };
    let exception = ExceptionType::BAD_ACCESS;
    raise::mach_exception_raise_state(port, exception, &[1, 2], old, new, LONG)
        .map(|state| state.words.len())
}

/// Changes the header of a message.
fn edit(mut message: Vec<u8>, change: impl FnOnce(&mut mach_msg_header_t)) -> Vec<u8> {
    let mut header: mach_msg_header_t = pod::read(&message).expect("a header");
    change(&mut header);
    put(&mut message, 0, &header);
    message
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
    leaves_nothing(
        "replies::a6_12_replies_are_judged_as_the_kernel_judges_them",
        || {
            for (what, make, wanted) in replies {
                let port = ReceiveRight::new().expect("a port");
                let outcome = with_server(
                    |request| Some(make(request, &port)),
                    |handler| raise(handler, LONG),
                );
                let wanted = wanted.map_err(RaiseError::Reply);
                assert_eq!(outcome, wanted, "{what}");
            }
        },
    );
}

#[test]
fn a6_3_a_reply_with_a_reply_port_is_refused() {
    leaves_nothing("replies::a6_3_a_reply_with_a_reply_port_is_refused", || {
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
    leaves_nothing(
        "replies::a6_4_a_new_state_that_does_not_fit_is_an_error",
        || {
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
        },
    );
}

#[test]
fn a6_8_a_dropped_reply_right_ends_the_wait() {
    leaves_nothing("replies::a6_8_a_dropped_reply_right_ends_the_wait", || {
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
fn c11_2_a_late_reply_is_destroyed() {
    leaves_nothing("replies::c11_2_a_late_reply_is_destroyed", || {
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
