//! Receiving where the name space has no name left (C11.11).

use super::*;
use mach_wire::mig::MACH_NOTIFY_SEND_ONCE;

/// A world with few names, one port, and nothing else.
fn small() -> (World, Name) {
    let world = World::with(Rules {
        limits: Limits {
            names: 8,
            ..Limits::SMALL
        },
        ..Rules::default()
    });
    let port = world.port();
    (world, port)
}

/// Takes all names that are left, and returns one of them.
fn fill(world: &World) -> Name {
    let mut last = None;
    while let Ok(name) = world.try_allocate(PortRight::DEAD_NAME) {
        last = Some(name);
    }
    last.expect("a name was left")
}

fn with_space_bit(error: KernReturn) -> KernReturn {
    KernReturn::new(error.raw() | 0x2000)
}

#[test]
fn c11_11_c7_3_a_right_of_the_body_without_a_name_is_told_and_the_rest_arrives() {
    let (world, port) = small();
    let message = Message::to(port, Disposition::MAKE_SEND, 7)
        .with_right(port, Disposition::MAKE_SEND_ONCE)
        .with_right(port, Disposition::MAKE_SEND);
    world.send(&message).unwrap();
    let taken = fill(&world);
    let mut got = Message::empty();
    let outcome = world.receive_into(&mut got, port, 0, 512);
    assert_eq!(outcome, Err(with_space_bit(KernReturn::RCV_BODY_ERROR)));
    assert_eq!((got.id(), got.local(), got.words[1]), (7, port, 52));
    assert_eq!(got.descriptor(0).0, Name::NULL);
    assert_eq!(got.descriptor(1).0, port, "its port has a name");
    // The right that was destroyed tells its port.
    assert_eq!(
        world.receive(port).unwrap().id(),
        MACH_NOTIFY_SEND_ONCE as u32
    );
    world.deallocate(taken).unwrap();
    world.send(&message).unwrap();
    assert!(world.receive(port).unwrap().descriptor(0).0.is_valid());
}

#[test]
fn c11_11_c11_5_a_reply_right_without_a_name_leaves_a_bare_header() {
    let (world, port) = small();
    let message = Message::to(port, Disposition::MAKE_SEND, 7)
        .with_reply(port, Disposition::MAKE_SEND_ONCE)
        .with_right(port, Disposition::MAKE_SEND);
    world.send(&message).unwrap();
    let taken = fill(&world);
    let mut got = Message::empty();
    let outcome = world.receive_into(&mut got, port, 0, 512);
    assert_eq!(outcome, Err(with_space_bit(KernReturn::RCV_HEADER_ERROR)));
    assert_eq!((got.id(), got.local(), got.remote()), (7, port, Name::NULL));
    assert_eq!(got.words[1], 24);
    assert_eq!(world.refs(port, PortRight::SEND), Ok(0), "destroyed");
    assert_eq!(
        world.receive(port).unwrap().id(),
        MACH_NOTIFY_SEND_ONCE as u32
    );
    world.deallocate(taken).unwrap();
    world.send(&message).unwrap();
    assert!(world.receive(port).unwrap().remote().is_valid());
    // A send right to a port that has a name needs none: the reply right has the last one.
    let full = Err(KernReturn::NO_SPACE);
    assert_eq!(world.try_allocate(PortRight::DEAD_NAME), full);
    let message =
        Message::to(port, Disposition::MAKE_SEND, 7).with_reply(port, Disposition::MAKE_SEND);
    world.send(&message).unwrap();
    assert_eq!(world.receive(port).unwrap().remote(), port);
}
