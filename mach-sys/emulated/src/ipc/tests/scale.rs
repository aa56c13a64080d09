//! Cost of operations, counted in looks at ports, sets, links and name slots: no operation goes through a whole table.

use super::*;

/// Returns a kernel with room for many members of a set.
fn large() -> World {
    World::with(Rules {
        limits: Limits {
            ports: 1 << 15,
            members: 1 << 15,
            names: 1 << 15,
            ..Limits::SMALL
        },
        ..Rules::default()
    })
}

fn looks(world: &World) -> u64 {
    world.ipc(|ipc| {
        let state = &*ipc.state;
        let names: u64 = state.spaces().map(Space::looks).sum();
        state.ports.looks() + state.sets.looks() + state.links.looks() + names
    })
}

/// Looks that an operation takes.
fn cost(world: &World, operate: impl FnOnce()) -> u64 {
    let before = looks(world);
    operate();
    looks(world) - before
}

/// Order in which the members of a set are visited.
#[derive(Clone, Copy, Debug)]
enum Order {
    FirstJoinedFirst,
    LastJoinedFirst,
}

const ORDERS: [Order; 2] = [Order::FirstJoinedFirst, Order::LastJoinedFirst];

/// A way for a member to leave its set.
type Leave = fn(&World, Name, Name);

const WAYS: [(&str, Leave); 3] = [
    ("its port dies", |world, port, _| world.destroy_port(port)),
    ("extract_member", |world, port, set| {
        world.leave(port, set).expect("a member");
    }),
    ("move_member", |world, port, _| {
        world.move_to(port, Name::NULL).expect("a member");
    }),
];

#[test]
fn a_member_leaves_a_set_at_a_cost_that_does_not_grow_with_the_set() {
    for (way, leave) in WAYS {
        for order in ORDERS {
            let worst = |members: usize| {
                let world = large();
                let set = world.set();
                let mut ports: Vec<_> = (0..members).map(|_| world.port()).collect();
                for port in &ports {
                    world.join(*port, set).expect("room");
                }
                if let Order::LastJoinedFirst = order {
                    ports.reverse();
                }
                let costs = ports
                    .iter()
                    .map(|port| cost(&world, || leave(&world, *port, set)));
                costs.max().expect("members")
            };
            let (few, many) = (worst(100), worst(10_000));
            assert_eq!(few, many, "{way}, {order:?}");
            assert!(many < 60, "{way}, {order:?}: {many}");
        }
    }
}

#[test]
fn a_chosen_name_costs_the_same_however_many_slots_are_free() {
    let worst = |free: usize| {
        let world = large();
        let target = world.port();
        let ports: Vec<_> = (0..free).map(|_| world.port()).collect();
        for port in &ports {
            world.destroy_port(*port);
        }
        let chosen = [ports[0], ports[free / 2], ports[free - 1]];
        let mut names = chosen.to_vec();
        // Far above all slots that were ever used.
        names.push(Name::of(30_000, 3));
        let costs = names.into_iter().map(|name| {
            cost(&world, || {
                let inserted = world.insert(name, target, Disposition::MAKE_SEND_ONCE);
                inserted.expect("a free name");
            })
        });
        let worst = costs.max().expect("names");
        // The free list is whole: all slots but the three chosen ones come back, and no slot twice.
        let mut again: Vec<_> = (0..free).map(|_| world.port().index()).collect();
        again.sort_unstable();
        again.dedup();
        assert_eq!(again.len(), free);
        assert!(chosen.iter().all(|name| !again.contains(&name.index())));
        worst
    };
    let (few, many) = (worst(100), worst(10_000));
    assert_eq!(few, many);
    assert!(many < 40, "{many}");
}

#[test]
fn slots_of_chosen_names_are_passed_over_and_used_again_when_they_are_free() {
    let world = World::new();
    let target = world.port();
    let chosen: Vec<_> = [10, 11, 12, 40].map(|index| Name::of(index, 0x47)).to_vec();
    for name in &chosen {
        let inserted = world.insert(*name, target, Disposition::MAKE_SEND_ONCE);
        inserted.expect("a free name");
    }
    world.deallocate(chosen[1]).expect("a send-once right");
    let mut made: Vec<_> = (0..60).map(|_| world.port()).collect();
    assert_eq!(made[0].index(), 11, "the slot freed last is taken first");
    assert_ne!(made[0], chosen[1], "in another generation");
    made.extend(chosen.iter().filter(|name| name.index() != 11));
    let mut slots: Vec<_> = made.iter().map(|name| name.index()).collect();
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), made.len(), "no slot has two names");
}

#[test]
fn a_listing_looks_at_a_bounded_number_of_slots_at_a_time() {
    let world = large();
    for _ in 0..10_000 {
        world.port();
    }
    let mut listing = crate::ipc::names::Listing::new();
    let mut more = true;
    while more {
        let step = cost(&world, || {
            more = world.ipc(|ipc| listing.step(ipc, world.space, |_, _| {}));
        });
        assert!(step <= 3 * u64::from(crate::ipc::names::CHUNK), "{step}");
    }
}

#[test]
fn receiving_from_a_set_costs_the_same_however_many_members_it_has() {
    let worst = |members: usize| {
        let world = large();
        let set = world.set();
        for _ in 0..members {
            let port = world.port();
            world.join(port, set).expect("room");
            let message = Message::to(port, Disposition::MAKE_SEND_ONCE, 1);
            if members < 900 {
                world.send(&message).expect("room");
            }
        }
        let busy = world.port();
        world.join(busy, set).expect("room");
        let message = Message::to(busy, Disposition::MAKE_SEND_ONCE, 7);
        world.send(&message).expect("room");
        let mut costs = Vec::new();
        loop {
            let mut got = None;
            costs.push(cost(&world, || got = world.receive(set).ok()));
            match got {
                Some(message) if message.id() == 7 => break,
                Some(_) => {}
                None => panic!("the message was lost"),
            }
        }
        costs.into_iter().max().expect("a message")
    };
    assert_eq!(worst(100), worst(800));
    assert!(worst(10_000) <= worst(100));
}
