//! Names that are made with wishes (C2.4).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::port::{
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE,
    MACH_PORT_RIGHT_SEND, MACH_PORT_TYPE_DEAD_NAME, MACH_PORT_TYPE_PORT_SET,
    MACH_PORT_TYPE_RECEIVE, QOS_NAME, QOS_PREALLOC, mach_port_qos_t,
};

/// Flags, length, and the name that the caller chooses.
type Wishes = (u32, u32, Port);

const PLAIN: Wishes = (0, 0, NULL);

fn full(task: Port, right: u32, prototype: Port, wishes: Wishes) -> Answer<Port> {
    let (flags, len, mut name) = wishes;
    let mut qos = mach_port_qos_t { flags, len };
    // SAFETY: wishes and name are local variables.
    answered(unsafe {
        kernel::mach_port_allocate_full(task, right, prototype, &mut qos, &mut name)
    })?;
    assert_eq!(qos.flags & QOS_PREALLOC, 0, "it is not done");
    Ok(name)
}

fn qos(right: u32, wishes: Wishes) -> Answer<Port> {
    let (flags, len, mut name) = wishes;
    let mut qos = mach_port_qos_t { flags, len };
    // SAFETY: wishes and name are local variables.
    answered(unsafe { kernel::mach_port_allocate_qos(task_self(), right, &mut qos, &mut name) })?;
    Ok(name)
}

isolated! {
    /// The chosen names are another test's otherwise.
    fn c2_4_names_are_made_as_the_wishes_say() {
        for (right, expected) in [
            (MACH_PORT_RIGHT_RECEIVE, MACH_PORT_TYPE_RECEIVE),
            (MACH_PORT_RIGHT_PORT_SET, MACH_PORT_TYPE_PORT_SET),
            (MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_TYPE_DEAD_NAME),
        ] {
            let made = [
                full(task_self(), right, NULL, PLAIN).expect("made"),
                qos(right, PLAIN).expect("made"),
            ];
            for name in made {
                assert_eq!(kind(name), Ok(expected));
                assert_eq!(destroy(name), Ok(()));
            }
        }
        // A name of the caller's, for all but a dead name (C2.3).
        let free = 0x2_0000 << 8 | 0xb;
        for right in [MACH_PORT_RIGHT_RECEIVE, MACH_PORT_RIGHT_PORT_SET] {
            let wishes = (QOS_NAME, 0, free);
            assert_eq!(full(task_self(), right, NULL, wishes), Ok(free));
            assert_eq!(
                full(task_self(), right, NULL, wishes),
                Err(KernReturn::NAME_EXISTS)
            );
            assert_eq!(destroy(free), Ok(()));
        }
        let dead = full(
            task_self(),
            MACH_PORT_RIGHT_DEAD_NAME,
            NULL,
            (QOS_NAME, 0, free),
        );
        let dead = dead.expect("made");
        assert_ne!(dead, free);
        assert_eq!(destroy(dead), Ok(()));
        // A preallocation is checked and forgotten.
        let largest = u32::MAX - 68;
        for len in [0, 100, largest] {
            let name = full(
                task_self(),
                MACH_PORT_RIGHT_RECEIVE,
                NULL,
                (QOS_PREALLOC, len, NULL),
            );
            assert_eq!(destroy(name.expect("made")), Ok(()));
        }
    }
}

#[test]
fn c2_4_what_is_refused_in_its_order() {
    const RECEIVE: u32 = MACH_PORT_RIGHT_RECEIVE;
    const SET: u32 = MACH_PORT_RIGHT_PORT_SET;
    let (value, shortage) = (KernReturn::INVALID_VALUE, KernReturn::RESOURCE_SHORTAGE);
    let prototype = port();
    let before = sends(prototype);
    let both = QOS_NAME | QOS_PREALLOC;
    for (what, right, prototype, wishes, expected) in [
        ("a prototype", RECEIVE, prototype, PLAIN, value),
        ("a dead one", RECEIVE, DEAD, PLAIN, value),
        (
            "none there",
            RECEIVE,
            receive_right(),
            PLAIN,
            KernReturn::SEND_INVALID_RIGHT,
        ),
        ("no name", RECEIVE, NULL, (QOS_NAME, 0, NULL), value),
        ("a dead name", SET, NULL, (QOS_NAME, 0, DEAD), value),
        ("the name first", SET, NULL, (both, u32::MAX, NULL), value),
        (
            "too large",
            RECEIVE,
            NULL,
            (QOS_PREALLOC, u32::MAX - 67, NULL),
            shortage,
        ),
        (
            "too large, before the right",
            SET,
            NULL,
            (QOS_PREALLOC, u32::MAX, NULL),
            shortage,
        ),
        (
            "a message for a set",
            SET,
            NULL,
            (QOS_PREALLOC, 10, NULL),
            value,
        ),
        ("another right", MACH_PORT_RIGHT_SEND, NULL, PLAIN, value),
    ] {
        let got = full(task_self(), right, prototype, wishes);
        assert_eq!(got, Err(expected), "{what}");
    }
    assert_eq!(sends(prototype), before, "the prototype is released");
    assert_eq!(
        full(NULL, RECEIVE, NULL, PLAIN),
        Err(KernReturn::SEND_INVALID_DEST)
    );
    assert_eq!(
        qos(RECEIVE, (QOS_NAME, 0, 0x2_0000 << 8 | 0xf)),
        Err(KernReturn::INVALID_ARGUMENT)
    );
    assert_eq!(qos(SET, (QOS_PREALLOC, 10, NULL)), Err(value));
}
