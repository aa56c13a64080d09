//! Listing the names of a space (C5.2).

use super::*;
use crate::ipc::names::CHUNK;
use mach_wire::port::PortType;

fn list(world: &World, between: impl Fn(u32)) -> Vec<(Name, PortType)> {
    let mut found = Vec::new();
    let mut listing = Listing::new();
    let mut steps = 0;
    while world.ipc(|ipc| listing.step(ipc, world.space, |name, kind| found.push((name, kind)))) {
        steps += 1;
        between(steps);
    }
    found
}

#[test]
fn c5_2_names_lists_everything_in_ascending_order() {
    let world = World::new();
    let (port, set) = (world.port(), world.set());
    world.make_send(port);
    let once = world.make_send_once(port);
    assert_eq!(
        list(&world, |_| {}),
        [
            (world.control, PortType::SEND),
            (port, PortType::SEND_RECEIVE),
            (set, PortType::PORT_SET),
            (once, PortType::SEND_ONCE),
        ]
    );
}

#[test]
fn c1_2_names_of_dead_ports_show_as_dead_names_and_are_not_converted() {
    let world = World::new();
    let port = world.port();
    let once = world.make_send_once(port);
    world.destroy_port(port);
    assert!(list(&world, |_| {}).contains(&(once, PortType::DEAD_NAME)));
    // A late reply through it vanishes, as through a name that was not looked at (C10.2).
    let late = Message::to(once, Disposition::MOVE_SEND_ONCE, 1);
    assert_eq!(world.send(&late), Ok(()));
}

#[test]
fn a_quiet_space_is_listed_exactly_whatever_the_size_of_its_table() {
    for count in [CHUNK - 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let world = World::new();
        let ports: Vec<_> = (0..count).map(|_| world.port()).collect();
        // Every third name is free again.
        let kept = |index: &usize| index % 3 != 0;
        for index in (0..ports.len()).filter(|index| !kept(index)) {
            world.destroy_port(ports[index]);
        }
        let mut expected = vec![world.control];
        expected.extend((0..ports.len()).filter(kept).map(|index| ports[index]));
        let found: Vec<_> = list(&world, |_| {})
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(found, expected, "{count}");
    }
}

#[test]
fn names_that_come_and_go_meanwhile_neither_hide_nor_repeat_the_others() {
    let world = World::new();
    let ports: Vec<_> = (0..4 * CHUNK).map(|_| world.port()).collect();
    let (early, late) = (ports[0], ports[ports.len() - 1]);
    let found = list(&world, |step| match step {
        1 => world.destroy_port(early),
        2 => world.destroy_port(late),
        _ => {
            world.port();
        }
    });
    let mut names: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
    assert!(names.is_sorted());
    names.retain(|name| ports[1..ports.len() - 1].contains(name));
    assert_eq!(names, ports[1..ports.len() - 1]);
}
