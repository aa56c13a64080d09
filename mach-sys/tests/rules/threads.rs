//! The state of a thread's name after the thread's end (D2, D4).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system, system::task_self};
use mach_sys::message::{MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE};
use mach_sys::port::{MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_SEND};
use mach_sys::thread_state::{NativeState, ThreadState};
use std::sync::mpsc::channel;
use test_support::wait::wait_for;

const DEAD_NAME: i32 = 72;
const PORT_DELETED: i32 = 65;

/// Runs a thread with this many references of its own name beside the library's one, and `meanwhile` before it ends.
fn thread_with(references: u32, meanwhile: impl FnOnce(Port)) -> Port {
    let (says, named) = channel();
    let (ends, end) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let name = system::own_thread_port();
        for _ in 0..references {
            // SAFETY: no arguments.
            assert_eq!(unsafe { kernel::mach_thread_self() }, name);
        }
        says.send(name).expect("the test listens");
        end.recv().expect("the test says so");
    });
    let name = named.recv().expect("a thread");
    assert_eq!(sends(name), references + 1);
    meanwhile(name);
    ends.send(()).expect("the thread waits");
    thread.join().expect("it ended");
    name
}

/// Asks for a message about the end of a name.
fn watch(name: Port, told: Port) {
    let mut previous = 0;
    // SAFETY: the result goes to a local variable.
    let asked = answered(unsafe {
        kernel::mach_port_request_notification(
            task_self(),
            name,
            DEAD_NAME,
            0,
            told,
            MACH_MSG_TYPE_MAKE_SEND_ONCE,
            &mut previous,
        )
    });
    assert_eq!((asked, previous), (Ok(()), NULL));
}

/// D2.3: its joiner may be woken before, so that the test waits with a bound.
#[test]
fn d2_3_d2_4_with_one_reference_the_name_goes_with_its_thread() {
    let told = receive_right();
    let name = thread_with(0, |name| watch(name, told));
    let message = receive(told);
    // The thread's own release frees the name, and answers the request.
    assert_eq!(
        (message.id(), message.words[8]),
        (PORT_DELETED as u32, name)
    );
    wait_for("the name to go", || {
        kind(name) == Err(KernReturn::INVALID_NAME)
    });
}

/// D4.1: with no bound that a kernel promises; the test has one.
#[test]
fn d4_1_d4_2_with_more_references_a_dead_name_stays_and_is_told() {
    let told = receive_right();
    let name = thread_with(3, |name| watch(name, told));
    let message = receive(told);
    assert_eq!((message.id(), message.words[8]), (DEAD_NAME as u32, name));
    // Three that no code released, and the notification's (C8.7).
    assert_eq!(refs(name, MACH_PORT_RIGHT_DEAD_NAME), Ok(4));
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_DEAD_NAME, -4), Ok(()));
    assert_eq!(kind(name), Err(KernReturn::INVALID_NAME));
}

/// D4.2: a message that was sent before its thread's end arrives with a dead right.
#[test]
fn d4_2_a_right_to_a_thread_that_ended_arrives_dead() {
    let (to, told) = (receive_right(), receive_right());
    let name = thread_with(1, |name| {
        let letter = Message::to(to, MACH_MSG_TYPE_MAKE_SEND, 1);
        let letter = letter.with_right(name, mach_sys::message::MACH_MSG_TYPE_COPY_SEND);
        assert_eq!(letter.send(), Ok(()));
        watch(name, told);
    });
    assert_eq!(receive(told).id(), DEAD_NAME as u32);
    assert_eq!(receive(to).descriptor(0), (DEAD, 17));
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_DEAD_NAME, -2), Ok(()));
}

/// D4.5: a thread's exception ports keep their rights for as long as the thread's name lives, and lose them then.
#[test]
fn d4_5_a_threads_exception_ports_are_released_with_it() {
    let port = port();
    let name = thread_with(1, |name| {
        // SAFETY: no pointers.
        let set = answered(unsafe {
            kernel::thread_set_exception_ports(name, MASK, port, STATE, NativeState::FLAVOR)
        });
        assert_eq!(set, Ok(()));
        assert_eq!(mod_refs(port, MACH_PORT_RIGHT_SEND, -1), Ok(()));
        assert_eq!(status(port)[6], 1, "the actions' rights");
    });
    wait_for("the thread's name to die", || {
        refs(name, MACH_PORT_RIGHT_DEAD_NAME) == Ok(1)
    });
    wait_for("the actions' rights to go", || status(port)[6] == 0);
    assert_eq!(deallocate(name), Ok(()));
}

/// D4.6: wherever its rights are: in the name space, in messages, and in a call that looks for it.
#[test]
fn d4_6_a_threads_control_port_dies_everywhere_at_once() {
    let (first, second, told) = (receive_right(), receive_right(), receive_right());
    let name = thread_with(1, |name| {
        for to in [first, second] {
            let letter = Message::to(to, MACH_MSG_TYPE_MAKE_SEND, 1);
            let letter = letter.with_right(name, mach_sys::message::MACH_MSG_TYPE_COPY_SEND);
            assert_eq!(letter.send(), Ok(()));
        }
        watch(name, told);
    });
    assert_eq!(receive(told).id(), DEAD_NAME as u32);
    for from in [first, second] {
        assert_eq!(
            receive_now(from).map(|letter| letter.descriptor(0)),
            Ok((DEAD, 17))
        );
    }
    let mut control = 7;
    // SAFETY: the result goes to a local variable.
    let asked = answered(unsafe { kernel::thread_get_special_port(name, 1, &mut control) });
    assert_eq!(asked, Err(KernReturn::SEND_INVALID_DEST));
    // SAFETY: no pointers.
    let set = answered(unsafe {
        kernel::thread_set_exception_ports(name, MASK, NULL, STATE, NativeState::FLAVOR)
    });
    assert_eq!(set, Err(KernReturn::SEND_INVALID_DEST));
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_DEAD_NAME, -2), Ok(()));
}
