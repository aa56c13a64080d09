//! Send rights, send-once rights and make-send counts (C0.3, C6, C7), after each operation that makes, moves, copies or destroys a
//! right.

use super::walk::assert_counts;
use super::*;

/// Counts of a port: send rights, send-once rights, make-send count.
type Counts = (u32, u32, u32);

fn counts(world: &World, port: PortId) -> Counts {
    world.ipc(|ipc| {
        let port = ipc.port(port);
        (port.srights, port.sorights, port.mscount)
    })
}

/// The state that a step finds: the port under test, another port with a send right, and what an earlier step made or received.
struct Step<'w> {
    world: &'w World,
    port: Name,
    other: Name,
    kept: Name,
}

type Operation = fn(&Step<'_>) -> Name;

/// Runs a table of steps, each with the counts expected after it.
fn run(steps: &[(&str, Operation, Counts)]) {
    let world = World::new();
    let (port, other) = (world.port(), world.port());
    world.make_send(other);
    let object = world.port_behind(port);
    let mut kept = Name::NULL;
    assert_eq!(counts(&world, object), (0, 0, 0), "a new port (C2.1)");
    // Keeps the slot from becoming another port when this one dies.
    world.ipc(|ipc| ipc.retain_port(object));
    for (what, operation, expected) in steps {
        kept = operation(&Step {
            world: &world,
            port,
            other,
            kept,
        });
        assert_eq!(counts(&world, object), *expected, "{what}");
    }
    world.ipc(|ipc| ipc.release_port(object));
    assert_counts(&world, "at the end");
}

fn send(step: &Step<'_>, message: &Message) -> Name {
    step.world.send(message).expect("room in the queue");
    step.kept
}

/// Receives from a port and keeps the name of the message's first descriptor, or else of its reply right.
fn receive(step: &Step<'_>, from: Name) -> Name {
    let message = step.world.receive(from).expect("a message");
    if message.bits() & MACH_MSGH_BITS_COMPLEX != 0 {
        message.descriptor(0).0
    } else {
        message.remote()
    }
}

/// Makes a message to the other port.
fn letter(step: &Step<'_>) -> Message {
    Message::to(step.other, Disposition::COPY_SEND, 1)
}

fn make_send(step: &Step<'_>) -> Name {
    step.world.make_send(step.port);
    step.kept
}

fn deallocate(step: &Step<'_>) -> Name {
    step.world.deallocate(step.port).expect("a send right");
    step.kept
}

fn destroy(step: &Step<'_>) -> Name {
    step.world.destroy_port(step.port);
    step.kept
}

#[test]
fn c6_1_user_references_of_one_name_are_one_send_right() {
    run(&[
        ("MAKE_SEND", make_send, (1, 0, 1)),
        ("MAKE_SEND again", make_send, (1, 0, 2)),
        (
            "COPY_SEND under the same name",
            |s| {
                let copied = s.world.insert(s.port, s.port, Disposition::COPY_SEND);
                copied.expect("a send right");
                s.kept
            },
            (1, 0, 2),
        ),
        (
            "mod_refs up",
            |s| {
                s.world.mod_refs(s.port, PortRight::SEND, 5).expect("sends");
                s.kept
            },
            (1, 0, 2),
        ),
        ("deallocate", deallocate, (1, 0, 2)),
        (
            "mod_refs to nothing",
            |s| {
                s.world
                    .mod_refs(s.port, PortRight::SEND, -7)
                    .expect("sends");
                s.kept
            },
            (0, 0, 2),
        ),
    ]);
}

#[test]
fn c6_3_a_failed_insert_leaves_the_make_send_count_raised() {
    run(&[
        (
            "insert under another port's name",
            |s| {
                let refused = s.world.insert(s.other, s.port, Disposition::MAKE_SEND);
                assert_eq!(refused, Err(KernReturn::RIGHT_EXISTS));
                s.kept
            },
            (0, 0, 1),
        ),
        (
            "a send-once right so",
            |s| {
                let refused = s.world.insert(s.other, s.port, Disposition::MAKE_SEND_ONCE);
                assert_eq!(refused, Err(KernReturn::NAME_EXISTS));
                assert_eq!(s.world.receive(s.port).expect("told").id(), 71);
                s.kept
            },
            (0, 0, 1),
        ),
    ]);
}

#[test]
fn c7_rights_in_messages_count_until_they_are_received() {
    run(&[
        ("a send right", make_send, (1, 0, 1)),
        (
            "COPY_SEND in a body",
            |s| send(s, &letter(s).with_right(s.port, Disposition::COPY_SEND)),
            (2, 0, 1),
        ),
        (
            "MAKE_SEND in a body",
            |s| send(s, &letter(s).with_right(s.port, Disposition::MAKE_SEND)),
            (3, 0, 2),
        ),
        (
            "MOVE_SEND of the last reference",
            |s| send(s, &letter(s).with_right(s.port, Disposition::MOVE_SEND)),
            (3, 0, 2),
        ),
        ("the first arrives", |s| receive(s, s.other), (3, 0, 2)),
        (
            "the second joins its name",
            |s| receive(s, s.other),
            (2, 0, 2),
        ),
        ("the third too", |s| receive(s, s.other), (1, 0, 2)),
        (
            "all go",
            |s| {
                s.world
                    .mod_refs(s.port, PortRight::SEND, -3)
                    .expect("three");
                s.kept
            },
            (0, 0, 2),
        ),
    ]);
}

#[test]
fn c8_2_the_right_that_a_message_is_sent_through_counts_until_it_is_received() {
    run(&[
        (
            "sent with MAKE_SEND",
            |s| send(s, &Message::to(s.port, Disposition::MAKE_SEND, 1)),
            (1, 0, 1),
        ),
        ("received", |s| receive(s, s.port), (0, 0, 1)),
        (
            "sent with MAKE_SEND_ONCE",
            |s| send(s, &Message::to(s.port, Disposition::MAKE_SEND_ONCE, 1)),
            (0, 1, 1),
        ),
        ("received", |s| receive(s, s.port), (0, 0, 1)),
        (
            "too large for its receiver (C11.5)",
            |s| {
                send(s, &Message::to(s.port, Disposition::MAKE_SEND, 1));
                let refused = s.world.receive_with(s.port, 0, 24);
                assert_eq!(refused.err(), Some(KernReturn::RCV_TOO_LARGE));
                s.kept
            },
            (0, 0, 2),
        ),
    ]);
}

#[test]
fn c7_send_once_rights_count_one_each() {
    run(&[
        ("extracted", |s| s.world.make_send_once(s.port), (0, 1, 0)),
        (
            "moved into a message",
            |s| {
                send(
                    s,
                    &letter(s).with_right(s.kept, Disposition::MOVE_SEND_ONCE),
                )
            },
            (0, 1, 0),
        ),
        ("received", |s| receive(s, s.other), (0, 1, 0)),
        (
            "as a reply right, made",
            |s| {
                send(
                    s,
                    &letter(s).with_reply(s.port, Disposition::MAKE_SEND_ONCE),
                )
            },
            (0, 2, 0),
        ),
        (
            "destroyed unused: in the notification (C8.8)",
            |s| {
                s.world.deallocate(s.kept).expect("a send-once right");
                s.kept
            },
            (0, 2, 0),
        ),
        (
            "the notification is received",
            |s| receive(s, s.port),
            (0, 1, 0),
        ),
        (
            "the reply right is received",
            |s| receive(s, s.other),
            (0, 1, 0),
        ),
        (
            "and used",
            |s| send(s, &Message::to(s.kept, Disposition::MOVE_SEND_ONCE, 1)),
            (0, 1, 0),
        ),
        ("the reply is received", |s| receive(s, s.port), (0, 0, 0)),
    ]);
}

#[test]
fn c7_1a_moving_the_receive_right_resets_the_make_send_count() {
    run(&[
        ("a send right", make_send, (1, 0, 1)),
        (
            "moved",
            |s| send(s, &letter(s).with_right(s.port, Disposition::MOVE_RECEIVE)),
            (1, 0, 0),
        ),
        ("received", |s| receive(s, s.other), (1, 0, 0)),
        ("MAKE_SEND", make_send, (1, 0, 1)),
    ]);
}

#[test]
fn c1_rights_of_a_dead_port_count_until_they_are_looked_at() {
    run(&[
        ("a send right", make_send, (1, 0, 1)),
        (
            "a send-once right",
            |s| s.world.make_send_once(s.port),
            (1, 1, 1),
        ),
        (
            "one more in a message",
            |s| send(s, &letter(s).with_right(s.port, Disposition::COPY_SEND)),
            (2, 1, 1),
        ),
        (
            "the port dies: its own name is converted (C1.3)",
            destroy,
            (1, 1, 1),
        ),
        (
            "the send-once right's name is looked at (C1.1)",
            |s| {
                assert!(s.world.kind(s.kept).is_ok());
                s.kept
            },
            (1, 0, 1),
        ),
        (
            "the message is received (A5.5)",
            |s| receive(s, s.other),
            (0, 0, 1),
        ),
    ]);
}

#[test]
fn c10_7_a_message_given_back_gives_its_rights_back() {
    run(&[
        ("a send right", make_send, (1, 0, 1)),
        (
            "the queue fills",
            |s| {
                for id in 0..5 {
                    send(s, &Message::to(s.port, Disposition::COPY_SEND, id));
                }
                s.kept
            },
            (6, 0, 1),
        ),
        (
            "no room for one more: references more, and a send-once right",
            |s| {
                let message = Message::to(s.port, Disposition::MAKE_SEND, 6)
                    .with_reply(s.port, Disposition::MAKE_SEND_ONCE)
                    .with_right(s.port, Disposition::COPY_SEND);
                assert_eq!(s.world.send(&message), Err(KernReturn::SEND_TIMED_OUT));
                message.local()
            },
            (6, 1, 2),
        ),
        ("the port dies with its queue", destroy, (0, 1, 2)),
    ]);
}
