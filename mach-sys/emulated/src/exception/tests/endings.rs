//! The rights that the kernel holds for a delivery end with it, whatever ends it (A2.10).
#![allow(unsafe_code)]

use super::*;
use crate::host::context::Context;
use crate::ipc::receive::{self, ReceiveRequest};
use crate::ipc::request_notification::{self, Wish};
use crate::ipc::send::{self, SendRequest};
use crate::thread::run;
use mach_wire::message::{MACH_MSGH_BITS, MessageOptions, mach_msg_header_t};
use mach_wire::mig::{MACH_NOTIFY_DEAD_NAME, NDR_record_t, mig_reply_error_t};

/// Receives the request on a port, and returns the name of its reply right.
fn asked(world: &World, port: Name) -> Name {
    let mut buffer = [0_u32; 512];
    let request = ReceiveRequest {
        address: buffer.as_mut_ptr() as u64,
        size: size_of_val(&buffer) as u32,
        options: MessageOptions::RCV_MSG,
        timeout: 0,
        name: port,
    };
    let space = world.kernel(|kernel| kernel.tables.task(world.task).space);
    receive::receive(&world.mach, space, request, &mut None).expect("a request");
    // SAFETY: a message begins with its header, and words are aligned for it.
    let header = unsafe { buffer.as_ptr().cast::<mach_msg_header_t>().read() };
    Name::new(header.msgh_remote_port)
}

/// Replies that the exception is handled, or is not.
fn reply(world: &World, to: Name, code: KernReturn) {
    let reply = mig_reply_error_t {
        Head: mach_msg_header_t {
            msgh_bits: MACH_MSGH_BITS(Disposition::MOVE_SEND_ONCE.raw(), 0),
            msgh_size: size_of::<mig_reply_error_t>() as u32,
            msgh_remote_port: to.raw(),
            msgh_id: 2505,
            ..mach_msg_header_t::default()
        },
        NDR: NDR_record_t::RECORD,
        RetCode: code.raw(),
    };
    let request = SendRequest {
        address: core::ptr::from_ref(&reply) as u64,
        size: reply.Head.msgh_size,
        options: MessageOptions::SEND_MSG,
        timeout: 0,
    };
    let space = world.kernel(|kernel| kernel.tables.task(world.task).space);
    send::send(&world.mach, space, request, &mut None).expect("a reply");
}

type Ending = fn(&World, Name, Name);

/// Each way in which a request ends, and whether the exception is handled then.
const ENDINGS: [(&str, Ending, bool); 6] = [
    (
        "a reply",
        |world, _, to| reply(world, to, KernReturn::SUCCESS),
        true,
    ),
    (
        "a refusal",
        |world, _, to| reply(world, to, KernReturn::FAILURE),
        false,
    ),
    (
        "the reply right is destroyed",
        |world, _, to| {
            world.kernel(|kernel| {
                let space = kernel.tables.task(world.task).space;
                mach_port::deallocate(&mut kernel.ipc, space, to).expect("its own");
            });
        },
        false,
    ),
    (
        "a notification through the reply right",
        |world, _, to| {
            world.kernel(|kernel| {
                let space = kernel.tables.task(world.task).space;
                let ipc = &mut kernel.ipc;
                let dying = mach_port::allocate(ipc, space, PortRight::RECEIVE).expect("room");
                let wish = Wish {
                    id: MACH_NOTIFY_DEAD_NAME,
                    sync: 0,
                    notify: to,
                    disposition: Disposition::MOVE_SEND_ONCE,
                };
                request_notification::request(ipc, space, dying, wish).expect("a live name");
                mach_port::mod_refs(ipc, space, dying, PortRight::RECEIVE, -1).expect("its own");
            });
        },
        false,
    ),
    (
        "an abort",
        |world, _, _| {
            world.kernel(|kernel| run::abort(kernel, world.thread, false).expect("alive"));
        },
        false,
    ),
    (
        "the death of the exception port, then a reply",
        |world, port, to| {
            world.kernel(|kernel| {
                let space = kernel.tables.task(world.task).space;
                let ipc = &mut kernel.ipc;
                mach_port::mod_refs(ipc, space, port, PortRight::RECEIVE, -1).expect("its own");
            });
            reply(world, to, KernReturn::SUCCESS);
        },
        true,
    ),
];

#[test]
fn a2_10_the_kernels_rights_end_with_the_delivery() {
    for (what, end, expected) in ENDINGS {
        let world = World::of(Generation::MacOs26);
        let port = world.port();
        world.set(port, 1 | CODES).expect("valid");
        let object = world.kernel(|kernel| {
            let space = kernel.tables.task(world.task).space;
            let entry = kernel.ipc.space(space).get(port);
            entry.and_then(|entry| entry.port()).expect("a port")
        });
        let control = world.kernel(|kernel| kernel.tables.thread(world.thread).port);
        let rights =
            || world.kernel(|kernel| [object, control].map(|port| kernel.ipc.port(port).srights));
        let before = rights();
        let fault = deliver::Fault {
            exception: ExceptionType::BAD_ACCESS,
            codes: [1, 0],
            thread_id: 77,
        };
        let mut registers = [0_u64; 256];
        // SAFETY: a delivery without a state reads no register and writes none.
        let mut context = unsafe { Context::from_raw(registers.as_mut_ptr().cast()) };
        let handled = std::thread::scope(|scope| {
            scope.spawn(|| {
                let to = asked(&world, port);
                // The thread's own name has the reference that the request brought (A7.2).
                end(&world, port, to);
            });
            deliver::search(&world.mach, world.thread, fault, &mut context)
        });
        assert_eq!(handled.is_ok(), expected, "{what}");
        let dead = world.kernel(|kernel| !kernel.ipc.port(object).alive);
        let after = rights();
        assert_eq!(after[1], before[1], "{what}: the thread's control port");
        if !dead {
            assert_eq!(after[0], before[0], "{what}: the exception port");
        }
    }
}
