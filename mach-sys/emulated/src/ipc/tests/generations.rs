//! Each rule of the port engine that differs by version, in each generation (docs/xnu, F, F5, F6).

use super::super::timer;
use super::*;

use Generation::{MacOs11, MacOs15, MacOs26};

const ALL: [Generation; 3] = [MacOs11, MacOs15, MacOs26];

/// A rule, its function, and its value in macOS 11, 15 and 26.
type Row<'r, T> = (&'r str, &'r dyn Fn(&World) -> T, [T; 3]);

fn table<T: core::fmt::Debug + PartialEq>(rows: &[Row<'_, T>]) {
    for (rule, ask, expected) in rows {
        for (generation, expected) in ALL.into_iter().zip(expected) {
            let found = ask(&World::of(generation));
            assert_eq!(found, *expected, "{rule}, {generation:?}");
        }
    }
}

/// Returns a dead name.
fn dead_name(world: &World) -> Name {
    world.allocate(PortRight::DEAD_NAME)
}

/// Returns a name that a dead port's send-once right has, not looked at since.
fn stale_name(world: &World) -> Name {
    let port = world.port();
    let once = world.make_send_once(port);
    world.destroy_port(port);
    once
}

const NAME: Result<(), KernReturn> = Err(KernReturn::INVALID_NAME);
const RIGHT: Result<(), KernReturn> = Err(KernReturn::INVALID_RIGHT);

/// osfmk/kern/mk_timer.c: since 14 `mk_timer_destroy` looks at the entry of the name, and since 15 the receive right is immovable.
#[test]
fn timers_are_destroyed_and_moved_by_their_generation() {
    let timer = |w: &World| w.ipc(|ipc| timer::create(ipc, w.space)).expect("room");
    let destroy = |w: &World, name| w.ipc(|ipc| timer::destroy(ipc, w.space, name));
    table(&[
        ("null", &|w| destroy(w, Name::NULL), [RIGHT, NAME, NAME]),
        ("absent", &|w| destroy(w, Name::new(0x7003)), [NAME; 3]),
        ("a dead name", &|w| destroy(w, dead_name(w)), [RIGHT; 3]),
        ("a set", &|w| destroy(w, w.set()), [RIGHT; 3]),
        (
            "an ordinary port",
            &|w| destroy(w, w.port()),
            [Err(KernReturn::INVALID_ARGUMENT); 3],
        ),
        ("a timer", &|w| destroy(w, timer(w)), [Ok(()); 3]),
        (
            "immovable",
            &|w| {
                let port = w.port_behind(timer(w));
                let is = w.ipc(|ipc| ipc.port(port).queue().map(|q| q.protection.immovable));
                is.filter(|is| *is).map(|_| ()).ok_or(KernReturn::FAILURE)
            },
            [Err(KernReturn::FAILURE), Ok(()), Ok(())],
        ),
    ]);
}

/// One that is armed leaves neither its alarm nor its port.
#[test]
fn a_timer_that_dies_takes_its_alarm_and_the_kernels_right_with_it() {
    for generation in ALL {
        let world = World::of(generation);
        let before = world.ipc(|ipc| ipc.live_ports());
        let name = world.ipc(|ipc| timer::create(ipc, world.space));
        let name = name.expect("room");
        let armed = world.ipc(|ipc| timer::arm(ipc, world.space, name, 9, 3));
        assert_eq!(armed, Ok(()));
        assert_eq!(world.ipc(|ipc| ipc.next_alarm()), Some(9));
        world.destroy_port(name);
        assert_eq!(world.ipc(|ipc| ipc.next_alarm()), None, "{generation:?}");
        assert_eq!(world.ipc(|ipc| ipc.live_ports()), before, "{generation:?}");
    }
}

#[test]
fn c7_5_a_dead_name_where_a_receive_right_is_wanted() {
    let expected = || [RIGHT, NAME, NAME];
    table(&[
        (
            "get_context",
            &|w| w.get_context(dead_name(w)).map(|_| ()),
            expected(),
        ),
        (
            "set_context",
            &|w| w.set_context(dead_name(w), 1),
            expected(),
        ),
        (
            "of a dead port",
            &|w| w.set_context(stale_name(w), 1),
            expected(),
        ),
        (
            "move_member",
            &|w| w.move_to(dead_name(w), Name::NULL),
            expected(),
        ),
        (
            "get_set_status",
            &|w| w.members(dead_name(w)).map(|_| ()),
            expected(),
        ),
        // Calls with two names have another lookup, the same in all.
        (
            "insert_member",
            &|w| w.join(dead_name(w), w.set()),
            [RIGHT; 3],
        ),
        ("not a right", &|w| w.set_context(w.set(), 1), [RIGHT; 3]),
        (
            "absent",
            &|w| w.set_context(Name::new(0x7003), 1),
            [NAME; 3],
        ),
    ]);
}

#[test]
fn c9_1_c9_2_which_name_is_looked_at_first() {
    let absent = Name::new(0x7003);
    table(&[
        // The port's name is absent, the set's is no set: the first one looked at decides.
        (
            "insert_member",
            &|w| w.join(absent, w.port()),
            [RIGHT, NAME, NAME],
        ),
        (
            "move_member",
            &|w| w.move_to(absent, w.port()),
            [RIGHT, NAME, NAME],
        ),
        ("extract_member", &|w| w.leave(absent, w.port()), [NAME; 3]),
        // The port's name is no receive right, the set's is absent: the same in all.
        ("no receive right", &|w| w.join(w.set(), absent), [NAME; 3]),
    ]);
}

#[test]
fn c9_2_moving_a_port_in_no_set_to_none_is_an_error_since_12_3() {
    let refused = Err(KernReturn::NOT_IN_SET);
    table(&[(
        "move_member",
        &|w| w.move_to(w.port(), Name::NULL),
        [Ok(()), refused, refused],
    )]);
}

/// F6.16: since 26 it is drawn at each wrap.
#[test]
fn c0_7_a_slots_generation_moves_by_4_and_since_26_by_a_random_step() {
    let steps = |world: &World| {
        let mut last = world.port();
        let mut steps = std::collections::BTreeSet::new();
        for _ in 0..3000 {
            world.destroy_port(last);
            let next = world.port();
            assert_eq!(next.index(), last.index());
            steps.insert(next.generation().wrapping_sub(last.generation()));
            last = next;
        }
        steps.into_iter().collect::<Vec<_>>()
    };
    table(&[("step", &steps, [vec![4], vec![4], vec![4, 8, 12, 16]])]);
}

const DEST: Result<(), KernReturn> = Err(KernReturn::SEND_INVALID_DEST);
const REPLY: Result<(), KernReturn> = Err(KernReturn::SEND_INVALID_REPLY);

#[test]
fn c10_2_c10_3_whether_the_destination_or_the_reply_is_checked_first() {
    let copy = Disposition::COPY_SEND;
    let bad_reply = |message: Message| message.with_reply(Name::new(0x7003), copy);
    let to = |w: &World, name: Name| w.send(&bad_reply(Message::to(name, copy, 1)));
    table(&[
        ("a dead name", &|w| to(w, dead_name(w)), [REPLY, DEST, DEST]),
        ("a set", &|w| to(w, w.set()), [REPLY, DEST, DEST]),
        ("null", &|w| to(w, Name::NULL), [DEST; 3]),
        ("absent", &|w| to(w, Name::new(0x6003)), [DEST; 3]),
        ("no send right", &|w| to(w, w.port()), [REPLY; 3]),
        // With a good reply it is found all the same.
        (
            "a dead name alone",
            &|w| w.send(&Message::to(dead_name(w), copy, 1)),
            [DEST; 3],
        ),
        (
            "a set alone",
            &|w| w.send(&Message::to(w.set(), copy, 1)),
            [DEST; 3],
        ),
        (
            "a send-once right as both, and no send right for the reply",
            &|w| {
                let once = w.make_send_once(w.port());
                let message = Message::to(once, Disposition::MOVE_SEND_ONCE, 1);
                w.send(&message.with_reply(once, copy))
            },
            [REPLY, DEST, DEST],
        ),
        (
            "a send-once right as both",
            &|w| {
                let once = w.make_send_once(w.port());
                let message = Message::to(once, Disposition::MOVE_SEND_ONCE, 1);
                w.send(&message.with_reply(once, Disposition::MOVE_SEND_ONCE))
            },
            [DEST; 3],
        ),
    ]);
}

#[test]
fn c10_2_a_dead_name_is_accepted_as_reply_up_to_12() {
    let ask = |w: &World| {
        let port = w.port();
        let message = Message::to(port, Disposition::MAKE_SEND, 1)
            .with_reply(dead_name(w), Disposition::COPY_SEND);
        w.send(&message)?;
        assert_eq!(w.receive(port)?.remote(), Name::DEAD);
        Ok(())
    };
    table(&[("COPY_SEND", &ask, [Ok(()), REPLY, REPLY])]);
}

#[test]
fn c10_1_unknown_bits_of_the_first_word_are_refused_up_to_14_5_and_dropped_later() {
    let ask = |w: &World| {
        let port = w.port();
        let mut message = Message::to(port, Disposition::MAKE_SEND, 1);
        message.words[0] |= 1 << 25;
        w.send(&message)?;
        Ok(w.receive(port)?.bits())
    };
    let refused = Err(KernReturn::SEND_INVALID_HEADER);
    let dropped = Ok(Disposition::PORT_SEND.raw() << 8);
    table(&[("bit 25", &ask, [refused, dropped, dropped])]);
}

#[test]
fn c10_1_when_a_bad_descriptor_is_found() {
    // The error is the same; what differs is whether the header's rights are gone.
    let ask = |w: &World| {
        let (port, reply) = (w.port(), w.port());
        let mut message = Message::to(port, Disposition::MAKE_SEND, 1)
            .with_reply(reply, Disposition::MAKE_SEND_ONCE)
            .with_right(port, Disposition::MAKE_SEND);
        message.words[9] |= 9 << 24;
        assert_eq!(w.send(&message), Err(KernReturn::SEND_INVALID_TYPE));
        assert!(w.receive(port).is_err());
        w.receive(reply).map(|told| told.id()).ok()
    };
    table(&[("type 9", &ask, [Some(71), None, None])]);
}

#[test]
fn c11_5_what_a_receive_buffer_that_is_too_small_gets() {
    let ask = |room: u32, options: i32| {
        move |w: &World| {
            let port = w.port();
            w.send(&Message::to(port, Disposition::MAKE_SEND, 3))
                .expect("room in the queue");
            let mut message = Message::empty();
            message.words.fill(0xaaaa_aaaa);
            let outcome = w.receive_into(&mut message, port, options, room);
            let written = message.words.iter().filter(|w| **w != 0xaaaa_aaaa).count();
            (outcome.err(), written)
        }
    };
    let large = Some(KernReturn::RCV_TOO_LARGE);
    let invalid = Some(KernReturn::RCV_INVALID_DATA);
    // The header has 6 words, the smallest trailer 2.
    table(&[
        (
            "nothing",
            &ask(0, 0),
            [(large, 8), (invalid, 0), (invalid, 0)],
        ),
        (
            "no header",
            &ask(20, 0),
            [(large, 8), (invalid, 0), (invalid, 0)],
        ),
        (
            "the header",
            &ask(24, 0),
            [(large, 8), (large, 6), (large, 6)],
        ),
        (
            "half a trailer",
            &ask(28, 0),
            [(large, 8), (large, 7), (large, 7)],
        ),
    ]);
    let kept = [(large, 1), (large, 1), (large, 1)];
    table(&[
        ("MACH_RCV_LARGE", &ask(24, MACH_RCV_LARGE), kept),
        ("and no room", &ask(4, MACH_RCV_LARGE), [(large, 0); 3]),
    ]);
}

#[test]
fn what_no_generation_changes_is_the_same_in_all() {
    for generation in ALL {
        let world = World::of(generation);
        let port = world.port();
        world.make_send(port);
        let message = Message::to(port, Disposition::COPY_SEND, 9)
            .with_reply(port, Disposition::MAKE_SEND_ONCE);
        world.send(&message).expect("room in the queue");
        let got = world.receive(port).expect("a message");
        assert_eq!((got.id(), got.local()), (9, port), "{generation:?}");
        // A7.3: F2's older limit is that of no generation here.
        assert_eq!(world.mod_refs(port, PortRight::SEND, 65_535), Ok(()));
        assert_eq!(world.refs(port, PortRight::SEND), Ok(65_535));
    }
}
