//! Port sets (C9).

use super::*;
use crate::ipc::member::Receivers;
use crate::ipc::names::CHUNK;
use mach_wire::port::*;

fn queue(world: &World, port: Name, id: u32) {
    let message = Message::to(port, Disposition::MAKE_SEND, id);
    world.send(&message).expect("room in the queue");
}

#[test]
fn c9_1_c9_2_membership_and_its_errors() {
    let world = World::new();
    let (port, set) = (world.port(), world.set());
    assert_eq!(world.join(port, set), Ok(()));
    assert_eq!(world.join(port, set), Err(KernReturn::ALREADY_IN_SET));
    assert_eq!(world.join(set, port), Err(KernReturn::INVALID_RIGHT));
    assert_eq!(
        world.join(port, Name::new(0x7003)),
        Err(KernReturn::INVALID_NAME)
    );
    for name in [Name::NULL, Name::DEAD] {
        assert_eq!(world.join(name, set), Err(KernReturn::INVALID_RIGHT));
    }
    assert_eq!(world.leave(port, set), Ok(()));
    assert_eq!(world.leave(port, set), Err(KernReturn::NOT_IN_SET));
    assert_eq!(world.move_to(port, Name::NULL), Err(KernReturn::NOT_IN_SET));
    assert_eq!(world.move_to(port, set), Ok(()));
    assert_eq!(world.move_to(port, set), Ok(()));
    assert_eq!(world.move_to(port, Name::NULL), Ok(()));
}

/// A thread that waits for a reply spins if the receiver, at whichever of the port's sets, is on another CPU.
#[test]
fn the_receivers_of_a_port_are_looked_for_in_its_older_sets_too() {
    let world = World::new();
    let (port, sets) = (world.port(), [world.set(), world.set(), world.set()]);
    for set in sets {
        world.join(port, set).unwrap();
    }
    world.ipc(|ipc| {
        let entry = |name| ipc.space(world.space).get(name).expect("a right");
        let id = entry(port).port().expect("a port");
        let found = Receivers::of(ipc, id).sets;
        for set in sets {
            assert!(found.contains(&entry(set).set()), "{found:?}");
        }
        assert_eq!(found.into_iter().flatten().count(), sets.len());
    });
}

#[test]
fn c9_4_members_are_served_in_turn_and_each_in_order() {
    let world = World::new();
    let set = world.set();
    let ports = [world.port(), world.port(), world.port()];
    for port in ports {
        world.join(port, set).unwrap();
    }
    for round in 0..3 {
        for (index, port) in ports.iter().enumerate() {
            queue(&world, *port, round * 10 + index as u32);
        }
    }
    let got: Vec<_> = (0..9)
        .map(|_| {
            let message = world.receive(set).unwrap();
            (message.local(), message.id())
        })
        .collect();
    let expected: Vec<_> = (0..3)
        .flat_map(|round| {
            ports
                .iter()
                .enumerate()
                .map(move |(index, port)| (*port, round * 10 + index as u32))
        })
        .collect();
    assert_eq!(got, expected);
    let empty = world.receive(set).unwrap_err();
    assert_eq!(empty, KernReturn::RCV_TIMED_OUT);
}

#[test]
fn c9_5_a_member_may_bring_messages_and_be_received_from_directly() {
    let world = World::new();
    let (port, set) = (world.port(), world.set());
    queue(&world, port, 1);
    queue(&world, port, 2);
    world.join(port, set).unwrap();
    assert_eq!(world.receive(port).unwrap().id(), 1);
    assert_eq!(world.receive(set).unwrap().id(), 2);
    assert!(world.receive(set).is_err());
}

#[test]
fn c9_3_a_set_and_its_members_die_apart() {
    let world = World::new();
    let (port, set) = (world.port(), world.set());
    let other = world.set();
    for set in [set, other] {
        world.join(port, set).unwrap();
    }
    queue(&world, port, 7);
    world.mod_refs(set, PortRight::PORT_SET, -1).unwrap();
    assert_eq!(world.receive(other).unwrap().id(), 7);
    world.destroy_port(port);
    let empty = world.receive(other).unwrap_err();
    assert_eq!(empty, KernReturn::RCV_TIMED_OUT);
}

#[test]
fn ten_thousand_joins_and_messages_leave_no_link_behind() {
    let world = World::new();
    let set = world.set();
    for round in 0..1000 {
        let port = world.port();
        world.join(port, set).unwrap();
        queue(&world, port, round);
        if round % 2 == 0 {
            assert_eq!(world.receive(set).unwrap().id(), round);
        }
        world.destroy_port(port);
    }
    assert!(world.receive(set).is_err());
    assert_eq!(world.ipc(|ipc| ipc.state.links.live()), 0);
}

#[test]
fn c9_6_the_members_are_listed_by_ascending_name() {
    let world = World::new();
    let (set, other) = (world.set(), world.set());
    assert_eq!(world.members(set), Ok(vec![]));
    let ports: Vec<_> = (0..2 * CHUNK).map(|_| world.port()).collect();
    // Every third, the last one first; one that is in another set too, and one that is there alone.
    let members: Vec<_> = ports.iter().copied().step_by(3).collect();
    for port in members.iter().rev() {
        world.join(*port, set).expect("room");
    }
    world.join(members[0], other).expect("room");
    world.join(ports[1], other).expect("room");
    world.make_send(ports[2]);
    assert_eq!(world.members(set), Ok(members.clone()));
    world.leave(members[1], set).expect("a member");
    world.destroy_port(members[2]);
    let left = [&members[..1], &members[3..]].concat();
    assert_eq!(world.members(set), Ok(left));
    for name in [Name::NULL, Name::DEAD, ports[0]] {
        assert_eq!(world.members(name), Err(KernReturn::INVALID_RIGHT));
    }
    assert_eq!(
        world.members(Name::new(0x7f0003)),
        Err(KernReturn::INVALID_NAME)
    );
}
