//! The server loops (C12).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::*;
use mach_sys::mig::{MACH_NOTIFY_SEND_ONCE, ReplyTo, mig_reply_error_t};
use mach_sys::pod::{self};
use mach_sys::rights::{ReceiveRight, Right};
use mach_sys::types::*;
use std::cell::Cell;
use test_support::isolated::isolated;

thread_local! {
    /// Number of calls of the demultiplexer, and its next answer: a return code.
    static CALLS: Cell<(u32, i32)> = const { Cell::new((0, 0)) };
}

/// Answers with the code that the test wants. Its result means nothing (C12.2).
unsafe extern "C" fn demux(
    request: *mut mach_msg_header_t,
    reply: *mut mach_msg_header_t,
) -> boolean_t {
    let (calls, code) = CALLS.get();
    CALLS.set((calls + 1, code));
    // SAFETY: the server's buffers: a request with a header, and room for a reply.
    unsafe {
        let header = request.read_unaligned();
        let mut answer = [0; 36];
        let written = ReplyTo::header(&header).encode_status(&mut answer, KernReturn::new(code));
        assert_eq!(written, Ok(36));
        let answer: mig_reply_error_t = pod::read(&answer).expect("a reply");
        reply.cast::<mig_reply_error_t>().write_unaligned(answer);
    }
    0
}

fn serve_once(port: &ReceiveRight, max_size: u32, options: i32) -> KernReturn {
    // SAFETY: the demultiplexer writes 36 bytes.
    kr(unsafe { kernel::mach_msg_server_once(demux, max_size, port.name().raw(), options) })
}

#[test]
fn c12_2_a_server_answers_once_by_the_return_code() {
    isolated(
        "server::c12_2_a_server_answers_once_by_the_return_code",
        || {
            let (port, reply, carried) = (port(), port(), port());
            let ask = || {
                let mut message = Message::to(port.name().raw(), SEND)
                    .reply(reply.name().raw(), ONCE)
                    .port(carried.name().raw(), SEND);
                assert_eq!(message.send(), KernReturn::SUCCESS);
            };
            for (code, answered, kept) in [(0, true, 1), (5, true, 0), (-305, false, 1)] {
                CALLS.set((0, code));
                ask();
                assert_eq!(serve_once(&port, 100, 0), KernReturn::SUCCESS, "{code}");
                assert_eq!(CALLS.get().0, 1);
                assert_eq!(
                    send_references(&carried),
                    kept,
                    "{code}: the request's right"
                );
                (0..kept).for_each(|_| deallocate(carried.name().raw()));
                if answered {
                    let answer = Received::from(&reply);
                    assert_eq!((answer.header().msgh_id, answer.0[8]), (177, code as u32));
                } else {
                    // The reply right stays with the demultiplexer.
                    assert_eq!(
                        error_of(reply.name().raw(), 4096, 0),
                        KernReturn::RCV_TIMED_OUT
                    );
                }
            }
            // A client that is gone is no error.
            CALLS.set((0, 0));
            let dying = self::port();
            let mut message = Message::to(port.name().raw(), SEND).reply(dying.name().raw(), ONCE);
            assert_eq!(message.send(), KernReturn::SUCCESS);
            drop(dying);
            assert_eq!(serve_once(&port, 100, 0), KernReturn::SUCCESS);
        },
    );
}

#[test]
fn c12_2a_a_larger_request_ends_the_server_unless_it_may_grow() {
    isolated(
        "server::c12_2a_a_larger_request_ends_the_server_unless_it_may_grow",
        || {
            let (port, reply) = (port(), port());
            let ask = |bytes| {
                let mut message = Message::to(port.name().raw(), SEND)
                    .reply(reply.name().raw(), ONCE)
                    .body(bytes);
                assert_eq!(message.send(), KernReturn::SUCCESS);
            };
            CALLS.set((0, 0));
            ask(100);
            assert_eq!(serve_once(&port, 100, 0), KernReturn::RCV_TOO_LARGE);
            assert_eq!(
                Received::from(&reply).header().msgh_id,
                MACH_NOTIFY_SEND_ONCE
            );
            ask(100_000);
            assert_eq!(serve_once(&port, 100, MACH_RCV_LARGE), KernReturn::SUCCESS);
            assert_eq!(Received::from(&reply).header().msgh_id, 177);
            assert_eq!(CALLS.get().0, 1);
            // The loop serves what is queued, and ends with the error of a request that is too large.
            for bytes in [0, 8, 16, 1000] {
                ask(bytes);
            }
            // SAFETY: the demultiplexer writes 36 bytes.
            let ended = kr(unsafe { kernel::mach_msg_server(demux, 100, port.name().raw(), 0) });
            assert_eq!((ended, CALLS.get().0), (KernReturn::RCV_TOO_LARGE, 4));
            let ids = [177, 177, 177, MACH_NOTIFY_SEND_ONCE];
            for id in ids {
                assert_eq!(Received::from(&reply).header().msgh_id, id);
            }
        },
    );
}

#[test]
fn c12_2_a_full_reply_queue_does_not_stop_the_server() {
    isolated(
        "server::c12_2_a_full_reply_queue_does_not_stop_the_server",
        || {
            let (port, reply) = (port(), port());
            CALLS.set((0, 0));
            let before = {
                // SAFETY: names of this test's.
                let code = unsafe {
                    let name = reply.name().raw();
                    kernel::mach_port_insert_right(task_self(), name, name, SEND)
                };
                assert_eq!(kr(code), KernReturn::SUCCESS);
                send_references(&reply)
            };
            for _ in 0..5 {
                let mut message = Message::to(reply.name().raw(), MACH_MSG_TYPE_COPY_SEND);
                assert_eq!(message.send(), KernReturn::SUCCESS);
            }
            let mut message = Message::to(port.name().raw(), SEND)
                .reply(reply.name().raw(), MACH_MSG_TYPE_COPY_SEND);
            assert_eq!(message.send(), KernReturn::SUCCESS);
            let mut too_large = Message::to(port.name().raw(), SEND).body(1000);
            assert_eq!(too_large.send(), KernReturn::SUCCESS);
            // SAFETY: the demultiplexer writes 36 bytes.
            let ended = kr(unsafe { kernel::mach_msg_server(demux, 100, port.name().raw(), 0) });
            assert_eq!((ended, CALLS.get().0), (KernReturn::RCV_TOO_LARGE, 1));
            assert_eq!(
                send_references(&reply),
                before,
                "the reply that was not sent is released"
            );
        },
    );
}
