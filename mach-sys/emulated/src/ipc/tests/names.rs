//! Names and user references (C0–C6, A7.3, D5).

use super::*;
use mach_wire::port::*;
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL};

#[test]
fn c2_1_a_new_port_has_a_receive_right_and_nothing_else() {
    let world = World::new();
    let port = world.port();
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_RECEIVE));
    assert_eq!(world.refs(port, MACH_PORT_RIGHT_RECEIVE), Ok(1));
    assert_eq!(world.refs(port, MACH_PORT_RIGHT_SEND), Ok(0));
    let mut kernel = world.mach.lock();
    for right in [MACH_PORT_RIGHT_SEND, MACH_PORT_RIGHT_SEND_ONCE, 5, 6, 77] {
        let refused = kernel.allocate(world.task, right);
        assert_eq!(refused, Err(KernReturn::INVALID_VALUE), "{right}");
    }
}

#[test]
fn c0_2_c0_7_names_carry_their_slot_and_a_generation_that_moves_with_each_use() {
    let world = World::new();
    let first = world.port();
    assert_eq!(first & 0xff, 3, "a slot's first low byte");
    let mut last = first;
    for _ in 0..200 {
        world.mod_refs(last, MACH_PORT_RIGHT_RECEIVE, -1).unwrap();
        let next = world.port();
        assert_eq!(next >> 8, first >> 8, "the slot freed last is taken first");
        assert_eq!(next & 3, 3);
        let step = (next as u8).wrapping_sub(last as u8);
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
        assert_eq!(world.refs(port, MACH_PORT_RIGHT_SEND), Ok(count));
    }
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_SEND_RECEIVE));
    let mut kernel = world.mach.lock();
    let task = world.task;
    let mut insert = |name, kind| kernel.insert_right(task, name, name, kind);
    assert_eq!(
        insert(MACH_PORT_NULL, MACH_MSG_TYPE_MAKE_SEND),
        Err(KernReturn::INVALID_NAME)
    );
    assert_eq!(
        insert(0x7003, MACH_MSG_TYPE_COPY_SEND),
        Err(KernReturn::INVALID_NAME)
    );
}

#[test]
fn c6_2_insert_right_under_a_chosen_name() {
    let world = World::new();
    let port = world.port();
    let task = world.task;
    let mut kernel = world.mach.lock();
    let mut insert = |name, kind| kernel.insert_right(task, name, port, kind);
    let make = MACH_MSG_TYPE_MAKE_SEND;
    assert_eq!(insert(MACH_PORT_NULL, make), Err(KernReturn::INVALID_VALUE));
    assert_eq!(insert(0x12_3402, make), Err(KernReturn::NO_SPACE));
    assert_eq!(insert(0x7002, make), Err(KernReturn::INVALID_VALUE));
    assert_eq!(insert(0x3, make), Err(KernReturn::FAILURE));
    // The space names the port already: under another name it refuses.
    assert_eq!(insert(0x7003, make), Err(KernReturn::RIGHT_EXISTS));
    assert_eq!(
        insert(0x7003, MACH_MSG_TYPE_MAKE_SEND_ONCE),
        Ok(()),
        "send-once rights never coalesce"
    );
    assert_eq!(
        insert(0x7003, MACH_MSG_TYPE_MAKE_SEND_ONCE),
        Err(KernReturn::NAME_EXISTS)
    );
    // The slots below the chosen one are free ones now.
    drop(kernel);
    let next = world.port();
    assert!(next >> 8 < 0x70, "{next:#x}");
}

#[test]
fn c4_1_get_refs_answers_for_every_kind_of_name() {
    let world = World::new();
    let port = world.port();
    for name in [MACH_PORT_NULL, MACH_PORT_DEAD] {
        assert_eq!(world.refs(name, MACH_PORT_RIGHT_SEND), Ok(1));
        assert_eq!(world.refs(name, MACH_PORT_RIGHT_SEND_ONCE), Ok(1));
        assert_eq!(
            world.refs(name, MACH_PORT_RIGHT_RECEIVE),
            Err(KernReturn::INVALID_NAME)
        );
    }
    assert_eq!(world.refs(port, 6), Err(KernReturn::INVALID_VALUE));
    assert_eq!(world.refs(port, 5), Ok(0));
    assert_eq!(
        world.refs(port + 0x100, MACH_PORT_RIGHT_SEND),
        Err(KernReturn::INVALID_NAME)
    );
}

#[test]
fn c4_2_mod_refs_never_makes_a_send_right_and_never_goes_below_zero() {
    let world = World::new();
    let port = world.port();
    let send = MACH_PORT_RIGHT_SEND;
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
        world.mod_refs(port, MACH_PORT_RIGHT_RECEIVE, -2),
        Err(KernReturn::INVALID_VALUE)
    );
    assert_eq!(world.mod_refs(port, 6, 0), Err(KernReturn::INVALID_VALUE));
    assert_eq!(
        world.mod_refs(port, MACH_PORT_RIGHT_DEAD_NAME, 0),
        Err(KernReturn::INVALID_RIGHT)
    );
}

#[test]
fn a7_3_a_count_that_reached_65535_stays_there() {
    let world = World::new();
    let port = world.port();
    let send = MACH_PORT_RIGHT_SEND;
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
    assert_eq!(world.deallocate(MACH_PORT_NULL), Ok(()));
    assert_eq!(world.deallocate(MACH_PORT_DEAD), Ok(()));
    assert_eq!(world.deallocate(port), Err(KernReturn::INVALID_RIGHT));
    assert_eq!(world.deallocate(0x7003), Err(KernReturn::INVALID_NAME));
    world.make_send(port);
    assert_eq!(world.deallocate(port), Ok(()));
    assert_eq!(world.kind(port), Ok(MACH_PORT_TYPE_RECEIVE));
    let set = world.set();
    assert_eq!(world.deallocate(set), Ok(()));
    assert_eq!(world.kind(set), Err(KernReturn::INVALID_NAME));
    let dead = world.allocate(MACH_PORT_RIGHT_DEAD_NAME);
    assert_eq!(world.mod_refs(dead, MACH_PORT_RIGHT_DEAD_NAME, 2), Ok(()));
    for left in [2, 1] {
        assert_eq!(world.deallocate(dead), Ok(()));
        assert_eq!(world.refs(dead, MACH_PORT_RIGHT_DEAD_NAME), Ok(left));
    }
    assert_eq!(world.deallocate(dead), Ok(()));
    assert_eq!(
        world.refs(dead, MACH_PORT_RIGHT_DEAD_NAME),
        Err(KernReturn::INVALID_NAME)
    );
}

#[test]
fn d1_3_d5_6_the_tasks_name_starts_at_two_and_cannot_be_dropped() {
    let world = World::new();
    let name = {
        let kernel = world.mach.lock();
        let port = kernel.task(world.task).port;
        kernel.name_of(world.task, port).expect("a task has a name")
    };
    let send = MACH_PORT_RIGHT_SEND;
    assert_eq!(world.refs(name, send), Ok(2));
    assert_eq!(world.deallocate(name), Ok(()));
    assert_eq!(world.deallocate(name), Err(KernReturn::INVALID_CAPABILITY));
    assert_eq!(
        world.mod_refs(name, send, -1),
        Err(KernReturn::INVALID_CAPABILITY)
    );
    assert_eq!(world.refs(name, send), Ok(1), "nothing changed");
    assert_eq!(world.mod_refs(name, send, 65_534), Ok(()));
    assert_eq!(
        world.mod_refs(name, send, -65_535),
        Err(KernReturn::INVALID_CAPABILITY),
        "a pegged pinned name cannot be cured"
    );
}

#[test]
fn c5_2_names_lists_everything_in_ascending_order() {
    let world = World::new();
    let (port, set) = (world.port(), world.set());
    world.make_send(port);
    let once = world.make_send_once(port);
    let mut names = [0; 8];
    let mut types = [0; 8];
    let count = world
        .mach
        .lock()
        .port_names(world.task, &mut names, &mut types);
    assert_eq!(count, 4, "with the task's own");
    assert_eq!(names[1..4], [port, set, once]);
    assert_eq!(
        types[1..4],
        [
            MACH_PORT_TYPE_SEND_RECEIVE,
            MACH_PORT_TYPE_PORT_SET,
            MACH_PORT_TYPE_SEND_ONCE
        ]
    );
}

#[test]
fn c5_5_the_context_is_the_receivers() {
    let world = World::new();
    let port = world.port();
    let mut kernel = world.mach.lock();
    assert_eq!(kernel.get_context(world.task, port), Ok(0));
    assert_eq!(kernel.set_context(world.task, port, u64::MAX - 1), Ok(()));
    assert_eq!(kernel.get_context(world.task, port), Ok(u64::MAX - 1));
    for name in [MACH_PORT_NULL, MACH_PORT_DEAD] {
        let refused = kernel.get_context(world.task, name);
        assert_eq!(refused, Err(KernReturn::INVALID_RIGHT));
    }
    assert_eq!(
        kernel.set_context(world.task, 0x7003, 1),
        Err(KernReturn::INVALID_NAME)
    );
}

#[test]
fn a_full_space_refuses_and_loses_nothing() {
    let limits = Limits { names: 8, ..LIMITS };
    let mach = Mach::new(limits).expect("memory");
    let task = mach.create_task().expect("memory").expect("room");
    let mut kernel = mach.lock();
    let live = kernel.state.objects.live();
    let mut made = 0;
    while kernel.allocate(task, MACH_PORT_RIGHT_RECEIVE).is_ok() {
        made += 1;
    }
    assert_eq!(made, 6, "index 0 is never used, the task has one");
    assert_eq!(
        kernel.allocate(task, MACH_PORT_RIGHT_PORT_SET),
        Err(KernReturn::NO_SPACE)
    );
    assert_eq!(kernel.state.objects.live(), live + 6);
}
