//! Messages with out-of-line memory and arrays of ports, messages of any size, and the server loops (C10, C11, C12).
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::message::*;
use mach_sys::mig::{MACH_NOTIFY_SEND_ONCE, ReplyTo, mig_reply_error_t};
use mach_sys::pod::{self, Pod};
use mach_sys::port::{
    MACH_PORT_TYPE_DEAD_NAME, MACH_PORT_TYPE_RECEIVE, MACH_PORT_TYPE_SEND,
    MACH_PORT_TYPE_SEND_ONCE, PortRight,
};
use mach_sys::rights::{Census, Change, ReceiveRight, Right, user_references};
use mach_sys::types::*;
use mach_sys::vm::VM_FLAGS_ANYWHERE;
use std::cell::Cell;
use test_support::isolated::{isolated, report_partly};

const SEND: u32 = MACH_MSG_TYPE_MAKE_SEND;
const ONCE: u32 = MACH_MSG_TYPE_MAKE_SEND_ONCE;
const PAGE: usize = 0x1_0000;

fn kr(code: kern_return_t) -> KernReturn {
    KernReturn::new(code)
}

/// A message to send, which grows by descriptors.
struct Message {
    bytes: Vec<u8>,
    descriptors: u32,
}

impl Message {
    fn to(port: mach_port_name_t, disposition: u32) -> Self {
        let header = mach_msg_header_t {
            msgh_bits: MACH_MSGH_BITS(disposition, 0),
            msgh_remote_port: port,
            msgh_id: 77,
            ..mach_msg_header_t::default()
        };
        Self {
            bytes: pod::bytes_of(&header).to_vec(),
            descriptors: 0,
        }
    }

    fn reply(mut self, port: mach_port_name_t, disposition: u32) -> Self {
        self.put(0, &MACH_MSGH_BITS(self.bits() & 31, disposition));
        self.put(12, &port);
        self
    }

    fn bits(&self) -> u32 {
        pod::read(&self.bytes).expect("a header")
    }

    fn put(&mut self, at: usize, value: &impl Pod) {
        let bytes = pod::bytes_of(value);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn with(mut self, descriptor: &impl Pod) -> Self {
        if self.descriptors == 0 {
            self.put(0, &(self.bits() | MACH_MSGH_BITS_COMPLEX));
            self.bytes.extend([0; 4]);
        }
        self.descriptors += 1;
        self.put(24, &self.descriptors.clone());
        self.bytes.extend(pod::bytes_of(descriptor));
        self
    }

    fn port(self, name: mach_port_name_t, disposition: u32) -> Self {
        self.with(&mach_msg_port_descriptor_t::new(
            name,
            Disposition::new(disposition),
        ))
    }

    fn memory(self, address: u64, size: u32, copy: u32, deallocate: bool) -> Self {
        self.with(&mach_msg_ool_descriptor_t {
            address,
            deallocate: deallocate.into(),
            copy: copy as u8,
            pad1: 0,
            type_: MACH_MSG_OOL_DESCRIPTOR as u8,
            size,
        })
    }

    fn ports(self, names: &[mach_port_name_t], disposition: u32) -> Self {
        self.array(
            names.as_ptr() as u64,
            names.len() as u32,
            disposition,
            false,
        )
    }

    fn array(self, address: u64, count: u32, disposition: u32, deallocate: bool) -> Self {
        self.with(&mach_msg_ool_ports_descriptor_t {
            address,
            deallocate: deallocate.into(),
            copy: MACH_MSG_VIRTUAL_COPY as u8,
            disposition: disposition as u8,
            type_: MACH_MSG_OOL_PORTS_DESCRIPTOR as u8,
            count,
        })
    }

    fn body(mut self, bytes: usize) -> Self {
        self.bytes.extend((0..bytes).map(|at| at as u8));
        self
    }

    fn send(&mut self) -> KernReturn {
        let size = self.bytes.len() as u32;
        // SAFETY: the buffer has the size that is passed.
        kr(unsafe {
            let option = MACH_SEND_MSG | MACH_SEND_TIMEOUT;
            kernel::mach_msg(self.bytes.as_mut_ptr().cast(), option, size, 0, 0, 0, 0)
        })
    }
}

/// A message that was received.
struct Received(Vec<u32>);

impl Received {
    fn of(port: mach_port_name_t, bytes: usize, option: i32) -> Result<Self, (KernReturn, Self)> {
        let mut words = vec![0; bytes / 4];
        // SAFETY: the buffer has the size that is passed.
        let code = kr(unsafe {
            let option = MACH_RCV_MSG | MACH_RCV_TIMEOUT | option;
            kernel::mach_msg(
                words.as_mut_ptr().cast(),
                option,
                0,
                bytes as u32,
                port,
                0,
                0,
            )
        });
        match code {
            KernReturn::SUCCESS => Ok(Self(words)),
            error => Err((error, Self(words))),
        }
    }

    fn from(port: &ReceiveRight) -> Self {
        Self::of(port.name().raw(), 4096, 0)
            .map_err(|(error, _)| error)
            .expect("a message")
    }

    fn header(&self) -> mach_msg_header_t {
        self.at(0)
    }

    fn at<T: Pod>(&self, at: usize) -> T {
        pod::read(&pod::word_bytes(&self.0)[at..]).expect("within the buffer")
    }

    fn destroy(mut self) {
        // SAFETY: the message was received, and nothing else owns its rights and memory.
        unsafe { kernel::mach_msg_destroy(self.0.as_mut_ptr().cast()) };
    }
}

fn error_of(port: mach_port_name_t, bytes: usize, option: i32) -> KernReturn {
    Received::of(port, bytes, option).err().expect("an error").0
}

fn allocate(size: usize) -> u64 {
    let mut address = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe {
        kernel::mach_vm_allocate(task_self(), &mut address, size as u64, VM_FLAGS_ANYWHERE)
    };
    assert_eq!(kr(code), KernReturn::SUCCESS);
    address
}

fn release(address: u64, size: usize) {
    // SAFETY: the tests release what is theirs.
    let code = unsafe { kernel::mach_vm_deallocate(task_self(), address, size as u64) };
    assert_eq!(kr(code), KernReturn::SUCCESS);
}

fn is_mapped(address: u64) -> bool {
    let (mut byte, mut size) = (0_u8, 0);
    // SAFETY: one byte goes to a local variable.
    let code = unsafe {
        let to = (&raw mut byte) as u64;
        kernel::mach_vm_read_overwrite(task_self(), address, 1, to, &mut size)
    };
    kr(code) == KernReturn::SUCCESS
}

fn kind(name: mach_port_name_t) -> Option<mach_port_type_t> {
    let mut kind = 0;
    // SAFETY: the result goes to a local variable.
    match kr(unsafe { kernel::mach_port_type(task_self(), name, &mut kind) }) {
        KernReturn::SUCCESS => Some(kind),
        error => {
            assert_eq!(error, KernReturn::INVALID_NAME);
            None
        }
    }
}

fn deallocate(name: mach_port_name_t) {
    // SAFETY: the tests release what is theirs.
    let code = unsafe { kernel::mach_port_deallocate(task_self(), name) };
    assert_eq!(kr(code), KernReturn::SUCCESS);
}

fn port() -> ReceiveRight {
    ReceiveRight::new().expect("a port")
}

fn send_references(port: &ReceiveRight) -> u32 {
    user_references(port.name(), PortRight::SEND).expect("the port's name")
}

/// Resident and mapped memory of the process, in pages.
fn pages_mapped() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("the system's numbers");
    let total = text.split(' ').next().expect("a number");
    total.parse().expect("a number")
}

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
fn c10_4_memory_is_copied_and_given_away_as_the_flags_say() {
    // No other thread may take the addresses meanwhile.
    isolated(
        "c10_4_memory_is_copied_and_given_away_as_the_flags_say",
        || {
            let port = port();
            for (copy, deallocate) in [
                (MACH_MSG_VIRTUAL_COPY, false),
                (MACH_MSG_VIRTUAL_COPY, true),
                (MACH_MSG_PHYSICAL_COPY, false),
                (MACH_MSG_PHYSICAL_COPY, true),
            ] {
                for size in [1, 4096, 3 * PAGE - 5] {
                    let memory = allocate(3 * PAGE);
                    let bytes: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
                    // SAFETY: allocated above, with more bytes.
                    unsafe {
                        core::ptr::copy_nonoverlapping(bytes.as_ptr(), memory as *mut u8, size)
                    };
                    let mut message = Message::to(port.name().raw(), SEND)
                        .memory(memory, size as u32, copy, deallocate)
                        .memory(0xdead, 0, copy, true)
                        .memory(bytes.as_ptr() as u64, size as u32, copy, false);
                    let sent = message.bytes.clone();
                    assert_eq!(message.send(), KernReturn::SUCCESS);
                    assert_eq!(message.bytes, sent, "the sender's message is as it was");
                    assert_eq!(is_mapped(memory), !deallocate);
                    let end = memory + (size - 1) as u64;
                    assert_eq!(is_mapped(end), !deallocate);
                    let got = Received::from(&port);
                    let released = copy == MACH_MSG_VIRTUAL_COPY;
                    for at in [28, 60] {
                        let found: mach_msg_ool_descriptor_t = got.at(at);
                        assert_eq!({ found.size } as usize, size);
                        assert_eq!(
                            (found.deallocate != 0, u32::from(found.copy)),
                            (released, copy)
                        );
                        let address = found.address;
                        assert_ne!(address, memory);
                        // SAFETY: the memory came with the message, with so many bytes.
                        let copied =
                            unsafe { core::slice::from_raw_parts(address as *const u8, size) };
                        assert_eq!(copied, bytes);
                    }
                    let empty: mach_msg_ool_descriptor_t = got.at(44);
                    assert_eq!(({ empty.address }, { empty.size }), (0, 0));
                    let first: mach_msg_ool_descriptor_t = got.at(28);
                    // C12.1: memory is released only where the descriptor says so.
                    got.destroy();
                    assert_eq!(is_mapped(first.address), !released);
                    if !deallocate {
                        release(memory, 3 * PAGE);
                    }
                }
            }
        },
    );
}

#[test]
fn c10_4_memory_that_cannot_be_read_destroys_what_was_taken() {
    isolated(
        "c10_4_memory_that_cannot_be_read_destroys_what_was_taken",
        || {
            let (port, carried, reply) = (port(), port(), port());
            let moved = carried.make_send().expect("a send right");
            let moved = moved.into_name().raw();
            // Nothing is mapped there on any system.
            let gone = 8;
            let given = allocate(PAGE);
            let kept = allocate(PAGE);
            let mut message = Message::to(port.name().raw(), SEND)
                .reply(reply.name().raw(), ONCE)
                .memory(given, 8, MACH_MSG_VIRTUAL_COPY, true)
                .port(moved, MACH_MSG_TYPE_MOVE_SEND)
                .memory(gone, 8, MACH_MSG_VIRTUAL_COPY, false)
                .memory(kept, 8, MACH_MSG_VIRTUAL_COPY, true)
                .port(carried.name().raw(), SEND);
            assert_eq!(message.send(), KernReturn::SEND_INVALID_MEMORY);
            assert_eq!(
                send_references(&carried),
                0,
                "the right before it was taken"
            );
            assert!(
                !is_mapped(given),
                "the memory before it went with the message"
            );
            assert!(is_mapped(kept), "the memory behind it did not");
            let told = Received::from(&reply);
            assert_eq!(told.header().msgh_id, MACH_NOTIFY_SEND_ONCE);
            assert_eq!(
                error_of(port.name().raw(), 4096, 0),
                KernReturn::RCV_TIMED_OUT
            );
            // The first thing that is wrong decides.
            let mut message = Message::to(port.name().raw(), SEND)
                .port(0xdead03, MACH_MSG_TYPE_COPY_SEND)
                .memory(gone, 8, MACH_MSG_VIRTUAL_COPY, false);
            assert_eq!(message.send(), KernReturn::SEND_INVALID_RIGHT);
            let mut message = Message::to(port.name().raw(), SEND)
                .memory(gone, 8, MACH_MSG_VIRTUAL_COPY, false)
                .port(0xdead03, MACH_MSG_TYPE_COPY_SEND);
            assert_eq!(message.send(), KernReturn::SEND_INVALID_MEMORY);
            let mut message = Message::to(port.name().raw(), SEND).array(gone, 3, SEND, false);
            assert_eq!(message.send(), KernReturn::SEND_INVALID_MEMORY);
            release(kept, PAGE);
        },
    );
}

fn names_at(got: &Received, at: usize) -> (mach_msg_ool_ports_descriptor_t, Vec<mach_port_name_t>) {
    let found: mach_msg_ool_ports_descriptor_t = got.at(at);
    let (address, count) = (found.address, found.count as usize);
    if count == 0 {
        assert_eq!(address, 0);
        return (found, Vec::new());
    }
    // SAFETY: the array came with the message.
    let names = unsafe { core::slice::from_raw_parts(address as *const mach_port_name_t, count) };
    (found, names.to_vec())
}

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

/// Sends a receive right with its guard: the flags, the guard's value in the descriptor.
fn guarded(name: mach_port_name_t, flags: u32, context: u64) -> mach_msg_guarded_port_descriptor_t {
    mach_msg_guarded_port_descriptor_t {
        context,
        flags: flags as u16,
        disposition: MACH_MSG_TYPE_MOVE_RECEIVE as u8,
        type_: MACH_MSG_GUARDED_PORT_DESCRIPTOR as u8,
        name,
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
fn c1_7_memory_and_rights_of_undelivered_messages_go_with_them() {
    isolated(
        "c1_7_memory_and_rights_of_undelivered_messages_go_with_them",
        || {
            let other = port();
            let bytes = vec![1_u8; 1 << 20];
            let round = || {
                let port = port();
                for _ in 0..4 {
                    let mut message = Message::to(port.name().raw(), SEND)
                        .memory(
                            bytes.as_ptr() as u64,
                            1 << 20,
                            MACH_MSG_PHYSICAL_COPY,
                            false,
                        )
                        .ports(&[other.name().raw(); 500], SEND)
                        .body(100_000);
                    assert_eq!(message.send(), KernReturn::SUCCESS);
                }
                // One is too large for its receiver, the others die with the port.
                let error = error_of(port.name().raw(), 4096, 0);
                assert_eq!(error, KernReturn::RCV_TOO_LARGE);
            };
            round();
            let census = Census::take().expect("a census");
            let pages = KERNEL == Kernel::Emulated;
            let before = if pages { pages_mapped() } else { 0 };
            for _ in 0..50 {
                round();
            }
            let after = Census::take().expect("a census").since(&census);
            let more = |change: Change| change.names > 0 || change.references > 0;
            assert!(!after.changes().any(|(_, change)| more(change)), "{after}");
            assert_eq!(send_references(&other), 0);
            if pages {
                // 200 messages had 200 MiB.
                let more = pages_mapped().saturating_sub(before);
                assert!(more < 2048, "{more} pages more");
            } else {
                let name = "c1_7_memory_and_rights_of_undelivered_messages_go_with_them";
                report_partly(name, "the kernel's memory is not the process's");
            }
        },
    );
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

thread_local! {
    /// Number of calls of the demultiplexer, and its next answer: a return code.
    static CALLS: Cell<(u32, i32)> = const { Cell::new((0, 0)) };
}

/// Answers with the code that the test wants. Its result means nothing (C12.2).
unsafe extern "C" fn demux(
    request: *mut mach_msg_header_t,
    reply: *mut mach_msg_header_t,
) -> boolean_t {
    let (calls, code) = CALLS.get();
    CALLS.set((calls + 1, code));
    // SAFETY: the server's buffers: a request with a header, and room for a reply.
    unsafe {
        let header = request.read_unaligned();
        let mut answer = [0; 36];
        let written = ReplyTo::header(&header).encode_status(&mut answer, KernReturn::new(code));
        assert_eq!(written, Ok(36));
        let answer: mig_reply_error_t = pod::read(&answer).expect("a reply");
        reply.cast::<mig_reply_error_t>().write_unaligned(answer);
    }
    0
}

fn serve_once(port: &ReceiveRight, max_size: u32, options: i32) -> KernReturn {
    // SAFETY: the demultiplexer writes 36 bytes.
    kr(unsafe { kernel::mach_msg_server_once(demux, max_size, port.name().raw(), options) })
}

#[test]
fn c12_2_a_server_answers_once_by_the_return_code() {
    isolated("c12_2_a_server_answers_once_by_the_return_code", || {
        let (port, reply, carried) = (port(), port(), port());
        let ask = || {
            let mut message = Message::to(port.name().raw(), SEND)
                .reply(reply.name().raw(), ONCE)
                .port(carried.name().raw(), SEND);
            assert_eq!(message.send(), KernReturn::SUCCESS);
        };
        for (code, answered, kept) in [(0, true, 1), (5, true, 0), (-305, false, 1)] {
            CALLS.set((0, code));
            ask();
            assert_eq!(serve_once(&port, 100, 0), KernReturn::SUCCESS, "{code}");
            assert_eq!(CALLS.get().0, 1);
            assert_eq!(
                send_references(&carried),
                kept,
                "{code}: the request's right"
            );
            (0..kept).for_each(|_| deallocate(carried.name().raw()));
            if answered {
                let answer = Received::from(&reply);
                assert_eq!((answer.header().msgh_id, answer.0[8]), (177, code as u32));
            } else {
                // The reply right stays with the demultiplexer.
                assert_eq!(
                    error_of(reply.name().raw(), 4096, 0),
                    KernReturn::RCV_TIMED_OUT
                );
            }
        }
        // A client that is gone is no error.
        CALLS.set((0, 0));
        let dying = self::port();
        let mut message = Message::to(port.name().raw(), SEND).reply(dying.name().raw(), ONCE);
        assert_eq!(message.send(), KernReturn::SUCCESS);
        drop(dying);
        assert_eq!(serve_once(&port, 100, 0), KernReturn::SUCCESS);
    });
}

#[test]
fn c12_2a_a_larger_request_ends_the_server_unless_it_may_grow() {
    isolated(
        "c12_2a_a_larger_request_ends_the_server_unless_it_may_grow",
        || {
            let (port, reply) = (port(), port());
            let ask = |bytes| {
                let mut message = Message::to(port.name().raw(), SEND)
                    .reply(reply.name().raw(), ONCE)
                    .body(bytes);
                assert_eq!(message.send(), KernReturn::SUCCESS);
            };
            CALLS.set((0, 0));
            ask(100);
            assert_eq!(serve_once(&port, 100, 0), KernReturn::RCV_TOO_LARGE);
            assert_eq!(
                Received::from(&reply).header().msgh_id,
                MACH_NOTIFY_SEND_ONCE
            );
            ask(100_000);
            assert_eq!(serve_once(&port, 100, MACH_RCV_LARGE), KernReturn::SUCCESS);
            assert_eq!(Received::from(&reply).header().msgh_id, 177);
            assert_eq!(CALLS.get().0, 1);
            // The loop serves what is queued, and ends with the error of a request that is too large.
            for bytes in [0, 8, 16, 1000] {
                ask(bytes);
            }
            // SAFETY: the demultiplexer writes 36 bytes.
            let ended = kr(unsafe { kernel::mach_msg_server(demux, 100, port.name().raw(), 0) });
            assert_eq!((ended, CALLS.get().0), (KernReturn::RCV_TOO_LARGE, 4));
            let ids = [177, 177, 177, MACH_NOTIFY_SEND_ONCE];
            for id in ids {
                assert_eq!(Received::from(&reply).header().msgh_id, id);
            }
        },
    );
}

#[test]
fn c12_2_a_full_reply_queue_does_not_stop_the_server() {
    isolated("c12_2_a_full_reply_queue_does_not_stop_the_server", || {
        let (port, reply) = (port(), port());
        CALLS.set((0, 0));
        let before = {
            // SAFETY: names of this test's.
            let code = unsafe {
                let name = reply.name().raw();
                kernel::mach_port_insert_right(task_self(), name, name, SEND)
            };
            assert_eq!(kr(code), KernReturn::SUCCESS);
            send_references(&reply)
        };
        for _ in 0..5 {
            let mut message = Message::to(reply.name().raw(), MACH_MSG_TYPE_COPY_SEND);
            assert_eq!(message.send(), KernReturn::SUCCESS);
        }
        let mut message =
            Message::to(port.name().raw(), SEND).reply(reply.name().raw(), MACH_MSG_TYPE_COPY_SEND);
        assert_eq!(message.send(), KernReturn::SUCCESS);
        let mut too_large = Message::to(port.name().raw(), SEND).body(1000);
        assert_eq!(too_large.send(), KernReturn::SUCCESS);
        // SAFETY: the demultiplexer writes 36 bytes.
        let ended = kr(unsafe { kernel::mach_msg_server(demux, 100, port.name().raw(), 0) });
        assert_eq!((ended, CALLS.get().0), (KernReturn::RCV_TOO_LARGE, 1));
        assert_eq!(
            send_references(&reply),
            before,
            "the reply that was not sent is released"
        );
    });
}
