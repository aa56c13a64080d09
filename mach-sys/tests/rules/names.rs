//! Names, user references and rights (C0–C6, C8, D1).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system, system::task_self};
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE,
    MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE,
};
use mach_sys::port::{
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_LABELH, MACH_PORT_RIGHT_NUMBER,
    MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE, MACH_PORT_RIGHT_SEND,
    MACH_PORT_RIGHT_SEND_ONCE, MACH_PORT_TYPE_DEAD_NAME, MACH_PORT_TYPE_DNREQUEST,
    MACH_PORT_TYPE_PORT_SET, MACH_PORT_TYPE_RECEIVE, MACH_PORT_TYPE_SEND, MACH_PORT_TYPE_SEND_ONCE,
    MACH_PORT_TYPE_SEND_RECEIVE,
};

const DEAD_NAME_NOTIFICATION: i32 = 72;
const SEND_POSSIBLE: i32 = 66;

fn request(name: Port, id: i32, sync: u32, told: Port) -> Answer<Port> {
    let mut previous = 0;
    // SAFETY: the result goes to a local variable.
    answered(unsafe {
        kernel::mach_port_request_notification(
            task_self(),
            name,
            id,
            sync,
            told,
            MACH_MSG_TYPE_MAKE_SEND_ONCE,
            &mut previous,
        )
    })?;
    Ok(previous)
}

#[test]
fn c0_1_a_ports_rights_share_a_name_and_each_send_once_right_has_its_own() {
    let (port, to) = (receive_right(), receive_right());
    let mut once = Vec::new();
    for count in 1..=3 {
        let letter = Message::to(to, MACH_MSG_TYPE_MAKE_SEND, 1)
            .with_right(port, MACH_MSG_TYPE_MAKE_SEND)
            .with_right(port, MACH_MSG_TYPE_MAKE_SEND_ONCE);
        assert_eq!(letter.send(), Ok(()));
        let got = receive(to);
        assert_eq!(got.descriptor(0), (port, 17), "it finds the port's name");
        assert_eq!(sends(port), count);
        once.push(got.descriptor(1).0);
    }
    assert_eq!(kind(port), Ok(MACH_PORT_TYPE_SEND_RECEIVE));
    for (at, name) in once.iter().enumerate() {
        assert_eq!(kind(*name), Ok(MACH_PORT_TYPE_SEND_ONCE));
        assert_eq!(refs(*name, MACH_PORT_RIGHT_SEND_ONCE), Ok(1));
        assert!(!once[..at].contains(name));
    }
}

#[test]
fn c0_3_a_port_counts_its_rights_and_messages() {
    let port = receive_right();
    let mut expected = [0, 0, 0, 5, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        status(port),
        expected,
        "a new one: a limit, and nothing else"
    );
    assert_eq!(insert(port, port, MACH_MSG_TYPE_MAKE_SEND), Ok(()));
    (expected[2], expected[6]) = (1, 1);
    assert_eq!(status(port), expected, "a right made");
    assert_eq!(insert(port, port, MACH_MSG_TYPE_COPY_SEND), Ok(()));
    assert_eq!(status(port), expected, "a copy is none made");
    let once = send_once(port);
    expected[5] = 1;
    assert_eq!(status(port), expected, "a send-once right");
    let (told, set) = (receive_right(), set());
    assert_eq!(request(port, 70, 0, told), Ok(NULL));
    assert_eq!(request(port, 69, 0, told), Ok(NULL));
    // SAFETY: no pointers.
    let joined = answered(unsafe { kernel::mach_port_insert_member(task_self(), port, set) });
    assert_eq!(joined, Ok(()));
    (expected[0], expected[7], expected[8]) = (1, 1, 1);
    assert_eq!(status(port), expected, "a set and requests");
    assert_eq!(Message::to(port, MACH_MSG_TYPE_COPY_SEND, 1).send(), Ok(()));
    expected[4] = 1;
    assert_eq!(status(port), expected, "a message");
    receive(port);
    (expected[1], expected[4]) = (1, 0);
    assert_eq!(status(port), expected, "a delivery");
    assert_eq!(deallocate(once), Ok(()));
    receive(port);
    (expected[1], expected[5]) = (2, 0);
    assert_eq!(status(port), expected, "the send-once right's own message");
}

/// C0.4: a name of another generation is absent, and so is one that was freed.
#[test]
fn c0_4_a_name_of_another_generation_is_absent() {
    let port = port();
    for name in [port ^ 4, port ^ 0x80, absent()] {
        assert_eq!(kind(name), Err(KernReturn::INVALID_NAME), "{name:#x}");
        let none = refs(name, MACH_PORT_RIGHT_SEND);
        assert_eq!(none, Err(KernReturn::INVALID_NAME), "{name:#x}");
    }
    assert_eq!(kind(port), Ok(MACH_PORT_TYPE_SEND_RECEIVE));
}

/// C0.5: the task argument. A name that denotes nothing is no destination; an object that is no task has no names.
#[test]
fn c0_5_a_task_argument_that_is_no_task() {
    let mut kind = 0;
    // SAFETY: no arguments.
    let thread = unsafe { kernel::mach_thread_self() };
    for (task, expected) in [
        (NULL, KernReturn::SEND_INVALID_DEST),
        (DEAD, KernReturn::SEND_INVALID_DEST),
        (absent(), KernReturn::SEND_INVALID_DEST),
        (
            allocate(MACH_PORT_RIGHT_DEAD_NAME),
            KernReturn::SEND_INVALID_DEST,
        ),
        (thread, KernReturn::INVALID_TASK),
    ] {
        // SAFETY: the result goes to a local variable.
        let asked = answered(unsafe { kernel::mach_port_type(task, task_self(), &mut kind) });
        assert_eq!(asked, Err(expected), "{task:#x}");
        // SAFETY: as above.
        let made = answered(unsafe {
            kernel::mach_port_allocate(task, MACH_PORT_RIGHT_RECEIVE, &mut kind)
        });
        assert_eq!(made, Err(expected), "{task:#x}");
    }
    assert_eq!(deallocate(thread), Ok(()));
}

#[test]
fn c0_6_the_numbers_of_the_rights() {
    let rights = [
        MACH_PORT_RIGHT_SEND,
        MACH_PORT_RIGHT_RECEIVE,
        MACH_PORT_RIGHT_SEND_ONCE,
        MACH_PORT_RIGHT_PORT_SET,
        MACH_PORT_RIGHT_DEAD_NAME,
        MACH_PORT_RIGHT_LABELH,
        MACH_PORT_RIGHT_NUMBER,
    ];
    assert_eq!(rights, [0, 1, 2, 3, 4, 5, 6]);
    // The kernel's: a name with each right has that one alone.
    let (both, dead, set) = (port(), allocate(4), set());
    let once = send_once(both);
    for (name, has) in [
        (both, [1, 1, 0, 0, 0, 0]),
        (once, [0, 0, 1, 0, 0, 0]),
        (set, [0, 0, 0, 1, 0, 0]),
        (dead, [0, 0, 0, 0, 1, 0]),
    ] {
        let found = [0, 1, 2, 3, 4, 5].map(|right| refs(name, right));
        assert_eq!(found, has.map(Ok), "LABELH, 5, is never present");
        assert_eq!(refs(name, 6), Err(KernReturn::INVALID_VALUE));
    }
}

/// A13.6: in an ordinary process the optional guards are off, and a misused name costs an error alone.
#[test]
fn c1_4_c3_1_destroy_drops_every_right_under_a_name() {
    let both = port();
    assert_eq!(mod_refs(both, MACH_PORT_RIGHT_SEND, 9), Ok(()));
    let once = send_once(both);
    let told = receive_right();
    let unused = send_once(told);
    let dead = allocate(MACH_PORT_RIGHT_DEAD_NAME);
    assert_eq!(mod_refs(dead, MACH_PORT_RIGHT_DEAD_NAME, 7), Ok(()));
    for (what, name) in [
        ("receive and send rights", both),
        ("a send-once right", unused),
        ("a set", set()),
        ("a dead name", dead),
    ] {
        assert_eq!(destroy(name), Ok(()), "{what}");
        assert_eq!(
            kind(name),
            Err(KernReturn::INVALID_NAME),
            "{what}: nothing is left, dead or alive"
        );
    }
    assert_eq!(
        kind(once),
        Ok(MACH_PORT_TYPE_DEAD_NAME),
        "other names become dead ones"
    );
    assert_eq!(receive(told).id(), 71, "the send-once right's notification");
    for name in [NULL, DEAD] {
        assert_eq!(destroy(name), Ok(()));
    }
    assert_eq!(destroy(absent()), Err(KernReturn::INVALID_NAME));
}

/// C4.3: at the largest count nothing says that it overflows. C4.5: down to one from there and from elsewhere.
#[test]
fn c4_3_c4_5_no_count_overflows_and_only_an_unsaturated_one_can_be_trimmed() {
    let name = port();
    for count in [1, 2, 500] {
        assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, count), Ok(()));
    }
    let count = sends(name) as i32;
    assert_eq!(count, 504);
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, 1 - count), Ok(()));
    assert_eq!(sends(name), 1, "exactly one");
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, 65_534), Ok(()));
    for disposition in [MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_COPY_SEND] {
        assert_eq!(insert(name, name, disposition), Ok(()));
    }
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, 65_535), Ok(()));
    let to = receive_right();
    let letter = Message::to(to, MACH_MSG_TYPE_MAKE_SEND, 1);
    assert_eq!(
        letter.with_right(name, MACH_MSG_TYPE_COPY_SEND).send(),
        Ok(())
    );
    assert_eq!(receive(to).descriptor(0).0, name);
    assert_eq!(sends(name), 65_535);
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, 1 - 65_535), Ok(()));
    assert_eq!(
        sends(name),
        65_535,
        "a saturated count: success, and no effect"
    );
}

#[test]
fn c5_1_the_type_of_each_kind_of_name() {
    let both = port();
    let told = receive_right();
    for (what, name, expected) in [
        ("null", NULL, Err(KernReturn::INVALID_NAME)),
        ("dead", DEAD, Ok(MACH_PORT_TYPE_DEAD_NAME)),
        ("absent", absent(), Err(KernReturn::INVALID_NAME)),
        ("receive", told, Ok(MACH_PORT_TYPE_RECEIVE)),
        (
            "send and receive",
            both,
            Ok(MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_RECEIVE),
        ),
        ("send-once", send_once(both), Ok(MACH_PORT_TYPE_SEND_ONCE)),
        ("set", set(), Ok(MACH_PORT_TYPE_PORT_SET)),
        (
            "dead name",
            allocate(MACH_PORT_RIGHT_DEAD_NAME),
            Ok(MACH_PORT_TYPE_DEAD_NAME),
        ),
    ] {
        assert_eq!(kind(name), expected, "{what}");
    }
    // A request shows, a send-possible one as a dead-name one; one that fired does not.
    assert_eq!(request(both, DEAD_NAME_NOTIFICATION, 0, told), Ok(NULL));
    let requested = MACH_PORT_TYPE_SEND_RECEIVE | MACH_PORT_TYPE_DNREQUEST;
    assert_eq!(kind(both), Ok(requested));
    let previous = request(both, DEAD_NAME_NOTIFICATION, 0, NULL).expect("armed");
    assert_eq!(deallocate(previous), Ok(()));
    assert_eq!(kind(both), Ok(MACH_PORT_TYPE_SEND_RECEIVE));
    assert_eq!(request(both, SEND_POSSIBLE, 0, told), Ok(NULL));
    assert_eq!(kind(both), Ok(requested), "nothing but the one bit");
}

#[test]
fn c5_7_the_true_count_of_send_rights() {
    let (name, to) = (receive_right(), port());
    assert_eq!(send_rights(name), Ok(0));
    for count in 1..=3 {
        let letter = Message::to(to, MACH_MSG_TYPE_COPY_SEND, 1);
        assert_eq!(
            letter.with_right(name, MACH_MSG_TYPE_MAKE_SEND).send(),
            Ok(())
        );
        assert_eq!(send_rights(name), Ok(count), "in messages");
    }
    // The first to arrive is the name's own; the others join it.
    for left in [3, 2, 1] {
        receive(to);
        assert_eq!(send_rights(name), Ok(left));
    }
    assert_eq!(send_rights(name), Ok(1), "under one name");
    for (name, expected) in [
        (NULL, KernReturn::INVALID_NAME),
        (DEAD, KernReturn::INVALID_NAME),
        (absent(), KernReturn::INVALID_NAME),
        (send_once(name), KernReturn::INVALID_RIGHT),
    ] {
        assert_eq!(send_rights(name), Err(expected));
    }
}

#[test]
fn c6_4_send_once_rights_never_coalesce_and_moves_to_the_same_name_change_nothing() {
    let (first, second) = (port(), receive_right());
    let exists = Err(KernReturn::NAME_EXISTS);
    let once = send_once(second);
    assert_eq!(insert(first, second, MACH_MSG_TYPE_MAKE_SEND_ONCE), exists);
    assert_eq!(
        receive(second).id(),
        71,
        "C6.3: the right that was made is gone"
    );
    assert_eq!(
        insert(once, second, MACH_MSG_TYPE_MAKE_SEND_ONCE),
        exists,
        "of the same port too"
    );
    assert_eq!(receive(second).id(), 71);
    let other = send_once(second);
    assert_eq!(insert(once, other, MACH_MSG_TYPE_MOVE_SEND_ONCE), exists);
    assert_eq!(receive(second).id(), 71);
    assert_eq!(kind(other), Err(KernReturn::INVALID_NAME), "it was moved");
    // Under the same name: made again.
    assert_eq!(insert(once, once, MACH_MSG_TYPE_MOVE_SEND_ONCE), Ok(()));
    assert_eq!(kind(once), Ok(MACH_PORT_TYPE_SEND_ONCE));
    assert_eq!(insert(first, first, MACH_MSG_TYPE_MOVE_SEND), Ok(()));
    assert_eq!((sends(first), send_rights(first)), (1, Ok(1)));
    // SAFETY: no pointers.
    let set = answered(unsafe { kernel::mach_port_set_context(task_self(), first, 7) });
    assert_eq!(set, Ok(()));
    assert_eq!(status(first)[2], 1, "one was made");
    assert_eq!(insert(first, first, MACH_MSG_TYPE_MOVE_RECEIVE), Ok(()));
    assert_eq!(kind(first), Ok(MACH_PORT_TYPE_SEND_RECEIVE));
    let mut context = 1;
    // SAFETY: the result goes to a local variable.
    let get = answered(unsafe { kernel::mach_port_get_context(task_self(), first, &mut context) });
    assert_eq!(
        (get, context, status(first)[2]),
        (Ok(()), 0, 0),
        "C7.1a: reset"
    );
}

#[test]
fn c6_5_a_right_is_extracted_under_the_name_that_its_port_has() {
    let name = port();
    let to_itself = |disposition| extract(name, disposition);
    assert_eq!(
        to_itself(MACH_MSG_TYPE_MAKE_SEND),
        Ok((name, MACH_MSG_TYPE_MOVE_SEND))
    );
    assert_eq!(sends(name), 2);
    assert_eq!(
        to_itself(MACH_MSG_TYPE_COPY_SEND),
        Ok((name, MACH_MSG_TYPE_MOVE_SEND))
    );
    assert_eq!(sends(name), 3);
    assert_eq!(
        to_itself(MACH_MSG_TYPE_MOVE_SEND),
        Ok((name, MACH_MSG_TYPE_MOVE_SEND))
    );
    assert_eq!(sends(name), 3, "taken and given back");
    let (once, as_sent) = to_itself(MACH_MSG_TYPE_MAKE_SEND_ONCE).expect("a right");
    assert_eq!(
        (kind(once), as_sent),
        (Ok(MACH_PORT_TYPE_SEND_ONCE), MACH_MSG_TYPE_MOVE_SEND_ONCE)
    );
    for (what, name, disposition, expected) in [
        ("no disposition", name, 0, KernReturn::INVALID_VALUE),
        ("none such", name, 23, KernReturn::INVALID_VALUE),
        (
            "null",
            NULL,
            MACH_MSG_TYPE_COPY_SEND,
            KernReturn::INVALID_RIGHT,
        ),
        (
            "dead",
            DEAD,
            MACH_MSG_TYPE_COPY_SEND,
            KernReturn::INVALID_RIGHT,
        ),
        (
            "absent",
            absent(),
            MACH_MSG_TYPE_COPY_SEND,
            KernReturn::INVALID_NAME,
        ),
        (
            "of another kind",
            once,
            MACH_MSG_TYPE_COPY_SEND,
            KernReturn::INVALID_RIGHT,
        ),
        (
            "no receive right",
            once,
            MACH_MSG_TYPE_MAKE_SEND,
            KernReturn::INVALID_RIGHT,
        ),
    ] {
        assert_eq!(extract(name, disposition), Err(expected), "{what}");
    }
    // A dead name gives a dead right; a move takes a reference of it.
    let dead = allocate(MACH_PORT_RIGHT_DEAD_NAME);
    assert_eq!(mod_refs(dead, MACH_PORT_RIGHT_DEAD_NAME, 2), Ok(()));
    for (disposition, left) in [
        (MACH_MSG_TYPE_COPY_SEND, 3),
        (MACH_MSG_TYPE_MOVE_SEND, 2),
        (MACH_MSG_TYPE_MOVE_SEND_ONCE, 1),
    ] {
        assert_eq!(
            extract(dead, disposition).map(|right| right.0),
            Ok(DEAD),
            "{disposition}"
        );
        assert_eq!(
            refs(dead, MACH_PORT_RIGHT_DEAD_NAME),
            Ok(left),
            "{disposition}"
        );
    }
}

#[test]
fn c8_10_a_notification_is_queued_behind_what_is_there_and_vanishes_with_its_port() {
    let (watched, told, to) = (port(), receive_right(), port());
    assert_eq!(request(watched, DEAD_NAME_NOTIFICATION, 0, told), Ok(NULL));
    for id in [5, 6] {
        assert_eq!(
            Message::to(told, MACH_MSG_TYPE_MAKE_SEND, id).send(),
            Ok(())
        );
    }
    // The port that is to be told is on its way somewhere else.
    let letter = Message::to(to, MACH_MSG_TYPE_COPY_SEND, 1);
    assert_eq!(
        letter.with_right(told, MACH_MSG_TYPE_MOVE_RECEIVE).send(),
        Ok(())
    );
    destroy_port(watched);
    let told = receive(to).descriptor(0).0;
    let heard: Vec<_> = (0..3).map(|_| receive(told).id()).collect();
    assert_eq!(heard, [5, 6, 72]);
    let watched = port();
    assert_eq!(request(watched, DEAD_NAME_NOTIFICATION, 0, told), Ok(NULL));
    destroy_port(told);
    destroy_port(watched);
    assert_eq!(kind(watched), Ok(MACH_PORT_TYPE_DEAD_NAME));
}

#[test]
fn d1_1_d1_2_each_call_of_mach_thread_self_costs_a_reference_and_the_librarys_own_word_none() {
    let victim = Victim::start();
    let thread = victim.thread;
    let before = sends(thread);
    for count in 1..=5 {
        // SAFETY: no arguments.
        victim.starts(|| u64::from(unsafe { kernel::mach_thread_self() }));
        assert_eq!(victim.result(), u64::from(thread), "always the same name");
        assert_eq!(sends(thread), before + count);
    }
    for _ in 0..5 {
        victim.starts(|| u64::from(system::own_thread_port()));
        assert_eq!(
            victim.result(),
            u64::from(thread),
            "D1.2: no call, no reference"
        );
    }
    assert_eq!(sends(thread), before + 5);
    assert_eq!(mod_refs(thread, MACH_PORT_RIGHT_SEND, -5), Ok(()));
}

#[test]
fn c2_6_a_reply_port_is_a_plain_receive_right() {
    // SAFETY: no arguments.
    let name = unsafe { kernel::mach_reply_port() };
    assert_eq!(kind(name), Ok(MACH_PORT_TYPE_RECEIVE), "no send right");
    assert_eq!(status(name), [0, 0, 0, 5, 0, 0, 0, 0, 0, 0]);
    // SAFETY: no arguments.
    let another = unsafe { kernel::mach_reply_port() };
    assert_ne!(name, another, "each call makes one");
    assert_eq!(insert(name, name, MACH_MSG_TYPE_MAKE_SEND), Ok(()));
    for name in [name, another] {
        destroy_port(name);
    }
    assert_eq!(deallocate(name), Ok(()));
}

/// D1.9: what a thread that starts another one has afterwards.
#[test]
fn d1_9_making_a_thread_costs_its_maker_no_reference() {
    let victim = Victim::start();
    let before = sends(victim.thread);
    for _ in 0..5 {
        victim.starts(|| {
            let made = std::thread::spawn(|| {
                // Known to the kernel, as its maker is.
                // SAFETY: no arguments.
                let own = unsafe { kernel::mach_thread_self() };
                deallocate(own).is_ok()
            });
            u64::from(made.join().expect("it ended"))
        });
        assert_eq!(victim.result(), 1);
    }
    assert_eq!(sends(victim.thread), before);
}
