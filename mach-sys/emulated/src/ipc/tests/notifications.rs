//! Notifications as macOS 26 has them (C8); how macOS 11 differs is replayed from a recording (`tests/oracle`).

use super::*;
use mach_wire::mig::{
    MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DELETED,
    MACH_NOTIFY_PORT_DESTROYED, MACH_NOTIFY_SEND_ONCE, MACH_NOTIFY_SEND_POSSIBLE,
};

const IDS: [i32; 4] = [
    MACH_NOTIFY_NO_SENDERS,
    MACH_NOTIFY_PORT_DESTROYED,
    MACH_NOTIFY_DEAD_NAME,
    MACH_NOTIFY_SEND_POSSIBLE,
];

/// A space with a watched port and a notify port.
struct Watched {
    world: World,
    port: Name,
    told: Name,
}

impl Watched {
    fn new() -> Self {
        let world = World::of(Generation::MacOs26);
        let (port, told) = (world.port(), world.port());
        Self { world, port, told }
    }

    fn ask(&self, name: Name, id: i32, sync: u32) -> Result<Name, KernReturn> {
        self.ask_for(name, id, sync, self.told)
    }

    fn ask_for(&self, name: Name, id: i32, sync: u32, told: Name) -> Result<Name, KernReturn> {
        let wish = Wish {
            id,
            sync,
            notify: told,
            disposition: Disposition::MAKE_SEND_ONCE,
        };
        self.world.request(name, wish)
    }

    /// Receives the notify port's notifications: identifiers, and the name or number that each carries.
    fn heard(&self) -> Vec<(i32, u32)> {
        let mut heard = Vec::new();
        while let Ok(message) = self.world.receive(self.told) {
            let word = match message.id() as i32 {
                MACH_NOTIFY_SEND_ONCE => 0,
                MACH_NOTIFY_PORT_DESTROYED => message.words[7],
                _ => message.words[8],
            };
            assert_eq!(
                message.bits() >> 8 & 0x1f,
                Disposition::PORT_SEND_ONCE.raw()
            );
            heard.push((message.id() as i32, word));
        }
        heard
    }

    fn send_simple(&self) -> Result<(), KernReturn> {
        self.world
            .send(&Message::to(self.port, Disposition::COPY_SEND, 7))
    }
}

#[test]
fn c8_1_a_refused_request_destroys_the_right_that_was_to_be_told() {
    let invalid = KernReturn::INVALID_ARGUMENT;
    for id in IDS {
        for name in [Name::NULL, Name::DEAD] {
            let watched = Watched::new();
            assert_eq!(watched.ask(name, id, 0), Err(invalid), "{id} {name:?}");
            assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_ONCE, 0)]);
        }
        let watched = Watched::new();
        let absent = watched.ask(Name::new(0x7003), id, 0);
        assert_eq!(absent, Err(KernReturn::INVALID_NAME), "{id}");
        assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_ONCE, 0)]);
        let dead = watched.ask_for(watched.port, id, 0, Name::DEAD);
        assert_eq!(dead, Err(KernReturn::INVALID_CAPABILITY), "{id}");
        let absent = watched.ask_for(watched.port, id, 0, Name::new(0x7003));
        assert_eq!(absent, Err(KernReturn::INVALID_NAME), "{id}");
    }
    let watched = Watched::new();
    let unknown = watched.ask(watched.port, 64, 0);
    assert_eq!(unknown, Err(KernReturn::INVALID_VALUE));
    assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_ONCE, 0)]);
}

#[test]
fn c8_2_the_end_of_the_last_send_right_is_told_once_with_how_many_were_made() {
    let watched = Watched::new();
    let (world, port) = (&watched.world, watched.port);
    // There is none, but one must have been made.
    assert_eq!(watched.ask(port, MACH_NOTIFY_NO_SENDERS, 1), Ok(Name::NULL));
    assert_eq!(watched.heard(), []);
    world.make_send(port);
    world.make_send(port);
    assert_eq!(world.mod_refs(port, PortRight::SEND, -1), Ok(()));
    assert_eq!(watched.heard(), []);
    assert_eq!(world.mod_refs(port, PortRight::SEND, -1), Ok(()));
    assert_eq!(watched.heard(), [(MACH_NOTIFY_NO_SENDERS, 2)]);
    world.make_send(port);
    assert_eq!(world.deallocate(port), Ok(()));
    assert_eq!(watched.heard(), [], "one request, one notification");
    // None is there and three were made: at once.
    assert_eq!(watched.ask(port, MACH_NOTIFY_NO_SENDERS, 3), Ok(Name::NULL));
    assert_eq!(watched.heard(), [(MACH_NOTIFY_NO_SENDERS, 3)]);
}

#[test]
fn c8_3_c8_7_the_death_of_a_port_is_told_and_the_dead_name_has_a_reference_more() {
    let watched = Watched::new();
    let (world, port) = (&watched.world, watched.port);
    world.make_send(port);
    assert_eq!(watched.ask(port, MACH_NOTIFY_DEAD_NAME, 0), Ok(Name::NULL));
    let bits = PortType::SEND | PortType::RECEIVE | PortType::DNREQUEST;
    assert_eq!(world.kind(port), Ok(bits.bits()));
    world.destroy_port(port);
    assert_eq!(watched.heard(), [(MACH_NOTIFY_DEAD_NAME, port.raw())]);
    assert_eq!(world.refs(port, PortRight::DEAD_NAME), Ok(2));
    // On a dead name nothing can be armed, whatever `sync` says.
    for sync in [0, 1] {
        let refused = watched.ask(port, MACH_NOTIFY_DEAD_NAME, sync);
        assert_eq!(refused, Err(KernReturn::INVALID_ARGUMENT));
        assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_ONCE, 0)]);
    }
}

#[test]
fn c1_1_a_name_in_another_space_gets_its_reference_when_it_is_looked_at() {
    let mut watched = Watched::new();
    let port = watched.port;
    let behind = watched.world.port_behind(port);
    let mut other = watched.world.another_space();
    let name = watched
        .world
        .ipc(|ipc| copyout::name_send(ipc, other, behind))
        .expect("room");
    core::mem::swap(&mut watched.world.space, &mut other);
    let told = watched.world.port();
    assert_eq!(
        watched.ask_for(name, MACH_NOTIFY_DEAD_NAME, 0, told),
        Ok(Name::NULL)
    );
    core::mem::swap(&mut watched.world.space, &mut other);
    watched.world.destroy_port(port);
    core::mem::swap(&mut watched.world.space, &mut other);
    watched.told = told;
    assert_eq!(watched.heard(), [(MACH_NOTIFY_DEAD_NAME, name.raw())]);
    assert_eq!(watched.world.refs(name, PortRight::DEAD_NAME), Ok(2));
}

#[test]
fn c8_4_room_is_told_at_once_or_at_the_next_message_that_is_received() {
    let watched = Watched::new();
    let (world, port) = (&watched.world, watched.port);
    world.make_send(port);
    let name = port.raw();
    assert_eq!(
        watched.ask(port, MACH_NOTIFY_SEND_POSSIBLE, 1),
        Ok(Name::NULL)
    );
    assert_eq!(
        watched.heard(),
        [(MACH_NOTIFY_SEND_POSSIBLE, name)],
        "there is room"
    );
    while watched.send_simple().is_ok() {}
    assert_eq!(
        watched.ask(port, MACH_NOTIFY_SEND_POSSIBLE, 1),
        Ok(Name::NULL)
    );
    assert_eq!(watched.heard(), []);
    assert!(world.receive(port).is_ok());
    assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_POSSIBLE, name)]);
    // Armed by a send that finds the port full, if that send says so.
    assert_eq!(
        watched.ask(port, MACH_NOTIFY_SEND_POSSIBLE, 0),
        Ok(Name::NULL)
    );
    assert_eq!(watched.send_simple(), Ok(()));
    assert_eq!(watched.send_simple(), Err(KernReturn::SEND_TIMED_OUT));
    assert!(world.receive(port).is_ok());
    assert_eq!(watched.heard(), [], "no send asked for it");
    assert_eq!(watched.send_simple(), Ok(()));
    let message = Message::to(port, Disposition::COPY_SEND, 7);
    let options = MessageOptions::SEND_TIMEOUT | MessageOptions::SEND_NOTIFY;
    assert_eq!(
        world.send_with(&message, options),
        Err(KernReturn::SEND_TIMED_OUT)
    );
    assert!(world.receive(port).is_ok());
    assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_POSSIBLE, name)]);
}

#[test]
fn c8_5_a_receive_right_goes_where_its_destruction_is_told() {
    let watched = Watched::new();
    let (world, port) = (&watched.world, watched.port);
    world.make_send(port);
    assert_eq!(watched.send_simple(), Ok(()));
    let id = MACH_NOTIFY_PORT_DESTROYED;
    assert_eq!(watched.ask(port, id, 1), Err(KernReturn::INVALID_VALUE));
    assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_ONCE, 0)]);
    assert_eq!(watched.ask(port, id, 0), Ok(Name::NULL));
    assert_eq!(
        watched.ask_for(port, id, 0, Name::NULL),
        Err(KernReturn::FAILURE)
    );
    assert_eq!(world.set_context(port, 7), Ok(()));
    world.destroy_port(port);
    assert_eq!(
        world.kind(port),
        Ok(PortType::SEND.bits()),
        "the send right stays"
    );
    assert_eq!(watched.heard(), [(id, port.raw())], "it joins its name");
    assert_eq!(
        world.kind(port),
        Ok((PortType::SEND | PortType::RECEIVE).bits())
    );
    assert_eq!(world.get_context(port), Ok(0), "C7.1a");
    assert_eq!(
        world.receive(port).map(|message| message.id()),
        Ok(7),
        "with its queue"
    );
    world.destroy_port(port);
    assert_eq!(watched.heard(), [], "the request is used up");
    assert_eq!(world.kind(port), Ok(PortType::DEAD_NAME.bits()));
}

/// F6.17: a request whose notify port is dead counts as absent.
#[test]
fn c8_5_c7_6_a_destruction_told_to_the_port_itself_or_to_a_dead_one_is_one() {
    for told_is_dead in [false, true] {
        let watched = Watched::new();
        let (world, port) = (&watched.world, watched.port);
        let told = if told_is_dead { world.port() } else { port };
        let live = world.live();
        let asked = watched.ask_for(port, MACH_NOTIFY_PORT_DESTROYED, 0, told);
        assert_eq!(asked, Ok(Name::NULL));
        if told_is_dead {
            world.destroy_port(told);
        }
        world.destroy_port(port);
        assert_eq!(world.kind(port), Err(KernReturn::INVALID_NAME));
        assert_eq!(world.live(), live - 1 - u32::from(told_is_dead));
    }
}

#[test]
fn c1_8_c8_6_a_name_that_goes_before_its_port_tells_of_it_last() {
    let watched = Watched::new();
    let (world, port) = (&watched.world, watched.port);
    for id in [MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_SEND_POSSIBLE] {
        let once = world.make_send_once(port);
        // A send-once right always has room: asked for later.
        assert_eq!(watched.ask(once, id, 0), Ok(Name::NULL));
        assert_eq!(world.deallocate(once), Ok(()));
        assert_eq!(
            watched.heard(),
            [(MACH_NOTIFY_PORT_DELETED, once.raw())],
            "{id}"
        );
        assert_eq!(
            world.receive(port).map(|message| message.id() as i32),
            Ok(MACH_NOTIFY_SEND_ONCE)
        );
    }
    let behind = world.port_behind(port);
    assert_eq!(watched.ask(port, MACH_NOTIFY_DEAD_NAME, 0), Ok(Name::NULL));
    world.make_send(port);
    assert_eq!(watched.ask(port, MACH_NOTIFY_NO_SENDERS, 0), Ok(Name::NULL));
    assert_eq!(world.destroy(port), Ok(()));
    assert!(!world.ipc(|ipc| ipc.port(behind).alive));
    // C1.8: the missing senders, then the name.
    let heard = [
        (MACH_NOTIFY_NO_SENDERS, 1),
        (MACH_NOTIFY_PORT_DELETED, port.raw()),
    ];
    assert_eq!(watched.heard(), heard);
}

/// F6.21: a dead one is a success.
#[test]
fn c8_9_the_request_before_is_returned() {
    let watched = Watched::new();
    let (world, port) = (&watched.world, watched.port);
    let first = world.port();
    let id = MACH_NOTIFY_DEAD_NAME;
    assert_eq!(watched.ask_for(port, id, 0, first), Ok(Name::NULL));
    let previous = watched.ask(port, id, 0).expect("armed");
    assert_eq!(world.kind(previous), Ok(PortType::SEND_ONCE.bits()));
    assert_eq!(world.deallocate(previous), Ok(()));
    assert_eq!(
        world.receive(first).map(|message| message.id() as i32),
        Ok(MACH_NOTIFY_SEND_ONCE)
    );
    world.destroy_port(watched.told);
    let other = Watched {
        told: first,
        ..watched
    };
    assert_eq!(other.ask(port, id, 0), Ok(Name::DEAD), "since 26.5");
    let previous = other.ask_for(port, id, 0, Name::NULL).expect("cancelled");
    assert_eq!(other.world.deallocate(previous), Ok(()));
    assert_eq!(other.heard(), [(MACH_NOTIFY_SEND_ONCE, 0)]);
}

/// F6.20: macOS 26 refuses a null or dead name before it looks at the id, and a request by which an immovable receive right could be sent away.
#[test]
fn f6_20_c8_5_requests_that_only_macos_26_refuses() {
    let watched = Watched::new();
    for name in [Name::NULL, Name::DEAD] {
        let unknown = watched.ask(name, 64, 0);
        assert_eq!(unknown, Err(KernReturn::INVALID_ARGUMENT), "{name:?}");
        assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_ONCE, 0)]);
    }
    let flags = mach_wire::port::PortOptionFlags::IMMOVABLE_RECEIVE;
    let port = watched.world.construct(flags, 0).expect("a port");
    let refused = watched.ask(port, MACH_NOTIFY_PORT_DESTROYED, 0);
    assert_eq!(refused, Err(KernReturn::INVALID_RIGHT));
    let guard = watched.world.ipc(|ipc| ipc.take_guard());
    assert_eq!(guard.map(|guard| guard.flavor), Some(65));
    assert_eq!(watched.heard(), [(MACH_NOTIFY_SEND_ONCE, 0)]);
}
