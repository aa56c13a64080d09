//! Counts how often a delivery takes the kernel's lock: each time transfers the kernel's state from one CPU's cache to another's.
#![allow(unsafe_code)]

use super::*;
use crate::host::context::Context;
use crate::ipc::lock;
use std::time::{Duration, Instant};

/// Registers a port for bad accesses.
fn register(world: &World, level: Level, port: Name) {
    world.kernel(|kernel| {
        let space = kernel.tables.task(world.task).space;
        ports::set(kernel, space, level, for_bad_accesses(port)).expect("valid");
    });
}

/// Waits for a request on a port, and destroys the port with it.
fn decline(world: &World, port: Name) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_declined = || {
        world.kernel(|kernel| {
            let space = kernel.tables.task(world.task).space;
            let ipc = &mut kernel.ipc;
            let asked = ipc.space(space).get(port).and_then(|entry| entry.port());
            let is_asked = ipc.has_messages(asked.expect("a port"));
            if is_asked {
                mach_port::mod_refs(ipc, space, port, PortRight::RECEIVE, -1).expect("its own");
            }
            is_asked
        })
    };
    while !is_declined() {
        assert!(Instant::now() < deadline, "waited in vain for the request");
        std::thread::yield_now();
    }
}

#[test]
fn a_delivery_takes_the_lock_once_to_send_each_request_and_not_for_its_end() {
    let world = World::of(Generation::MacOs26);
    let (first, second) = (world.port(), world.port());
    register(&world, Level::Thread(world.thread), first);
    register(&world, Level::Task(world.task), second);
    let fault = deliver::Fault {
        exception: ExceptionType::BAD_ACCESS,
        codes: [1, 0],
        thread_id: 77,
    };
    let mut registers = [0_u64; 256];
    // SAFETY: a delivery without a state reads no register and writes none.
    let mut context = unsafe { Context::from_raw(registers.as_mut_ptr().cast()) };
    let mut takes = || {
        let before = lock::taken();
        let handled = deliver::search(&world.mach, world.thread, fault, &mut context);
        assert!(handled.is_err());
        lock::taken() - before
    };
    std::thread::scope(|scope| {
        scope.spawn(|| [first, second].map(|port| decline(&world, port)));
        assert_eq!(
            takes(),
            2,
            "to ask the thread's handler, the task's, and no other"
        );
    });
    assert_eq!(takes(), 1, "no handler is left");
}
