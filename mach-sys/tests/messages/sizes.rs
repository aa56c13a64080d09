//! Messages of any size, in one buffer or two, and what is given back or released (C10, C11, C12.1).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::*;
use mach_sys::mig::MACH_NOTIFY_SEND_ONCE;
use mach_sys::pod::{self};
use mach_sys::rights::Right;
use mach_sys::types::*;

#[test]
fn c10_1_a_message_of_any_size_arrives_as_it_was_sent() {
    let port = port();
    let name = port.name().raw();
    for size in [5312, 5316, 8192, 65_536, 1 << 20, 50_331_580] {
        let mut message = Message::to(name, SEND).body(size - 24);
        assert_eq!(message.send(), KernReturn::SUCCESS, "{size}");
        let got = Received::of(
            name,
            size + 68,
            MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AV),
        );
        let got = got.map_err(|(error, _)| error).expect("a message");
        assert_eq!(got.header().msgh_size as usize, size);
        assert!(
            pod::word_bytes(&got.0)[24..size] == message.bytes[24..],
            "{size}"
        );
        // Its trailer follows.
        assert_eq!(got.at::<[u32; 2]>(size), [0, 68]);
    }
    let mut message = Message::to(name, SEND).body(50_331_584 - 24);
    assert_eq!(message.send(), KernReturn::SEND_TOO_LARGE);
}

#[test]
fn c11_5_a_large_message_stays_queued_with_rcv_large_and_is_destroyed_without() {
    let (port, carried) = (port(), port());
    let name = port.name().raw();
    let mut message = Message::to(name, SEND)
        .port(carried.name().raw(), SEND)
        .body(100_000);
    assert_eq!(message.send(), KernReturn::SUCCESS);
    let (error, got) = Received::of(name, 4096, MACH_RCV_LARGE)
        .err()
        .expect("too large");
    assert_eq!(error, KernReturn::RCV_TOO_LARGE);
    assert_eq!(got.header().msgh_size as usize, message.bytes.len());
    assert_eq!(error_of(name, 4096, 0), KernReturn::RCV_TOO_LARGE);
    assert_eq!(
        error_of(name, 4096, 0),
        KernReturn::RCV_TIMED_OUT,
        "it is gone"
    );
    assert_eq!(send_references(&carried), 0, "and its right with it");
}

#[test]
fn c10_1_descriptors_are_judged_before_a_right_is_touched() {
    let port = port();
    let send = port.make_send().expect("a send right");
    let name = send.name().raw();
    let memory = [7_u32; 4];
    let at = memory.as_ptr() as u64;
    let good = || Message::to(name, MACH_MSG_TYPE_MOVE_SEND);
    let mut cut = good().memory(at, 16, MACH_MSG_VIRTUAL_COPY, false);
    cut.bytes.truncate(40);
    let guarded = mach_msg_guarded_port_descriptor_t {
        type_: 9,
        ..mach_msg_guarded_port_descriptor_t::default()
    };
    let cases = [
        (
            "a copy that is none",
            good().memory(at, 16, 2, false),
            KernReturn::SEND_INVALID_TYPE,
        ),
        (
            "a kind that is none",
            good().with(&guarded),
            KernReturn::SEND_INVALID_TYPE,
        ),
        (
            "a descriptor past the end",
            cut,
            KernReturn::SEND_MSG_TOO_SMALL,
        ),
        (
            "too many ports",
            good().array(at, 16_384, SEND, false),
            KernReturn::SEND_TOO_LARGE,
        ),
        (
            "too many ports in all",
            good()
                .array(at, 16_383, SEND, false)
                .port(name, MACH_MSG_TYPE_COPY_SEND),
            KernReturn::SEND_TOO_LARGE,
        ),
    ];
    for (what, mut message, wanted) in cases {
        assert_eq!(message.send(), wanted, "{what}");
        assert_eq!(send_references(&port), 1, "{what}");
    }
}

#[test]
fn c10_7_a_message_that_is_given_back_has_its_memory_and_rights() {
    let port = port();
    let other = self::port();
    let send = port.make_send().expect("a send right");
    let name = send.name().raw();
    for _ in 0..5 {
        let mut message = Message::to(name, MACH_MSG_TYPE_COPY_SEND);
        assert_eq!(message.send(), KernReturn::SUCCESS);
    }
    let memory = allocate(PAGE);
    let mut message = Message::to(name, MACH_MSG_TYPE_COPY_SEND)
        .memory(memory, 9, MACH_MSG_VIRTUAL_COPY, true)
        .ports(&[other.name().raw()], SEND)
        .body(100_000);
    assert_eq!(message.send(), KernReturn::SEND_TIMED_OUT);
    let found: mach_msg_ool_descriptor_t = pod::read(&message.bytes[28..]).expect("a descriptor");
    assert!(is_mapped(found.address));
    assert_eq!(({ found.size }, found.deallocate), (9, 1));
    assert_eq!(send_references(&other), 1);
    assert_eq!(send_references(&port), 2);
    // SAFETY: the message is this test's again, and nothing else owns its rights and memory.
    unsafe { kernel::mach_msg_destroy(message.bytes.as_mut_ptr().cast()) };
    assert_eq!((send_references(&other), send_references(&port)), (0, 1));
    if found.address != memory {
        assert!(!is_mapped(found.address));
    }
}

#[test]
fn c10_1_sixteen_thousand_rights_travel_in_one_message() {
    let (port, other) = (port(), port());
    let names = vec![other.name().raw(); 16_383];
    let mut message = Message::to(port.name().raw(), SEND).ports(&names, SEND);
    assert_eq!(message.send(), KernReturn::SUCCESS);
    let got = Received::from(&port);
    assert_eq!(names_at(&got, 28).1, names);
    assert_eq!(send_references(&other), 16_383);
    got.destroy();
    assert_eq!(send_references(&other), 0);
}

#[test]
fn c12_1_each_disposition_is_released_as_libsyscall_does() {
    let keeper = port();
    let name = keeper.name().raw();
    let send = keeper.make_send().expect("a send right").into_name().raw();
    let array = allocate(PAGE);
    // SAFETY: allocated above.
    unsafe { (array as *mut [mach_port_name_t; 2]).write([send, MACH_PORT_NULL]) };
    let mut message = Message::to(0, 0)
        .port(name, MACH_MSG_TYPE_COPY_SEND)
        .port(name, SEND)
        .port(name, ONCE)
        .array(array, 2, MACH_MSG_TYPE_MOVE_SEND, true);
    let size = message.bytes.len() as u32;
    message.put(4, &size);
    // SAFETY: the message's rights and memory are this test's.
    unsafe { kernel::mach_msg_destroy(message.bytes.as_mut_ptr().cast()) };
    assert_eq!(
        send_references(&keeper),
        0,
        "the array's right is gone, the copied one was none"
    );
    assert_eq!(
        Received::from(&keeper).header().msgh_id,
        MACH_NOTIFY_SEND_ONCE
    );
    // A guarded port is unguarded first.
    let guarded = port().into_name().raw();
    // SAFETY: a name of this test's.
    let code = unsafe { kernel::mach_port_guard(task_self(), guarded, 9, 1) };
    assert_eq!(kr(code), KernReturn::SUCCESS);
    let descriptor = mach_msg_guarded_port_descriptor_t {
        context: 9,
        flags: 1,
        disposition: MACH_MSG_TYPE_MOVE_RECEIVE as u8,
        type_: MACH_MSG_GUARDED_PORT_DESCRIPTOR as u8,
        name: guarded,
    };
    let mut message = Message::to(0, 0).with(&descriptor);
    let size = message.bytes.len() as u32;
    message.put(4, &size);
    // SAFETY: as above.
    unsafe { kernel::mach_msg_destroy(message.bytes.as_mut_ptr().cast()) };
    assert_eq!(kind(guarded), None);
}

#[test]
fn a_message_is_sent_from_one_buffer_and_received_into_another() {
    let port = port();
    let mut message = Message::to(port.name().raw(), SEND).body(8);
    let sent = message.bytes.clone();
    let mut into = [0_u32; 64];
    let size = message.bytes.len() as u32;
    // SAFETY: both buffers have the sizes that are passed.
    let code = unsafe {
        let option = MACH_SEND_MSG | MACH_RCV_MSG;
        let (from, name) = (message.bytes.as_mut_ptr().cast(), port.name().raw());
        let to = into.as_mut_ptr().cast();
        kernel::mach_msg_overwrite(from, option, size, 256, name, 0, 0, to, 0)
    };
    assert_eq!(kr(code), KernReturn::SUCCESS);
    assert_eq!(message.bytes, sent);
    assert_eq!((into[1], into[5], into[6]), (32, 77, 0x0302_0100));
}
