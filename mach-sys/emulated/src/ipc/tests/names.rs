//! Names and user references (C0–C6, A7.3, D5).

use super::*;
use mach_wire::port::*;

#[test]
fn c2_1_a_new_port_has_a_receive_right_and_nothing_else() {
    let world = World::new();
    let port = world.port();
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_RECEIVE));
    assert_eq!(world.refs(port, PortRight::RECEIVE), Ok(1));
    assert_eq!(world.refs(port, PortRight::SEND), Ok(0));
    let others = [5, 6, 77].map(PortRight::new);
    for right in [PortRight::SEND, PortRight::SEND_ONCE]
        .into_iter()
        .chain(others)
    {
        let refused = world.try_allocate(right);
        assert_eq!(refused, Err(KernReturn::INVALID_VALUE), "{right}");
    }
}

#[test]
fn c0_2_c0_7_names_carry_their_slot_and_a_generation_that_moves_with_each_use() {
    let world = World::new();
    let first = world.port();
    assert_eq!(first.generation(), 3, "a slot's first low byte");
    let mut last = first;
    for _ in 0..200 {
        world.destroy_port(last);
        let next = world.port();
        assert_eq!(
            next.index(),
            first.index(),
            "the slot freed last is taken first"
        );
        assert_eq!(next.raw() & 3, 3);
        let step = next.generation().wrapping_sub(last.generation());
        assert!(matches!(step, 4 | 8 | 12 | 16), "{step}");
        assert_eq!(world.kind(last), Err(KernReturn::INVALID_NAME));
        last = next;
    }
}

#[test]
fn c6_1_make_send_adds_a_reference_under_the_ports_own_name() {
    let world = World::new();
    let port = world.port();
    for count in 1..=3 {
        world.make_send(port);
        assert_eq!(world.refs(port, PortRight::SEND), Ok(count));
    }
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_SEND_RECEIVE));
    let insert = |name, kind| world.insert(name, name, kind);
    assert_eq!(
        insert(Name::NULL, Disposition::MAKE_SEND),
        Err(KernReturn::INVALID_NAME)
    );
    assert_eq!(
        insert(Name::new(0x7003), Disposition::COPY_SEND),
        Err(KernReturn::INVALID_NAME)
    );
}

#[test]
fn c6_2_insert_right_under_a_chosen_name() {
    let world = World::new();
    let port = world.port();
    let insert = |name, kind| world.insert(Name::new(name), port, kind);
    let make = Disposition::MAKE_SEND;
    assert_eq!(insert(0, make), Err(KernReturn::INVALID_VALUE));
    assert_eq!(insert(0x12_3402, make), Err(KernReturn::NO_SPACE));
    assert_eq!(insert(0x7002, make), Err(KernReturn::INVALID_VALUE));
    assert_eq!(insert(0x3, make), Err(KernReturn::FAILURE));
    // The space names the port already: under another name it refuses.
    assert_eq!(insert(0x7003, make), Err(KernReturn::RIGHT_EXISTS));
    assert_eq!(
        insert(0x7003, Disposition::MAKE_SEND_ONCE),
        Ok(()),
        "send-once rights never coalesce"
    );
    assert_eq!(
        insert(0x7003, Disposition::MAKE_SEND_ONCE),
        Err(KernReturn::NAME_EXISTS)
    );
    // The slots below the chosen one are free ones now.
    let next = world.port();
    assert!(next.index() < 0x70, "{next:?}");
}

#[test]
fn c4_1_get_refs_answers_for_every_kind_of_name() {
    let world = World::new();
    let port = world.port();
    for name in [Name::NULL, Name::DEAD] {
        assert_eq!(world.refs(name, PortRight::SEND), Ok(1));
        assert_eq!(world.refs(name, PortRight::SEND_ONCE), Ok(1));
        assert_eq!(
            world.refs(name, PortRight::RECEIVE),
            Err(KernReturn::INVALID_NAME)
        );
    }
    assert_eq!(
        world.refs(port, PortRight::NUMBER),
        Err(KernReturn::INVALID_VALUE)
    );
    assert_eq!(world.refs(port, PortRight::LABELH), Ok(0));
    assert_eq!(
        world.refs(Name::new(port.raw() + 0x100), PortRight::SEND),
        Err(KernReturn::INVALID_NAME)
    );
}

#[test]
fn c4_2_mod_refs_never_makes_a_send_right_and_never_goes_below_zero() {
    let world = World::new();
    let port = world.port();
    let send = PortRight::SEND;
    assert_eq!(
        world.mod_refs(port, send, 1),
        Err(KernReturn::INVALID_RIGHT)
    );
    world.make_send(port);
    assert_eq!(world.mod_refs(port, send, 4), Ok(()));
    assert_eq!(
        world.mod_refs(port, send, -6),
        Err(KernReturn::INVALID_VALUE)
    );
    assert_eq!(world.refs(port, send), Ok(5), "nothing changed");
    assert_eq!(
        world.mod_refs(port, send, -65_536),
        Err(KernReturn::INVALID_VALUE)
    );
    assert_eq!(world.mod_refs(port, send, -5), Ok(()));
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_RECEIVE));
    assert_eq!(
        world.mod_refs(port, PortRight::RECEIVE, -2),
        Err(KernReturn::INVALID_VALUE)
    );
    assert_eq!(
        world.mod_refs(port, PortRight::NUMBER, 0),
        Err(KernReturn::INVALID_VALUE)
    );
    assert_eq!(
        world.mod_refs(port, PortRight::DEAD_NAME, 0),
        Err(KernReturn::INVALID_RIGHT)
    );
}

#[test]
fn a7_3_a_count_that_reached_65535_stays_there() {
    let world = World::new();
    let port = world.port();
    let send = PortRight::SEND;
    world.make_send(port);
    assert_eq!(world.mod_refs(port, send, 65_534), Ok(()));
    for change in [-1, 1, -100] {
        assert_eq!(world.mod_refs(port, send, change), Ok(()));
        assert_eq!(world.refs(port, send), Ok(65_535));
    }
    assert_eq!(world.deallocate(port), Ok(()));
    assert_eq!(world.refs(port, send), Ok(65_535));
    world.make_send(port);
    assert_eq!(world.refs(port, send), Ok(65_535), "absorbed");
    assert_eq!(world.mod_refs(port, send, -65_535), Ok(()));
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_RECEIVE));
}

#[test]
fn c3_2_deallocate_takes_one_reference_of_whatever_has_any() {
    let world = World::new();
    let port = world.port();
    assert_eq!(world.deallocate(Name::NULL), Ok(()));
    assert_eq!(world.deallocate(Name::DEAD), Ok(()));
    assert_eq!(world.deallocate(port), Err(KernReturn::INVALID_RIGHT));
    assert_eq!(
        world.deallocate(Name::new(0x7003)),
        Err(KernReturn::INVALID_NAME)
    );
    world.make_send(port);
    assert_eq!(world.deallocate(port), Ok(()));
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_RECEIVE));
    let set = world.set();
    assert_eq!(world.deallocate(set), Ok(()));
    assert_eq!(world.kind(set), Err(KernReturn::INVALID_NAME));
    let dead = world.allocate(PortRight::DEAD_NAME);
    assert_eq!(world.mod_refs(dead, PortRight::DEAD_NAME, 2), Ok(()));
    for left in [2, 1] {
        assert_eq!(world.deallocate(dead), Ok(()));
        assert_eq!(world.refs(dead, PortRight::DEAD_NAME), Ok(left));
    }
    assert_eq!(world.deallocate(dead), Ok(()));
    assert_eq!(
        world.refs(dead, PortRight::DEAD_NAME),
        Err(KernReturn::INVALID_NAME)
    );
}

#[test]
fn c5_5_the_context_is_the_receivers() {
    let world = World::new();
    let port = world.port();
    assert_eq!(world.get_context(port), Ok(0));
    assert_eq!(world.set_context(port, u64::MAX - 1), Ok(()));
    assert_eq!(world.get_context(port), Ok(u64::MAX - 1));
    for name in [Name::NULL, Name::DEAD] {
        let refused = world.get_context(name);
        assert_eq!(refused, Err(KernReturn::INVALID_RIGHT));
    }
    assert_eq!(
        world.set_context(Name::new(0x7003), 1),
        Err(KernReturn::INVALID_NAME)
    );
}

#[test]
fn a_full_space_refuses_and_loses_nothing() {
    let world = World::with(Rules {
        limits: Limits {
            names: 8,
            ..Limits::SMALL
        },
        ..Rules::default()
    });
    let live = world.live();
    let mut made = 0;
    while world.try_allocate(PortRight::RECEIVE).is_ok() {
        made += 1;
    }
    assert_eq!(made, 6, "index 0 is never used, the control port has one");
    for right in [PortRight::PORT_SET, PortRight::DEAD_NAME] {
        assert_eq!(world.try_allocate(right), Err(KernReturn::NO_SPACE));
    }
    assert_eq!(world.live(), live + 6);
}
