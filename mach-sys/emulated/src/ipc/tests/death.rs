//! Remains of a port that died (C1, C3).

use super::*;
use mach_wire::port::*;

#[test]
fn c1_1_send_rights_of_a_dead_port_become_dead_names_with_the_same_references() {
    let world = World::new();
    let other = world.another_space();
    let port = world.port();
    world.make_send(port);
    // Another space gets three references on it.
    let object = world.port_behind(port);
    let give = || world.ipc(|ipc| copyout::name_send(ipc, other, object));
    let name = give().expect("room");
    assert_eq!((give(), give()), (Some(name), Some(name)));
    world.destroy_port(port);
    let kind = world.ipc(|ipc| mach_port::port_type(ipc, other, name));
    assert_eq!(kind, Ok(PortType::DEAD_NAME));
    let right = PortRight::DEAD_NAME;
    let references = world.ipc(|ipc| mach_port::get_refs(ipc, other, name, right));
    assert_eq!(references, Ok(3));
    // The space that had the receive right keeps its send references as a dead name at once (C1.3).
    assert_eq!(world.refs(port, right), Ok(1));
}

#[test]
fn c4_4_a_send_reference_of_a_dead_port_is_no_send_right() {
    let world = World::new();
    let port = world.port();
    world.make_send(port);
    world.destroy_port(port);
    let refused = world.mod_refs(port, PortRight::SEND, 0);
    assert_eq!(refused, Err(KernReturn::INVALID_RIGHT));
    assert_eq!(world.deallocate(port), Ok(()));
    assert_eq!(world.kind(port), Err(KernReturn::INVALID_NAME));
}

#[test]
fn nothing_stays_behind_when_names_and_ports_are_gone() {
    let world = World::new();
    let (names, objects) = (world.names(), world.live());
    for _ in 0..100 {
        let port = world.port();
        world.make_send(port);
        let once = world.make_send_once(port);
        let set = world.set();
        world.join(port, set).unwrap();
        let message = Message::to(port, Disposition::COPY_SEND, 1)
            .with_reply(port, Disposition::MAKE_SEND_ONCE)
            .with_right(port, Disposition::COPY_SEND);
        world.send(&message).unwrap();
        world.destroy_port(port);
        assert_eq!(world.kind(once), Ok(MACH_PORT_TYPE_DEAD_NAME));
        for name in [port, once, set] {
            world.deallocate(name).unwrap();
        }
    }
    assert_eq!(world.names(), names);
    assert_eq!(world.live(), objects);
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
    assert_eq!(told.remote(), Name::NULL);
    assert_eq!(told.bits(), Disposition::PORT_SEND_ONCE.raw() << 8);
}

#[test]
fn c1_6_the_reply_rights_of_a_destroyed_queue_tell_their_ports() {
    let world = World::new();
    let (port, reply) = (world.port(), world.port());
    for _ in 0..3 {
        let message = Message::to(port, Disposition::MAKE_SEND, 1)
            .with_reply(reply, Disposition::MAKE_SEND_ONCE);
        world.send(&message).unwrap();
    }
    world.destroy_port(port);
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
    let message = Message::to(inner, Disposition::COPY_SEND, 1)
        .with_reply(reply, Disposition::MAKE_SEND_ONCE);
    world.send(&message).unwrap();
    let message =
        Message::to(outer, Disposition::MAKE_SEND, 2).with_right(inner, Disposition::MOVE_RECEIVE);
    world.send(&message).unwrap();
    assert_eq!(world.kind(inner), Ok(MACH_PORT_TYPE_SEND), "in transit");
    world.destroy_port(outer);
    assert_eq!(world.kind(inner), Ok(MACH_PORT_TYPE_DEAD_NAME));
    assert_eq!(world.receive(reply).unwrap().id(), 71);
}
