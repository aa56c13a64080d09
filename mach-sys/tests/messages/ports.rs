//! Arrays of ports, and guarded ports (C10.1, C10.4, C7.6).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::*;
use mach_sys::mig::MACH_NOTIFY_SEND_ONCE;
use mach_sys::port::{
    MACH_PORT_TYPE_DEAD_NAME, MACH_PORT_TYPE_RECEIVE, MACH_PORT_TYPE_SEND, MACH_PORT_TYPE_SEND_ONCE,
};
use mach_sys::rights::Right;
use mach_sys::types::*;

#[test]
fn c10_4_an_array_of_ports_carries_rights_of_each_kind() {
    let port = port();
    let others = [self::port(), self::port()];
    let names = others.each_ref().map(|other| other.name().raw());
    let dead = {
        let dying = self::port();
        dying.make_send().expect("a send right").into_name().raw()
    };
    let mut message = Message::to(port.name().raw(), SEND)
        .ports(
            &[names[0], MACH_PORT_NULL, names[1], MACH_PORT_DEAD, names[0]],
            SEND,
        )
        .ports(&names, ONCE)
        .ports(&[], SEND)
        .ports(&[dead], MACH_MSG_TYPE_MOVE_SEND);
    assert_eq!(message.send(), KernReturn::SUCCESS);
    let got = Received::from(&port);
    let (array, sends) = names_at(&got, 28);
    assert_eq!(u32::from(array.disposition), MACH_MSG_TYPE_PORT_SEND);
    assert_eq!(
        sends,
        [names[0], MACH_PORT_NULL, names[1], MACH_PORT_DEAD, names[0]]
    );
    assert_eq!(
        (send_references(&others[0]), send_references(&others[1])),
        (2, 1)
    );
    let (array, onces) = names_at(&got, 44);
    assert_eq!(u32::from(array.disposition), MACH_MSG_TYPE_PORT_SEND_ONCE);
    for name in &onces {
        assert_eq!(kind(*name), Some(MACH_PORT_TYPE_SEND_ONCE));
    }
    assert_eq!(names_at(&got, 60).1, []);
    assert_eq!(names_at(&got, 76).1, [MACH_PORT_DEAD]);
    assert_eq!(kind(dead), None, "its reference went with the message");
    got.destroy();
    assert_eq!(
        (send_references(&others[0]), send_references(&others[1])),
        (0, 0)
    );
    for other in &others {
        assert_eq!(
            Received::from(other).header().msgh_id,
            MACH_NOTIFY_SEND_ONCE
        );
    }
    let mut message = Message::to(port.name().raw(), SEND).ports(&names, 15);
    assert_eq!(message.send(), KernReturn::SEND_INVALID_RIGHT);
}

#[test]
fn c10_4_a_bad_right_in_an_array_destroys_what_was_taken() {
    let (port, other) = (port(), port());
    let name = other.name().raw();
    let mut message = Message::to(port.name().raw(), SEND)
        .port(name, ONCE)
        .ports(&[name, 0xdead03, name], SEND);
    assert_eq!(message.send(), KernReturn::SEND_INVALID_RIGHT);
    assert_eq!(send_references(&other), 0);
    assert_eq!(
        Received::from(&other).header().msgh_id,
        MACH_NOTIFY_SEND_ONCE
    );
}

#[test]
fn c7_6_receive_rights_in_arrays_move_and_close_circles() {
    let port = port();
    let moved = self::port();
    let send = moved.make_send().expect("a send right");
    let name = moved.into_name().raw();
    let mut message =
        Message::to(port.name().raw(), SEND).ports(&[name], MACH_MSG_TYPE_MOVE_RECEIVE);
    assert_eq!(message.send(), KernReturn::SUCCESS);
    assert_eq!(kind(name), Some(MACH_PORT_TYPE_SEND));
    let got = Received::from(&port);
    assert_eq!(names_at(&got, 28).1, [name]);
    assert_eq!(
        kind(name),
        Some(MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_RECEIVE)
    );
    got.destroy();
    assert_eq!(kind(name), Some(MACH_PORT_TYPE_DEAD_NAME), "the port died");
    drop(send);
    // A port whose receive right is sent to itself, and two that are sent to each other.
    let [first, second] = [0, 1].map(|_| self::port().into_name().raw());
    for name in [first, second] {
        // SAFETY: names of this test's.
        let code = unsafe { kernel::mach_port_insert_right(task_self(), name, name, SEND) };
        assert_eq!(kr(code), KernReturn::SUCCESS);
    }
    let mut message =
        Message::to(first, MACH_MSG_TYPE_COPY_SEND).ports(&[second], MACH_MSG_TYPE_MOVE_RECEIVE);
    assert_eq!(message.send(), KernReturn::SUCCESS);
    let mut message =
        Message::to(second, MACH_MSG_TYPE_COPY_SEND).ports(&[first], MACH_MSG_TYPE_MOVE_RECEIVE);
    assert_eq!(
        message.send(),
        KernReturn::SUCCESS,
        "destroyed, with both ports"
    );
    for name in [first, second] {
        assert_eq!(kind(name), Some(MACH_PORT_TYPE_DEAD_NAME));
        deallocate(name);
    }
}

/// Makes a port, guarded with a value unless that is 0.
fn port_with_guard(guard: u64) -> mach_port_name_t {
    let name = port().into_name().raw();
    if guard != 0 {
        // SAFETY: a name of this test's.
        let code = unsafe { kernel::mach_port_guard(task_self(), name, guard, 1) };
        assert_eq!(kr(code), KernReturn::SUCCESS);
    }
    name
}

#[test]
fn c10_1_a_guarded_port_moves_with_its_guard() {
    const IMMOVABLE: u32 = MACH_MSG_GUARD_FLAGS_IMMOVABLE_RECEIVE;
    const UNGUARDED: u32 = MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND;
    let port = port();
    let to = || Message::to(port.name().raw(), SEND);
    // The guard, flags and value as sent; flags as received.
    for (guard, flags, received) in [
        (9, IMMOVABLE, IMMOVABLE),
        (0, IMMOVABLE | UNGUARDED, IMMOVABLE),
        (0, UNGUARDED, UNGUARDED),
    ] {
        let name = port_with_guard(guard);
        let mut message = to().with(&guarded(name, flags, guard));
        assert_eq!(message.send(), KernReturn::SUCCESS);
        let got = Received::of(port.name().raw(), 4096, MACH_RCV_GUARDED_DESC);
        let got = got.map_err(|(error, _)| error).expect("a message");
        let found: mach_msg_guarded_port_descriptor_t = got.at(28);
        assert_eq!(
            (u32::from(found.flags), u32::from(found.disposition)),
            (received, 16)
        );
        let value = found.context;
        if received == IMMOVABLE {
            assert_eq!(
                value,
                got.0.as_ptr() as u64,
                "the message's address is the guard"
            );
            let mut message = to().port(found.name, MACH_MSG_TYPE_MOVE_RECEIVE);
            assert_eq!(
                message.send(),
                KernReturn::SEND_INVALID_RIGHT,
                "it is immovable"
            );
        } else {
            assert_eq!(value, 0);
        }
        assert_eq!(kind(found.name), Some(MACH_PORT_TYPE_RECEIVE));
        let name = found.name;
        got.destroy();
        assert_eq!(kind(name), None);
    }
}

#[test]
fn c10_1_c10_4_a_guarded_port_with_another_guard_stays() {
    let port = port();
    let to = || Message::to(port.name().raw(), SEND);
    let name = port_with_guard(9);
    for (descriptor, wanted) in [
        (guarded(name, 0, 9), KernReturn::SEND_INVALID_TYPE),
        (guarded(name, 4, 9), KernReturn::SEND_INVALID_TYPE),
        (guarded(name, 2, 9), KernReturn::SEND_INVALID_TYPE),
        (
            mach_msg_guarded_port_descriptor_t {
                disposition: SEND as u8,
                ..guarded(name, 1, 9)
            },
            KernReturn::SEND_INVALID_TYPE,
        ),
        (guarded(name, 1, 8), KernReturn::SEND_INVALID_RIGHT),
        (guarded(name, 2, 0), KernReturn::SEND_INVALID_RIGHT),
        (guarded(0xdead03, 1, 9), KernReturn::SEND_INVALID_RIGHT),
    ] {
        assert_eq!(to().with(&descriptor).send(), wanted);
        assert_eq!(kind(name), Some(MACH_PORT_TYPE_RECEIVE));
    }
    // An unguarded port that is said to be guarded stays too.
    let unguarded = port_with_guard(0);
    let mut message = to().with(&guarded(unguarded, 1, 0));
    assert_eq!(message.send(), KernReturn::SEND_INVALID_RIGHT);
    // A receiver that does not want such descriptors gets no port.
    let mut message = to()
        .with(&guarded(name, 1, 9))
        .port(port.name().raw(), SEND);
    assert_eq!(message.send(), KernReturn::SUCCESS);
    let got = Received::from(&port);
    let found: mach_msg_guarded_port_descriptor_t = got.at(28);
    assert_eq!(({ found.name }, { found.context }), (MACH_PORT_NULL, 0));
    assert_eq!(
        got.at::<mach_msg_port_descriptor_t>(44).name,
        port.name().raw()
    );
    got.destroy();
}
