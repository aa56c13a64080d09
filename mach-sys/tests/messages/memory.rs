//! Out-of-line memory (C10.4, C1.7).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::message::*;
use mach_sys::mig::MACH_NOTIFY_SEND_ONCE;
use mach_sys::rights::{Census, Change, Right};
use test_support::isolated::{isolated, report_partly};

/// Resident and mapped memory of the process, in pages.
fn pages_mapped() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("the system's numbers");
    let total = text.split(' ').next().expect("a number");
    total.parse().expect("a number")
}

#[test]
fn c10_4_memory_is_copied_and_given_away_as_the_flags_say() {
    // No other thread may take the addresses meanwhile.
    isolated(
        "memory::c10_4_memory_is_copied_and_given_away_as_the_flags_say",
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
        "memory::c10_4_memory_that_cannot_be_read_destroys_what_was_taken",
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

#[test]
fn c1_7_memory_and_rights_of_undelivered_messages_go_with_them() {
    isolated(
        "memory::c1_7_memory_and_rights_of_undelivered_messages_go_with_them",
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
                let name = "memory::c1_7_memory_and_rights_of_undelivered_messages_go_with_them";
                report_partly(name, "the kernel's memory is not the process's");
            }
        },
    );
}
