//! Guarded ports and what misuse of names raises, as macOS 26 has it (A13, C3, C5.6).

use super::*;
use crate::ipc::attributes;
use mach_wire::exception::PortGuardFlavor;
use mach_wire::port::{GuardFlags, PortFlavor};

impl World {
    /// Returns the flavor and the payload of the guard that the last operation raised.
    fn raised(&self) -> Option<(PortGuardFlavor, u64)> {
        let guard = self.ipc(|ipc| ipc.take_guard());
        guard.map(|guard| (PortGuardFlavor::new(guard.flavor), guard.payload))
    }

    /// Sends a message, and returns what that raised, too.
    fn send_raising(
        &self,
        message: &Message,
    ) -> (Result<(), KernReturn>, Option<(PortGuardFlavor, u64)>) {
        let request = SendRequest {
            address: message.words.as_ptr() as u64,
            size: message.size,
            options: MessageOptions::SEND_TIMEOUT,
            timeout: 0,
        };
        let mut guard = None;
        let outcome = send(&self.kernel, self.space, request, &mut guard);
        let guard = guard.map(|guard| (PortGuardFlavor::new(guard.flavor), guard.payload));
        (outcome, guard)
    }

    fn guard(&self, name: Name, value: u64, flags: GuardFlags) -> Result<(), KernReturn> {
        self.ipc(|ipc| guarded::guard(ipc, self.space, name, value, flags))
    }

    fn unguard(&self, name: Name, value: u64) -> Result<(), KernReturn> {
        self.ipc(|ipc| guarded::unguard(ipc, self.space, name, value))
    }

    fn swap_guard(&self, name: Name, old: u64, new: u64) -> Result<(), KernReturn> {
        self.ipc(|ipc| guarded::swap_guard(ipc, self.space, name, old, new))
    }

    fn attribute(&self, name: Name, flavor: PortFlavor, room: u32) -> Result<Vec<u32>, KernReturn> {
        let mut words = [0; attributes::LARGEST];
        let count =
            self.ipc(|ipc| attributes::get(ipc, self.space, name, flavor, room, &mut words))?;
        Ok(words[..count as usize].to_vec())
    }

    fn set_limit(&self, name: Name, words: &[u32]) -> Result<(), KernReturn> {
        self.ipc(|ipc| attributes::set(ipc, self.space, name, PortFlavor::LIMITS_INFO, words))
    }
}

const INVALID: Result<(), KernReturn> = Err(KernReturn::INVALID_ARGUMENT);

/// A13.9: the payload is the port's guard, where there is one. A13.5: the call returns its own code.
#[test]
fn a13_9_c5_6_only_with_the_guard_is_a_port_unguarded_swapped_or_destroyed() {
    let world = World::of(Generation::MacOs26);
    let port = world.port();
    assert_eq!(world.unguard(port, 7), INVALID);
    assert_eq!(world.raised(), Some((PortGuardFlavor::UNGUARDED, 0)));
    assert_eq!(world.guard(port, 7, GuardFlags::empty()), Ok(()));
    assert_eq!(world.raised(), None);
    assert_eq!(world.guard(port, 8, GuardFlags::empty()), INVALID);
    assert_eq!(world.raised(), Some((PortGuardFlavor::INVALID_ARGUMENT, 7)));
    assert_eq!(
        world.mod_refs(port, PortRight::RECEIVE, -1),
        Err(KernReturn::INVALID_RIGHT)
    );
    assert_eq!(world.raised(), Some((PortGuardFlavor::DESTROY, 7)));
    assert_eq!(world.destroy(port), Err(KernReturn::INVALID_RIGHT));
    assert_eq!(world.raised(), Some((PortGuardFlavor::DESTROY, 7)));
    assert_eq!(world.destruct(port, 0, 8), INVALID);
    assert_eq!(world.raised(), Some((PortGuardFlavor::DESTROY, 7)));
    assert_eq!(world.swap_guard(port, 8, 9), INVALID);
    assert_eq!(world.raised(), Some((PortGuardFlavor::INCORRECT_GUARD, 7)));
    assert_eq!(world.swap_guard(port, 7, 9), Ok(()));
    assert_eq!(world.get_context(port), Ok(9), "the context is the guard");
    assert_eq!(world.unguard(port, 9), Ok(()));
    assert_eq!(world.get_context(port), Ok(0));
    assert_eq!(world.guard(port, 3, GuardFlags::STRICT), Ok(()));
    assert_eq!(
        world.get_context(port),
        Ok(0),
        "C5.5: a strict guard is not shown"
    );
    assert_eq!(world.set_context(port, 1), INVALID);
    assert_eq!(world.raised(), Some((PortGuardFlavor::SET_CONTEXT, 3)));
    assert_eq!(world.swap_guard(port, 3, 4), INVALID);
    assert_eq!(world.raised(), Some((PortGuardFlavor::SET_CONTEXT, 3)));
    assert_eq!(world.destruct(port, 0, 3), Ok(()));
    assert_eq!(world.kind(port), Err(KernReturn::INVALID_NAME));
}

#[test]
fn c5_6_c7_1_an_immovable_receive_right_stays_where_it_is() {
    let world = World::of(Generation::MacOs26);
    let (port, other) = (world.port(), world.port());
    world.make_send(other);
    assert_eq!(world.guard(port, 7, GuardFlags::IMMOVABLE_RECEIVE), Ok(()));
    let message = Message::to(other, Disposition::COPY_SEND, 1);
    let message = message.with_right(port, Disposition::MOVE_RECEIVE);
    assert_eq!(world.send(&message), Err(KernReturn::SEND_INVALID_RIGHT));
    assert_eq!(world.kind(port), Ok(PortType::RECEIVE.bits()));
    assert_eq!(world.unguard(port, 7), Ok(()));
    assert_eq!(world.send(&message), Ok(()));
    assert_eq!(world.kind(port), Err(KernReturn::INVALID_NAME));
}

/// Checks, for each misuse, its error and its guard.
#[test]
fn c3_c4_misuse_of_names_raises_guards() {
    type Outcome = Result<(), KernReturn>;
    type Row = (
        &'static str,
        fn(&World, Name) -> Outcome,
        Outcome,
        Option<PortGuardFlavor>,
    );
    let (absent, wrong, value) = (
        Err(KernReturn::INVALID_NAME),
        Err(KernReturn::INVALID_RIGHT),
        Err(KernReturn::INVALID_VALUE),
    );
    let (name, right, amount) = (
        PortGuardFlavor::INVALID_NAME,
        PortGuardFlavor::INVALID_RIGHT,
        PortGuardFlavor::INVALID_VALUE,
    );
    let rows: &[Row] = &[
        (
            "deallocate absent",
            |w, _| w.deallocate(Name::new(0x7003)),
            absent,
            Some(name),
        ),
        (
            "deallocate receive",
            |w, n| w.deallocate(n),
            wrong,
            Some(right),
        ),
        (
            "destroy absent",
            |w, _| w.destroy(Name::new(0x7003)),
            absent,
            Some(name),
        ),
        (
            "destruct absent",
            |w, _| w.destruct(Name::new(0x7003), 0, 0),
            absent,
            Some(name),
        ),
        (
            "destruct without send",
            |w, n| w.destruct(n, -1, 0),
            wrong,
            Some(right),
        ),
        (
            "mod_refs absent",
            |w, _| w.mod_refs(Name::new(0x7003), PortRight::SEND, 1),
            absent,
            Some(name),
        ),
        (
            "mod_refs: a send right made",
            |w, n| w.mod_refs(n, PortRight::SEND, 1),
            wrong,
            None,
        ),
        (
            "mod_refs: no send right",
            |w, n| w.mod_refs(n, PortRight::SEND, -1),
            wrong,
            Some(right),
        ),
        (
            "mod_refs: no send-once right",
            |w, n| w.mod_refs(n, PortRight::SEND_ONCE, -1),
            wrong,
            None,
        ),
        (
            "mod_refs: no set",
            |w, n| w.mod_refs(n, PortRight::PORT_SET, -1),
            wrong,
            Some(right),
        ),
        (
            "mod_refs: not dead",
            |w, n| w.mod_refs(n, PortRight::DEAD_NAME, -1),
            wrong,
            Some(right),
        ),
        (
            "mod_refs: two receive rights",
            |w, n| w.mod_refs(n, PortRight::RECEIVE, -2),
            value,
            Some(amount),
        ),
        (
            "get_refs absent",
            |w, _| w.refs(Name::new(0x7003), PortRight::SEND).map(|_| ()),
            absent,
            None,
        ),
        ("join no set", |w, n| w.join(n, n), wrong, Some(right)),
        (
            "receive from a send-once right",
            |w, n| {
                let once = w.make_send_once(n);
                let mut guard = None;
                let request = ReceiveRequest {
                    address: 0,
                    size: 0,
                    options: MessageOptions::RCV_TIMEOUT,
                    timeout: 0,
                    name: once,
                };
                let outcome = receive(&w.kernel, w.space, request, &mut guard);
                assert_eq!(
                    guard.map(|guard| guard.flavor),
                    Some(PortGuardFlavor::RCV_INVALID_NAME.raw())
                );
                outcome
            },
            Err(KernReturn::RCV_INVALID_NAME),
            None,
        ),
    ];
    for (what, call, error, guard) in rows {
        let world = World::of(Generation::MacOs26);
        let port = world.port();
        assert_eq!(call(&world, port), *error, "{what}");
        assert_eq!(world.raised().map(|(flavor, _)| flavor), *guard, "{what}");
        assert_eq!(world.kind(port), Ok(PortType::RECEIVE.bits()), "{what}");
    }
}

/// C7.7: in a body and as reply.
/// F6.12, F6.22, F6.24: the payload, the code as reply and in a body, and nothing changes.
#[test]
fn a13_4_c7_7_d5_3_a_message_does_not_take_the_last_reference_of_a_pinned_name() {
    let world = World::of(Generation::MacOs26);
    let port = world.port();
    let pinned = (PortGuardFlavor::MOD_REFS_NON_FATAL, 0x0300_0000_0000_0000);
    let message = Message::to(port, Disposition::MAKE_SEND, 1);
    let as_reply = message.with_reply(world.control, Disposition::MOVE_SEND);
    assert_eq!(
        world.send_raising(&as_reply),
        (Err(KernReturn::SEND_INVALID_REPLY), Some(pinned))
    );
    let message = Message::to(port, Disposition::MAKE_SEND, 1);
    let in_body = message.with_right(world.control, Disposition::MOVE_SEND);
    assert_eq!(
        world.send_raising(&in_body),
        (Err(KernReturn::SEND_INVALID_RIGHT), Some(pinned))
    );
    assert_eq!(world.refs(world.control, PortRight::SEND), Ok(1));
}

/// C10.3: the header is taken as a whole or not at all. The two moves need three references, since the pinned name keeps one.
#[test]
fn d5_3_two_moves_of_one_header_do_not_take_the_last_two_references_of_a_pinned_name() {
    for generation in [Generation::MacOs15, Generation::MacOs26] {
        let world = World::of(generation);
        let both = Message::to(world.control, Disposition::MOVE_SEND, 1);
        let both = both.with_reply(world.control, Disposition::MOVE_SEND);
        for references in 1..=2 {
            // The reply right is looked at first.
            let error = match references {
                1 => KernReturn::SEND_INVALID_REPLY,
                _ => KernReturn::SEND_INVALID_DEST,
            };
            assert_eq!(
                world.send(&both),
                Err(error),
                "{generation:?}, {references}"
            );
            super::walk::assert_counts(&world, "refused");
            assert_eq!(
                world.refs(world.control, PortRight::SEND),
                Ok(references),
                "{generation:?}"
            );
            assert_eq!(world.mod_refs(world.control, PortRight::SEND, 1), Ok(()));
        }
    }
}

#[test]
fn a13_2_a_fatal_guard_is_not_overwritten() {
    let world = World::of(Generation::MacOs26);
    let port = world.port();
    assert_eq!(world.guard(port, 7, GuardFlags::empty()), Ok(()));
    assert!(world.deallocate(Name::new(0x7003)).is_err());
    assert!(world.destroy(port).is_err());
    assert!(world.deallocate(Name::new(0x7003)).is_err());
    assert_eq!(world.raised(), Some((PortGuardFlavor::DESTROY, 7)));
}

#[test]
fn c5_3_c5_4_limits_and_status_are_read_and_set() {
    let world = World::of(Generation::MacOs26);
    let (port, set) = (world.port(), world.set());
    let status = |name| world.attribute(name, PortFlavor::RECEIVE_STATUS, 10);
    assert_eq!(status(port), Ok(vec![0, 0, 0, 5, 0, 0, 0, 0, 0, 0]));
    world.make_send(port);
    world.make_send_once(port);
    assert_eq!(
        world.send(&Message::to(port, Disposition::COPY_SEND, 1)),
        Ok(())
    );
    assert_eq!(world.join(port, set), Ok(()));
    assert_eq!(world.set_limit(port, &[1]), Ok(()));
    assert_eq!(status(port), Ok(vec![1, 0, 1, 1, 1, 1, 1, 0, 0, 0]));
    let refused = world.send(&Message::to(port, Disposition::COPY_SEND, 1));
    assert_eq!(
        refused,
        Err(KernReturn::SEND_TIMED_OUT),
        "lowering drops nothing"
    );
    assert_eq!(
        world.set_limit(port, &[1025]),
        Err(KernReturn::INVALID_VALUE)
    );
    assert_eq!(world.set_limit(port, &[]), Err(KernReturn::FAILURE));
    assert_eq!(
        world.attribute(port, PortFlavor::LIMITS_INFO, 1),
        Ok(vec![1])
    );
    assert_eq!(
        world.attribute(Name::NULL, PortFlavor::LIMITS_INFO, 1),
        Ok(vec![])
    );
    assert_eq!(status(Name::NULL), Err(KernReturn::INVALID_RIGHT));
    assert_eq!(status(set), Err(KernReturn::INVALID_RIGHT));
    assert_eq!(
        world.attribute(port, PortFlavor::RECEIVE_STATUS, 9),
        Err(KernReturn::FAILURE)
    );
    assert_eq!(
        world.attribute(port, PortFlavor::new(77), 10),
        Err(KernReturn::INVALID_ARGUMENT)
    );
}

#[test]
fn c2_2_c2_3_a_name_is_chosen_within_the_rules() {
    let world = World::of(Generation::MacOs26);
    let used = world.port();
    let allocate = |right, raw| {
        world.ipc(|ipc| mach_port::allocate_name(ipc, world.space, right, Name::new(raw)))
    };
    for (raw, expected) in [
        (0, Err(KernReturn::INVALID_VALUE)),
        (u32::MAX, Err(KernReturn::INVALID_VALUE)),
        (0xfff_ff03, Err(KernReturn::NO_SPACE)),
        (0x7002, Err(KernReturn::INVALID_VALUE)),
        (0x03, Err(KernReturn::FAILURE)),
        (used.raw() ^ 4, Err(KernReturn::FAILURE)),
        (used.raw(), Err(KernReturn::NAME_EXISTS)),
        (0x7003, Ok(())),
    ] {
        assert_eq!(allocate(PortRight::RECEIVE, raw), expected, "{raw:#x}");
    }
    assert_eq!(world.kind(Name::new(0x7003)), Ok(PortType::RECEIVE.bits()));
    assert_eq!(
        allocate(PortRight::DEAD_NAME, 0x7003),
        Ok(()),
        "the wish is ignored"
    );
    assert_eq!(
        allocate(PortRight::SEND, 0x7103),
        Err(KernReturn::INVALID_VALUE)
    );
}

/// F6.18: what 26 refuses, and immovability without a guard.
#[test]
fn c2_5_c2_7_macos_26_refuses_unknown_options_and_makes_ports_immovable_without_a_guard() {
    let flags = PortOptionFlags::from_bits_retain;
    for (generation, bits, expected) in [
        (
            Generation::MacOs26,
            0x2_0000,
            Err(KernReturn::INVALID_ARGUMENT),
        ),
        (Generation::MacOs15, 0x2_0000, Ok(())),
        (
            Generation::MacOs26,
            0x1800,
            Err(KernReturn::INVALID_ARGUMENT),
        ),
        (Generation::MacOs15, 0x1800, Ok(())),
        (
            Generation::MacOs15,
            0x3000,
            Err(KernReturn::INVALID_ARGUMENT),
        ),
        (Generation::MacOs26, 0x400, Err(KernReturn::DENIED)),
        (Generation::MacOs26, 0x12, Ok(())),
    ] {
        let world = World::of(generation);
        let made = world.construct(flags(bits), 0);
        assert_eq!(made.map(|_| ()), expected, "{generation:?} {bits:#x}");
    }
    let world = World::of(Generation::MacOs26);
    let port = world.construct(flags(0x12), 9).expect("a port");
    assert_eq!(world.refs(port, PortRight::SEND), Ok(1));
    assert_eq!(world.get_context(port), Ok(9));
    assert_eq!(
        world.attribute(port, PortFlavor::LIMITS_INFO, 1),
        Ok(vec![2])
    );
    // Immovable without a guard, since 26.
    for (generation, expected) in [
        (Generation::MacOs26, Err(KernReturn::SEND_INVALID_RIGHT)),
        (Generation::MacOs15, Ok(())),
    ] {
        let world = World::of(generation);
        let port = world
            .construct(PortOptionFlags::IMMOVABLE_RECEIVE, 0)
            .expect("a port");
        let other = world.port();
        let message = Message::to(other, Disposition::MAKE_SEND, 1);
        let message = message.with_right(port, Disposition::MOVE_RECEIVE);
        assert_eq!(world.send(&message), expected, "{generation:?}");
    }
}

/// Checks each of destruct's refusals in its order: an argument that is wrong in several ways is refused for the first.
#[test]
fn c3_3_what_destruct_refuses_in_its_order() {
    type Row = (
        &'static str,
        fn(&World) -> Name,
        i32,
        u64,
        KernReturn,
        Option<(PortGuardFlavor, u64)>,
    );
    let absent = |_: &World| Name::new(0x7003);
    let plain = |w: &World| {
        let port = w.port();
        w.make_send(port);
        port
    };
    let guarded = |w: &World| {
        let port = w.port();
        w.make_send(port);
        w.guard(port, 7, GuardFlags::empty()).expect("a port");
        port
    };
    let (name, right, value) = (
        Some((PortGuardFlavor::INVALID_NAME, 0)),
        Some((PortGuardFlavor::INVALID_RIGHT, 0)),
        Some((PortGuardFlavor::INVALID_VALUE, 0)),
    );
    let rows: &[Row] = &[
        (
            "null",
            |_| Name::NULL,
            -1,
            0,
            KernReturn::INVALID_NAME,
            None,
        ),
        ("dead", |_| Name::DEAD, 1, 0, KernReturn::INVALID_NAME, None),
        ("absent", absent, 1, 0, KernReturn::INVALID_NAME, name),
        ("a set", |w| w.set(), 1, 0, KernReturn::INVALID_RIGHT, right),
        (
            "no send right",
            |w| w.port(),
            1,
            0,
            KernReturn::INVALID_RIGHT,
            right,
        ),
        (
            "more sends, not fewer",
            guarded,
            1,
            8,
            KernReturn::INVALID_VALUE,
            value,
        ),
        (
            "another guard",
            guarded,
            -2,
            8,
            KernReturn::INVALID_ARGUMENT,
            Some((PortGuardFlavor::DESTROY, 7)),
        ),
        (
            "more than there are",
            plain,
            -2,
            0,
            KernReturn::INVALID_VALUE,
            value,
        ),
        (
            "more than there are, guarded",
            guarded,
            -2,
            7,
            KernReturn::INVALID_VALUE,
            value,
        ),
    ];
    for (what, make, delta, guard, error, raised) in rows {
        let world = World::of(Generation::MacOs26);
        let port = make(&world);
        let kind = world.kind(port);
        assert_eq!(world.destruct(port, *delta, *guard), Err(*error), "{what}");
        // What the payloads of refused names are differs by version (A13.9): the flavor, and a guard's value.
        let found = world.raised().map(|(flavor, payload)| {
            (
                flavor,
                if flavor == PortGuardFlavor::DESTROY {
                    payload
                } else {
                    0
                },
            )
        });
        assert_eq!(found, *raised, "{what}");
        assert_eq!(world.kind(port), kind, "{what}: nothing changes");
    }
}

#[test]
fn c3_3_c1_3_what_destruct_leaves() {
    let world = World::of(Generation::MacOs26);
    for (delta, guard, left) in [(0, 5, Some(3)), (-2, 0, Some(1)), (-3, 0, None)] {
        let port = world.port();
        world.make_send(port);
        assert_eq!(world.mod_refs(port, PortRight::SEND, 2), Ok(()));
        // On a port without a guard the argument is ignored.
        assert_eq!(world.destruct(port, delta, guard), Ok(()), "{delta}");
        match left {
            Some(left) => assert_eq!(world.refs(port, PortRight::DEAD_NAME), Ok(left), "{delta}"),
            None => assert_eq!(world.kind(port), Err(KernReturn::INVALID_NAME), "{delta}"),
        }
    }
    // A saturated count goes as a whole or not at all.
    let port = world.port();
    world.make_send(port);
    assert_eq!(world.mod_refs(port, PortRight::SEND, 65_534), Ok(()));
    assert_eq!(world.destruct(port, -65_535, 0), Ok(()));
    assert_eq!(world.kind(port), Err(KernReturn::INVALID_NAME));
}

/// A13.7: what is recorded is flavor, name and payload.
#[test]
fn a13_10_a_misuse_of_another_tasks_names_is_the_callers() {
    let world = World::of(Generation::MacOs26);
    let other = world.another_space();
    let absent = Name::new(0x7003);
    let (outcome, guard) = world.ipc(|ipc| {
        let outcome = mach_port::deallocate(ipc, other, absent);
        (outcome, ipc.take_guard())
    });
    assert_eq!(outcome, Err(KernReturn::INVALID_NAME));
    let guard = guard.expect("the caller's guard");
    assert_eq!(guard.flavor, PortGuardFlavor::INVALID_NAME.raw());
    assert_eq!(guard.target, absent.raw());
    // Pinned names are guarded in the own space only (C0.4), and refused in any.
    let port = world.port_behind(world.control);
    let name = world.ipc(|ipc| {
        let name = copyout::name_send(ipc, other, port);
        copyout::pin(ipc, other, port);
        name
    });
    let refused = world.ipc(|ipc| mach_port::deallocate(ipc, other, name.expect("room")));
    assert_eq!(refused, Err(KernReturn::INVALID_CAPABILITY));
}
