//! Real faults of real threads, over the raw kernel calls: one exception port, one server loop, no crate above mach-sys.

use mach_sys::thread_state::Registers;
use port_server::{Fault, Server};
use test_support::instructions::{LENGTH, store_to, undefined};

/// Runs `body` on a thread whose faults are skipped, and returns them.
fn faults_of(body: fn()) -> Vec<Fault> {
    let server = Server::start(Vec::new(), |seen, fault, state| {
        seen.push(fault);
        state.set_pc(state.pc() + LENGTH);
        true
    });
    std::thread::scope(|scope| {
        let faulting = scope.spawn(|| {
            server.route_thread();
            body();
        });
        faulting.join().expect("the thread went on");
    });
    server.stop()
}

#[test]
fn a1_1_an_undefined_instruction_is_skipped_by_a_server() {
    let seen = faults_of(|| (0..100).for_each(|_| undefined()));
    let expected = seen
        .iter()
        .all(|fault| (fault.exception, fault.codes[0]) == (2, 1));
    assert!(expected && seen.len() == 100, "{seen:?}");
}

#[test]
fn a12_10_a_bad_access_brings_its_address() {
    let seen = faults_of(|| (0..10).for_each(|_| store_to(0x18)));
    let expected = Fault {
        exception: 1,
        codes: [1, 0x18],
    };
    assert_eq!(seen, [expected; 10]);
}
