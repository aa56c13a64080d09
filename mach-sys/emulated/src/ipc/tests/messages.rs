//! Sending and receiving (C10, C11).

use super::*;
use crate::ipc::request::{Ended, wait_for_reply};
use mach_wire::port::*;
use std::time::Duration;

#[test]
fn c11_6_a_received_header_is_the_senders_swapped() {
    let world = World::new();
    let (port, reply) = (world.port(), world.port());
    let message = Message::to(port, Disposition::MAKE_SEND, 99)
        .with_reply(reply, Disposition::MAKE_SEND_ONCE);
    world.send(&message).unwrap();
    let got = world.receive(port).unwrap();
    assert_eq!(got.bits(), 17 << 8 | 18);
    assert_eq!((got.words[1], got.local(), got.id()), (24, port, 99));
    assert_eq!(world.kind(got.remote()), Ok(MACH_PORT_TYPE_SEND_ONCE));
    // The trailer follows: type 0, 8 bytes.
    assert_eq!(got.words[6..8], [0, 8]);
    // Answering uses the right up.
    let answer = Message::to(got.remote(), Disposition::MOVE_SEND_ONCE, 199);
    world.send(&answer).unwrap();
    assert_eq!(world.kind(got.remote()), Err(KernReturn::INVALID_NAME));
    assert_eq!(world.receive(reply).unwrap().id(), 199);
}

#[test]
fn c11_9_the_trailer_has_what_was_asked_for() {
    let world = World::new();
    let port = world.port();
    let context = 0x1234_5678_9abc_def0_u64;
    world.set_context(port, context).unwrap();
    for (element, size) in [(0, 8), (1, 12), (2, 20), (3, 52), (4, 60), (7, 68)] {
        world
            .send(&Message::to(port, Disposition::MAKE_SEND, 5))
            .unwrap();
        let got = world.receive_with(port, element << 24, 512).unwrap();
        assert_eq!(got.words[7], size, "{element}");
        if size >= 12 {
            assert_eq!(got.words[8], element.min(5) as u32, "deliveries so far");
        }
        if size >= 60 {
            let low = u64::from(got.words[6 + 13]);
            let high = u64::from(got.words[6 + 14]);
            assert_eq!(high << 32 | low, context);
        }
    }
}

#[test]
fn c10_1_what_is_no_message_is_refused_before_a_right_is_touched() {
    let world = World::new();
    let port = world.port();
    world.make_send(port);
    let good = || Message::to(port, Disposition::MOVE_SEND, 1);
    let mut short = good();
    short.size = 20;
    assert_eq!(world.send(&short), Err(KernReturn::SEND_MSG_TOO_SMALL));
    let mut odd = good();
    odd.size = 26;
    assert_eq!(world.send(&odd), Err(KernReturn::SEND_MSG_TOO_SMALL));
    let mut lying = good().with_right(port, Disposition::COPY_SEND);
    lying.words[6] = 2;
    assert_eq!(world.send(&lying), Err(KernReturn::SEND_MSG_TOO_SMALL));
    let mut foreign = good().with_right(port, Disposition::COPY_SEND);
    foreign.words[9] |= 9 << 24;
    assert_eq!(world.send(&foreign), Err(KernReturn::SEND_INVALID_TYPE));
    let mut named = good();
    named.words[3] = port.raw();
    assert_eq!(world.send(&named), Err(KernReturn::SEND_INVALID_HEADER));
    let none = Message::to(port, Disposition::PORT_NONE, 1);
    assert_eq!(world.send(&none), Err(KernReturn::SEND_INVALID_HEADER));
    assert_eq!(world.refs(port, PortRight::SEND), Ok(1));
}

#[test]
fn c10_2_destinations_and_replies_that_are_none() {
    let world = World::new();
    let (port, set) = (world.port(), world.set());
    let refused = Err(KernReturn::SEND_INVALID_DEST);
    for name in [Name::NULL, Name::DEAD, Name::new(0x7003), set] {
        let message = Message::to(name, Disposition::COPY_SEND, 1);
        assert_eq!(world.send(&message), refused, "{name:?}");
    }
    let message = Message::to(port, Disposition::COPY_SEND, 1);
    assert_eq!(world.send(&message), refused, "no send right");
    for reply in [Name::new(0x7003), set] {
        let message =
            Message::to(port, Disposition::MAKE_SEND, 1).with_reply(reply, Disposition::COPY_SEND);
        assert_eq!(world.send(&message), Err(KernReturn::SEND_INVALID_REPLY));
    }
    assert!(world.receive(port).is_err(), "nothing was queued");
}

#[test]
fn c10_2_a_late_answer_through_an_unconverted_send_once_right_vanishes() {
    let world = World::new();
    let port = world.port();
    let (late, looked_at) = (world.make_send_once(port), world.make_send_once(port));
    world.destroy_port(port);
    let answer = |name| Message::to(name, Disposition::MOVE_SEND_ONCE, 1);
    assert_eq!(world.send(&answer(late)), Ok(()));
    assert_eq!(world.kind(late), Err(KernReturn::INVALID_NAME));
    assert_eq!(world.kind(looked_at), Ok(MACH_PORT_TYPE_DEAD_NAME));
    assert_eq!(
        world.send(&answer(looked_at)),
        Err(KernReturn::SEND_INVALID_DEST)
    );
}

#[test]
fn c10_3_one_name_as_destination_and_reply() {
    let world = World::new();
    let port = world.port();
    let moves = Disposition::MOVE_SEND;
    let message = |to, answer| Message::to(port, to, 1).with_reply(port, answer);
    world.make_send(port);
    assert_eq!(
        world.send(&message(moves, moves)),
        Err(KernReturn::SEND_INVALID_DEST),
        "two references are needed"
    );
    assert_eq!(world.refs(port, PortRight::SEND), Ok(1));
    assert_eq!(world.send(&message(moves, Disposition::COPY_SEND)), Ok(()));
    assert_eq!(world.refs(port, PortRight::SEND), Ok(0), "one taken");
    let got = world.receive(port).unwrap();
    assert_eq!(got.remote(), port, "the reply right found its own name");
    assert_eq!(world.refs(port, PortRight::SEND), Ok(1));
}

#[test]
fn a7_2_received_rights_add_to_the_name_that_is_there() {
    let world = World::new();
    let (port, carried) = (world.port(), world.port());
    world.make_send(carried);
    let message = Message::to(port, Disposition::MAKE_SEND, 1)
        .with_right(carried, Disposition::COPY_SEND)
        .with_right(Name::NULL, Disposition::COPY_SEND)
        .with_right(Name::DEAD, Disposition::COPY_SEND);
    world.send(&message).unwrap();
    let got = world.receive(port).unwrap();
    assert_eq!(got.descriptor(0), (carried, Disposition::PORT_SEND));
    assert_eq!(got.descriptor(1).0, Name::NULL);
    assert_eq!(got.descriptor(2).0, Name::DEAD);
    assert_eq!(world.refs(carried, PortRight::SEND), Ok(2));
}

#[test]
fn c10_4_a_bad_right_in_the_body_destroys_what_was_taken() {
    let world = World::new();
    let (port, reply) = (world.port(), world.port());
    let message = Message::to(port, Disposition::MAKE_SEND, 1)
        .with_reply(reply, Disposition::MAKE_SEND_ONCE)
        .with_right(port, Disposition::MAKE_SEND)
        .with_right(Name::new(0x7003), Disposition::COPY_SEND);
    assert_eq!(world.send(&message), Err(KernReturn::SEND_INVALID_RIGHT));
    assert!(world.receive(port).is_err());
    assert_eq!(world.receive(reply).unwrap().id(), 71);
}

#[test]
fn a5_5_a_right_whose_port_died_in_the_queue_arrives_dead() {
    let world = World::new();
    let (port, carried) = (world.port(), world.port());
    let message = Message::to(port, Disposition::MAKE_SEND, 1)
        .with_reply(carried, Disposition::MAKE_SEND_ONCE)
        .with_right(carried, Disposition::MAKE_SEND);
    world.send(&message).unwrap();
    world.destroy_port(carried);
    let got = world.receive(port).unwrap();
    assert_eq!(got.remote(), Name::DEAD);
    assert_eq!(got.bits() & 0x1f, Disposition::PORT_SEND_ONCE.raw());
    assert_eq!(got.descriptor(0), (Name::DEAD, Disposition::PORT_SEND));
}

#[test]
fn c10_5_c10_7_a_full_queue_gives_the_message_back() {
    let world = World::new();
    let (port, reply) = (world.port(), world.port());
    world.make_send(port);
    for id in 0..5 {
        let message = Message::to(port, Disposition::COPY_SEND, id);
        world.send(&message).unwrap();
    }
    let message =
        Message::to(port, Disposition::COPY_SEND, 6).with_reply(reply, Disposition::MAKE_SEND_ONCE);
    assert_eq!(world.send(&message), Err(KernReturn::SEND_TIMED_OUT));
    // As if received, not swapped: one reference more, and a send-once right in place of the made one.
    assert_eq!(message.remote(), port);
    assert_eq!(world.refs(port, PortRight::SEND), Ok(2));
    assert_eq!(world.kind(message.local()), Ok(MACH_PORT_TYPE_SEND_ONCE));
    assert_eq!(message.bits(), 18 << 8 | 17);
    // A send-once right is never held up.
    let once = world.make_send_once(port);
    let message = Message::to(once, Disposition::MOVE_SEND_ONCE, 7);
    assert_eq!(world.send(&message), Ok(()));
}

#[test]
fn c11_5_a_message_too_large_for_the_buffer() {
    let world = World::new();
    let (port, reply) = (world.port(), world.port());
    let queue = || {
        let message = Message::to(port, Disposition::MAKE_SEND, 3)
            .with_reply(reply, Disposition::MAKE_SEND_ONCE);
        world.send(&message).unwrap();
    };
    queue();
    let mut small = Message::empty();
    let large = MACH_RCV_LARGE | MACH_RCV_LARGE_IDENTITY;
    let outcome = world.receive_into(&mut small, port, large, 31);
    assert_eq!(outcome, Err(KernReturn::RCV_TOO_LARGE));
    assert_eq!((small.words[1], small.local()), (24, port));
    assert_eq!(world.receive(port).unwrap().id(), 3, "it stayed queued");
    queue();
    let outcome = world.receive_into(&mut small, port, 0, 31);
    assert_eq!(outcome, Err(KernReturn::RCV_TOO_LARGE));
    assert_eq!(
        (small.words[1], small.remote(), small.id()),
        (24, Name::NULL, 3)
    );
    assert_eq!(world.receive(reply).unwrap().id(), 71, "destroyed");
    assert!(
        world.receive(port).is_err(),
        "the delivery used its own right up"
    );
    queue();
    let outcome = world.receive_into(&mut small, port, 0, 20);
    assert_eq!(outcome, Err(KernReturn::RCV_INVALID_DATA));
}

#[test]
fn c11_1_receiving_needs_a_receive_right_or_a_set() {
    let world = World::new();
    let port = world.port();
    let once = world.make_send_once(port);
    for name in [Name::NULL, Name::DEAD, Name::new(0x7003), once] {
        let refused = world.receive(name).unwrap_err();
        assert_eq!(refused, KernReturn::RCV_INVALID_NAME, "{name:?}");
    }
}

#[test]
fn c7_6_a_port_sent_to_itself_dies() {
    let world = World::new();
    let port = world.port();
    world.make_send(port);
    let message =
        Message::to(port, Disposition::COPY_SEND, 1).with_right(port, Disposition::MOVE_RECEIVE);
    assert_eq!(world.send(&message), Ok(()));
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_DEAD_NAME));
}

#[test]
fn c7_6_receive_rights_in_a_circle_of_any_length_die() {
    for length in 1..=4 {
        let world = World::new();
        let live = world.live();
        let ports: Vec<_> = (0..length).map(|_| world.port()).collect();
        for port in &ports {
            world.make_send(*port);
        }
        // Each port's receive right goes to the next port; the last one would close the circle.
        for (index, port) in ports.iter().enumerate() {
            let next = ports[(index + 1) % length];
            let message = Message::to(next, Disposition::COPY_SEND, 1)
                .with_right(*port, Disposition::MOVE_RECEIVE);
            assert_eq!(world.send(&message), Ok(()), "{length}");
        }
        for port in ports {
            assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_DEAD_NAME), "{length}");
            world.deallocate(port).expect("a dead name");
        }
        assert_eq!(world.live(), live, "{length}");
    }
}

#[test]
fn c7_6_a_chain_of_receive_rights_is_no_circle() {
    let world = World::new();
    let ports: Vec<_> = (0..4).map(|_| world.port()).collect();
    for pair in ports.windows(2) {
        let message = Message::to(pair[1], Disposition::MAKE_SEND, 1)
            .with_right(pair[0], Disposition::MOVE_RECEIVE);
        world.send(&message).expect("room in the queue");
    }
    // The rights come back one by one, and may go round the other way.
    let mut holder = ports[3];
    for _ in 0..3 {
        holder = world.receive(holder).expect("a message").descriptor(0).0;
        assert_eq!(world.kind(holder), Ok(MACH_PORT_TYPE_RECEIVE));
    }
    let message = Message::to(holder, Disposition::MAKE_SEND, 1)
        .with_right(ports[3], Disposition::MOVE_RECEIVE);
    world.send(&message).expect("room in the queue");
    let back = world.receive(holder).expect("a message").descriptor(0).0;
    assert_eq!(world.kind(back), Ok(MACH_PORT_TYPE_RECEIVE));
}

#[test]
fn a_call_by_message_to_a_kernel_object_is_answered_with_mig_bad_id() {
    let world = World::new();
    let reply = world.port();
    let message = Message::to(world.control, Disposition::COPY_SEND, 3402)
        .with_reply(reply, Disposition::MAKE_SEND_ONCE);
    world.send(&message).unwrap();
    let answer = world.receive(reply).unwrap();
    assert_eq!((answer.id(), answer.words[1]), (3502, 36));
    assert_eq!(answer.words[8] as i32, KernReturn::MIG_BAD_ID.raw());
}

#[test]
fn c11_3_a_waiting_receiver_learns_that_its_port_is_gone() {
    let world = World::new();
    let port = world.port();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| world.receive_waiting(port).map(|_| ()));
        std::thread::sleep(Duration::from_millis(20));
        world.destroy_port(port);
        let outcome = waiter.join().expect("the waiter ends");
        assert!(
            matches!(
                outcome,
                Err(KernReturn::RCV_PORT_CHANGED | KernReturn::RCV_INVALID_NAME)
            ),
            "{outcome:?}"
        );
    });
}

#[test]
fn c11_10_several_receivers_share_a_set_and_lose_nothing() {
    const MESSAGES: u32 = 4000;
    let world = World::new();
    let set = world.set();
    let port = world.port();
    world.make_send(port);
    world.join(port, set).unwrap();
    let sum: u64 = std::thread::scope(|scope| {
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut sum = 0_u64;
                    loop {
                        let message = world.receive_waiting(set).expect("a message");
                        if message.id() == 0 {
                            return sum;
                        }
                        sum += u64::from(message.id());
                    }
                })
            })
            .collect();
        for id in (1..=MESSAGES).chain([0, 0, 0]) {
            let message = Message::to(port, Disposition::COPY_SEND, id);
            world
                .send_with(&message, MessageOptions::empty())
                .expect("a place in the queue");
        }
        receivers
            .into_iter()
            .map(|receiver| receiver.join().expect("the receiver ends"))
            .sum()
    });
    assert_eq!(sum, u64::from(MESSAGES) * u64::from(MESSAGES + 1) / 2);
}

#[test]
fn a5_1_messages_that_nothing_receives_leave_room_for_the_kernels_and_their_replies() {
    let world = World::new();
    let limits = world.kernel.rules().limits;
    let (handler, reply_port) = (world.port(), {
        let made = world.ipc(crate::ipc::request::create_reply_port);
        made.expect("room")
    });
    // Fill the pool: five messages each.
    let mut queued = 0;
    while queued < limits.messages {
        let port = world.port();
        for _ in 0..5.min(limits.messages - queued) {
            let message = Message::to(port, Disposition::MAKE_SEND, 1);
            world.send(&message).expect("a buffer");
            queued += 1;
        }
    }
    let fresh = world.port();
    let refused = Message::to(fresh, Disposition::MAKE_SEND, 1);
    assert_eq!(world.send(&refused), Err(KernReturn::SEND_NO_BUFFER));
    assert_eq!(
        world.refs(fresh, PortRight::SEND),
        Ok(0),
        "nothing was taken"
    );
    // Notifications that nothing receives take all that they can have.
    let take = || world.kernel.pool().take_for_notice();
    let notices: Vec<_> = core::iter::from_fn(take).collect();
    assert_eq!(notices.len(), limits.reserved_messages as usize);
    // More requests, one after the other, than the reserve has buffers.
    for round in 0..2 * limits.reserved_messages {
        let receivers = world.ipc(|ipc| {
            let mut message = ipc.pool.take_reserved().expect("a buffer of the reserve");
            message.write(&mach_msg_header_t {
                msgh_size: 24,
                msgh_id: 2405,
                ..mach_msg_header_t::default()
            });
            let port = ipc.space(world.space).get(handler).and_then(|e| e.port());
            let held = [crate::ipc::kmsg::Right::Null; crate::ipc::reply::HELD];
            crate::ipc::request::send(ipc, port.expect("a port"), message, reply_port, held)
        });
        let request = world.receive(handler).expect("the request");
        assert_eq!(request.id(), 2405, "{round}");
        let reply = Message::to(request.remote(), Disposition::MOVE_SEND_ONCE, 2505);
        assert_eq!(world.send(&reply), Ok(()), "{round}");
        let held = world.kernel.lock_with_signals_blocked();
        let reply = wait_for_reply(&world.kernel, held, reply_port, receivers, |()| false);
        let Ended::Reply(reply) = reply else {
            panic!("a reply, not {reply:?}");
        };
        assert_eq!(reply.header().msgh_id, 2505, "{round}");
    }
    drop(notices);
    super::walk::assert_counts(&world, "after the replies");
}
