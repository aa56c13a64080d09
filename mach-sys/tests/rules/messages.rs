//! Rights in messages, sending and receiving (C7, C10–C12).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel;
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE,
    MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE,
    MACH_RCV_INTERRUPT, MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_SEND_MSG, MACH_SEND_TIMEOUT,
};
use mach_sys::port::{
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_SEND, MACH_PORT_TYPE_RECEIVE, MACH_PORT_TYPE_SEND,
    MACH_PORT_TYPE_SEND_ONCE, MACH_PORT_TYPE_SEND_RECEIVE,
};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const MAKE: u32 = MACH_MSG_TYPE_MAKE_SEND;

/// Fills a port's queue, and returns how many messages that took.
fn fill(port: Port) -> u32 {
    let mut count = 0;
    while Message::to(port, MAKE, count).send().is_ok() {
        count += 1;
    }
    count
}

#[test]
fn c7_1b_two_moves_of_one_name_need_two_references() {
    let to_itself = |name| {
        Message::to(name, MACH_MSG_TYPE_MOVE_SEND, 1)
            .with_reply(name, MACH_MSG_TYPE_MOVE_SEND)
            .send()
    };
    let name = port();
    assert_eq!(to_itself(name), Err(KernReturn::SEND_INVALID_DEST));
    assert_eq!(sends(name), 1, "nothing changes");
    for references in [2, 3] {
        let delta = references - sends(name) as i32;
        assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, delta), Ok(()));
        assert_eq!(to_itself(name), Ok(()));
        let left = u32::from(references == 3);
        assert_eq!(sends(name), left, "of {references}");
        assert_eq!(receive(name).remote(), name);
        assert_eq!(sends(name), left + 1);
    }
}

#[test]
fn c7_2_moves_and_copies_of_saturated_counts_and_dead_names() {
    let (name, to) = (port(), receive_right());
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, 65_534), Ok(()));
    for disposition in [MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MOVE_SEND] {
        let letter = Message::to(to, MAKE, 1).with_right(name, disposition);
        assert_eq!(letter.send(), Ok(()));
        assert_eq!(sends(name), 65_535, "{disposition}");
        assert_eq!(receive(to).descriptor(0).0, name);
        assert_eq!(sends(name), 65_535, "{disposition}: absorbed");
    }
    let dead = allocate(MACH_PORT_RIGHT_DEAD_NAME);
    assert_eq!(mod_refs(dead, MACH_PORT_RIGHT_DEAD_NAME, 1), Ok(()));
    for (disposition, left) in [(MACH_MSG_TYPE_COPY_SEND, 2), (MACH_MSG_TYPE_MOVE_SEND, 1)] {
        let letter = Message::to(to, MAKE, 1).with_right(dead, disposition);
        assert_eq!(letter.send(), Ok(()));
        assert_eq!(receive(to).descriptor(0).0, DEAD);
        assert_eq!(
            refs(dead, MACH_PORT_RIGHT_DEAD_NAME),
            Ok(left),
            "{disposition}"
        );
    }
}

#[test]
fn c7_3_a_right_that_arrives_joins_the_name_that_its_port_has() {
    let (carried, to) = (port(), receive_right());
    let letter = |right, disposition| Message::to(to, MAKE, 1).with_right(right, disposition);
    // The receive right finds the send right's name.
    assert_eq!(letter(carried, MACH_MSG_TYPE_MOVE_RECEIVE).send(), Ok(()));
    assert_eq!(kind(carried), Ok(MACH_PORT_TYPE_SEND));
    assert_eq!(receive(to).descriptor(0), (carried, 16));
    assert_eq!(kind(carried), Ok(MACH_PORT_TYPE_SEND_RECEIVE));
    // Without one it has a new name.
    let alone = receive_right();
    assert_eq!(letter(alone, MACH_MSG_TYPE_MOVE_RECEIVE).send(), Ok(()));
    assert_eq!(kind(alone), Err(KernReturn::INVALID_NAME));
    let (arrived, _) = receive(to).descriptor(0);
    assert_eq!(kind(arrived), Ok(MACH_PORT_TYPE_RECEIVE));
    // A send-once right always has one, and nothing is nothing.
    let once = send_once(carried);
    assert_eq!(letter(once, MACH_MSG_TYPE_MOVE_SEND_ONCE).send(), Ok(()));
    let (arrived, disposition) = receive(to).descriptor(0);
    assert_eq!(
        (kind(arrived), disposition),
        (Ok(MACH_PORT_TYPE_SEND_ONCE), 18)
    );
    assert!(arrived != carried && arrived != to);
    for nothing in [NULL, DEAD] {
        assert_eq!(letter(nothing, MACH_MSG_TYPE_COPY_SEND).send(), Ok(()));
        assert_eq!(receive(to).descriptor(0).0, nothing);
    }
}

#[test]
fn c10_6_a_port_that_dies_under_a_blocked_sender_is_a_success() {
    let (full, reply) = (port(), receive_right());
    let filled = fill(full);
    let (says, blocked) = channel();
    let sender = std::thread::spawn(move || {
        let mut message = Message::to(full, MACH_MSG_TYPE_COPY_SEND, 9)
            .with_reply(reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
        says.send(()).expect("the test listens");
        message.exchange(MACH_SEND_MSG, NULL, 0, 0)
    });
    blocked.recv().expect("the sender says so");
    test_support::wait::wait_for("the sender to block", || status(reply)[5] == 1);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(status(full)[4], filled as i32, "it found no room");
    destroy_port(full);
    assert_eq!(sender.join().expect("it ended"), Ok(()));
    assert_eq!(
        receive(reply).id(),
        71,
        "the message and its reply right are gone"
    );
}

#[test]
fn c10_8_a_port_of_the_own_space_gets_its_messages_in_order() {
    let name = port();
    for round in 0..10 {
        for id in 0..5 {
            let message = Message::to(name, MACH_MSG_TYPE_COPY_SEND, 5 * round + id);
            assert_eq!(message.send(), Ok(()));
        }
        for id in 0..5 {
            let got = receive(name);
            assert_eq!((got.id(), got.local()), (5 * round + id, name));
        }
    }
}

#[test]
fn c10_9_what_cannot_be_sent_receives_nothing() {
    let (full, other) = (port(), port());
    fill(full);
    assert_eq!(
        Message::to(other, MACH_MSG_TYPE_COPY_SEND, 7).send(),
        Ok(())
    );
    let both = MACH_SEND_MSG | MACH_RCV_MSG | MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT;
    for (what, to, disposition, expected) in [
        (
            "no room",
            full,
            MACH_MSG_TYPE_COPY_SEND,
            KernReturn::SEND_TIMED_OUT,
        ),
        (
            "no destination",
            absent(),
            MACH_MSG_TYPE_COPY_SEND,
            KernReturn::SEND_INVALID_DEST,
        ),
        ("no disposition", full, 0, KernReturn::SEND_INVALID_HEADER),
    ] {
        let mut message = Message::to(to, disposition, 8);
        assert_eq!(
            message.exchange(both, other, 8192, 0),
            Err(expected),
            "{what}"
        );
        assert_eq!(status(other)[4], 1, "{what}: the message is there still");
    }
    let mut message = Message::to(other, MACH_MSG_TYPE_COPY_SEND, 8);
    assert_eq!(message.exchange(both, other, 8192, 0), Ok(()));
    assert_eq!(message.id(), 7, "sent, then received");
}

#[test]
fn c11_2_a_timeout_counts_only_if_it_is_asked_for() {
    let name = port();
    assert_eq!(receive_now(name).err(), Some(KernReturn::RCV_TIMED_OUT));
    let started = Instant::now();
    let mut message = Message::empty();
    let outcome = message.exchange(MACH_RCV_MSG | MACH_RCV_TIMEOUT, name, 8192, 60);
    assert_eq!(outcome, Err(KernReturn::RCV_TIMED_OUT));
    assert!(started.elapsed() >= Duration::from_millis(60));
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        Message::to(name, MACH_MSG_TYPE_COPY_SEND, 3).send()
    });
    // A timeout of 1 that is not asked for.
    assert_eq!(message.exchange(MACH_RCV_MSG, name, 8192, 1), Ok(()));
    assert_eq!(message.id(), 3);
    assert_eq!(sender.join().expect("it ended"), Ok(()));
}

extern "C" fn nothing(_: i32) {}

isolated! {
    fn c11_4_an_interrupted_receive_waits_again_unless_it_asks_to_be_told() {
        // SAFETY: a handler that does nothing; the process is the test's own. Zero is a valid sigaction.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, core::ptr::null_mut()), 0);
        }
        let name = port();
        // Receives with these options on a thread that gets a signal after 200 ms; the outcome, and how long it took.
        let interrupted = |options: i32, timeout: u32| {
            let (says, thread) = channel();
            let receiver = std::thread::spawn(move || {
                // SAFETY: no arguments.
                says.send(unsafe { libc::pthread_self() } as usize).expect("the test listens");
                let started = Instant::now();
                let mut message = Message::empty();
                let outcome = message.exchange(MACH_RCV_MSG | options, name, 8192, timeout);
                (outcome.map(|()| message.id()), started.elapsed())
            });
            let thread = thread.recv().expect("the thread's name");
            loop {
                std::thread::sleep(Duration::from_millis(200));
                // SAFETY: the thread is not joined yet.
                assert_eq!(unsafe { libc::pthread_kill(thread as libc::pthread_t, libc::SIGUSR1) }, 0);
                // A thread that is late gets another one.
                if options & MACH_RCV_INTERRUPT == 0 || receiver.is_finished() {
                    break;
                }
            }
            if options & MACH_RCV_TIMEOUT == 0 && options & MACH_RCV_INTERRUPT == 0 {
                std::thread::sleep(Duration::from_millis(100));
                assert_eq!(Message::to(name, MACH_MSG_TYPE_COPY_SEND, 4).send(), Ok(()));
            }
            receiver.join().expect("it ended")
        };
        let (told, _) = interrupted(MACH_RCV_INTERRUPT, 0);
        assert_eq!(told, Err(KernReturn::RCV_INTERRUPTED));
        let (waited, _) = interrupted(0, 0);
        assert_eq!(waited, Ok(4));
        // The signal comes before the receive where the thread is late.
        let waits_again = (0..20).any(|_| {
            let (out, took) = interrupted(MACH_RCV_TIMEOUT, 300);
            assert_eq!(out, Err(KernReturn::RCV_TIMED_OUT));
            took >= Duration::from_millis(490)
        });
        assert!(waits_again, "with the full timeout again");
    }
}

#[test]
fn c11_7_a_send_right_as_reply_joins_its_ports_name() {
    let to = receive_right();
    let (own, once) = (receive_right(), receive_right());
    let letter = |reply, disposition| {
        let letter = Message::to(to, MAKE, 1).with_reply(reply, disposition);
        assert_eq!(letter.send(), Ok(()));
        receive(to)
    };
    // The owner's name gains a send right, then references.
    for count in 1..=3 {
        let got = letter(own, MAKE);
        assert_eq!((got.remote(), got.bits() & 0x1f), (own, 17));
        assert_eq!(kind(own), Ok(MACH_PORT_TYPE_SEND_RECEIVE));
        assert_eq!(sends(own), count);
    }
    let mut names = Vec::new();
    for _ in 0..3 {
        let got = letter(once, MACH_MSG_TYPE_MAKE_SEND_ONCE);
        assert_eq!(kind(got.remote()), Ok(MACH_PORT_TYPE_SEND_ONCE));
        assert!(!names.contains(&got.remote()), "a name of its own");
        names.push(got.remote());
    }
    assert_eq!(kind(once), Ok(MACH_PORT_TYPE_RECEIVE));
}

/// C12.1: what mach_msg_destroy does with each right of a message, and that it never touches the local port.
#[test]
fn c12_1_mach_msg_destroy_releases_what_a_message_carries() {
    let destroy = |message: &Message| {
        let mut message = message.clone();
        // SAFETY: the message lies in a buffer larger than it.
        unsafe { kernel::mach_msg_destroy(message.words.as_mut_ptr().cast()) };
    };
    let sized = |mut message: Message| {
        message.words[1] = message.size as u32;
        message
    };
    // As received: the reply right, and each descriptor's; the local port stays.
    let (to, carried, reply) = (port(), receive_right(), receive_right());
    let letter = Message::to(to, MACH_MSG_TYPE_COPY_SEND, 1)
        .with_reply(reply, MACH_MSG_TYPE_MAKE_SEND_ONCE)
        .with_right(carried, MAKE)
        .with_right(receive_right(), MACH_MSG_TYPE_MOVE_RECEIVE);
    assert_eq!(letter.send(), Ok(()));
    let got = receive(to);
    let (moved, _) = got.descriptor(1);
    destroy(&got);
    assert_eq!(receive(reply).id(), 71);
    assert_eq!(sends(carried), 0);
    assert_eq!(kind(moved), Err(KernReturn::INVALID_NAME));
    assert_eq!((sends(to), kind(to)), (1, Ok(MACH_PORT_TYPE_SEND_RECEIVE)));
    // As it was to be sent.
    let name = port();
    for (what, disposition, left, made) in [
        ("COPY_SEND takes nothing", MACH_MSG_TYPE_COPY_SEND, 1, 1),
        ("MAKE_SEND makes one and releases it", MAKE, 1, 2),
        ("MOVE_SEND", MACH_MSG_TYPE_MOVE_SEND, 0, 2),
    ] {
        destroy(&sized(Message::empty().with_right(name, disposition)));
        assert_eq!((sends(name), status(name)[2]), (left, made), "{what}");
    }
    destroy(&sized(
        Message::empty().with_right(name, MACH_MSG_TYPE_MAKE_SEND_ONCE),
    ));
    assert_eq!(receive(name).id(), 71, "made, and destroyed unused");
}
