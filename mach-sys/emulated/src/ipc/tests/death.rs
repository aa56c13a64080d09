//! What remains of a port that died (C1, C3).

use super::*;
use mach_wire::port::*;

#[test]
fn c1_1_send_rights_of_a_dead_port_become_dead_names_with_the_same_references() {
    let world = World::new();
    let other = world.another_task();
    let port = world.port();
    world.make_send(port);
    // Another task gets three references on it.
    let name = {
        let mut kernel = world.mach.lock();
        let object = kernel.space_object(world.task, port);
        for _ in 0..2 {
            kernel.name_send_right(other, object).expect("room");
        }
        kernel.name_send_right(other, object).expect("room")
    };
    let right = MACH_PORT_RIGHT_RECEIVE;
    world.mod_refs(port, right, -1).unwrap();
    let mut kernel = world.mach.lock();
    assert_eq!(kernel.port_type(other, name), Ok(MACH_PORT_TYPE_DEAD_NAME));
    let references = kernel.get_refs(other, name, MACH_PORT_RIGHT_DEAD_NAME);
    assert_eq!(references, Ok(3));
    // The task that had the receive right keeps its send references as a dead name at once (C1.3).
    let own = kernel.get_refs(world.task, port, MACH_PORT_RIGHT_DEAD_NAME);
    assert_eq!(own, Ok(1));
}

#[test]
fn c4_4_a_send_reference_of_a_dead_port_is_no_send_right() {
    let world = World::new();
    let port = world.port();
    world.make_send(port);
    world.mod_refs(port, MACH_PORT_RIGHT_RECEIVE, -1).unwrap();
    let refused = world.mod_refs(port, MACH_PORT_RIGHT_SEND, 0);
    assert_eq!(refused, Err(KernReturn::INVALID_RIGHT));
    assert_eq!(world.deallocate(port), Ok(()));
    assert_eq!(world.kind(port), Err(KernReturn::INVALID_NAME));
}

#[test]
fn nothing_stays_behind_when_names_and_ports_are_gone() {
    let world = World::new();
    let (names, objects) = (world.names(), world.mach.lock().state.objects.live());
    for _ in 0..100 {
        let port = world.port();
        world.make_send(port);
        let once = world.make_send_once(port);
        let set = world.set();
        world
            .mach
            .lock()
            .insert_member(world.task, port, set)
            .unwrap();
        let message = Message::to(port, MACH_MSG_TYPE_COPY_SEND, 1)
            .with_reply(port, MACH_MSG_TYPE_MAKE_SEND_ONCE)
            .with_right(port, MACH_MSG_TYPE_COPY_SEND);
        world.send(&message).unwrap();
        world.mod_refs(port, MACH_PORT_RIGHT_RECEIVE, -1).unwrap();
        assert_eq!(world.kind(once), Ok(MACH_PORT_TYPE_DEAD_NAME));
        for name in [port, once, set] {
            world.deallocate(name).unwrap();
        }
    }
    assert_eq!(world.names(), names);
    assert_eq!(world.mach.lock().state.objects.live(), objects);
}

#[test]
fn c8_8_a_send_once_right_destroyed_unused_tells_its_port() {
    let world = World::new();
    let port = world.port();
    let once = world.make_send_once(port);
    world.deallocate(once).unwrap();
    let told = world.receive(port).unwrap();
    assert_eq!((told.id(), told.words[1]), (71, 24));
    assert_eq!(told.local(), port);
    assert_eq!(told.remote(), 0);
    assert_eq!(told.bits(), MACH_MSG_TYPE_PORT_SEND_ONCE << 8);
}

#[test]
fn c1_6_the_reply_rights_of_a_destroyed_queue_tell_their_ports() {
    let world = World::new();
    let (port, reply) = (world.port(), world.port());
    for _ in 0..3 {
        let message = Message::to(port, MACH_MSG_TYPE_MAKE_SEND, 1)
            .with_reply(reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
        world.send(&message).unwrap();
    }
    world.mod_refs(port, MACH_PORT_RIGHT_RECEIVE, -1).unwrap();
    for _ in 0..3 {
        assert_eq!(world.receive(reply).unwrap().id(), 71);
    }
    let empty = world.receive(reply).unwrap_err();
    assert_eq!(empty, KernReturn::RCV_TIMED_OUT);
}

#[test]
fn c1_7_a_receive_right_in_a_destroyed_message_dies_with_it() {
    let world = World::new();
    let (outer, inner, reply) = (world.port(), world.port(), world.port());
    world.make_send(inner);
    let message = Message::to(inner, MACH_MSG_TYPE_COPY_SEND, 1)
        .with_reply(reply, MACH_MSG_TYPE_MAKE_SEND_ONCE);
    world.send(&message).unwrap();
    let message = Message::to(outer, MACH_MSG_TYPE_MAKE_SEND, 2)
        .with_right(inner, MACH_MSG_TYPE_MOVE_RECEIVE);
    world.send(&message).unwrap();
    assert_eq!(world.kind(inner), Ok(MACH_PORT_TYPE_SEND), "in transit");
    world.mod_refs(outer, MACH_PORT_RIGHT_RECEIVE, -1).unwrap();
    assert_eq!(world.kind(inner), Ok(MACH_PORT_TYPE_DEAD_NAME));
    assert_eq!(world.receive(reply).unwrap().id(), 71);
}
