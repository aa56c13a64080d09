//! Thread states: of a waiting thread, in replies, and refused ones.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    Answered, Delivery, Exception, MessageBuffer, Receiver, Routing, Server, Target, Timeout,
};
use mach_sys::kern_return::KernError;
use mach_sys::machine::Machine;
use mach_sys::rights::{ReceiveRight, Right, TaskRight, ThreadRight};
use mach_sys::thread_state::{Flavor, NativeState, Registers, ThreadState};
use std::sync::atomic::{AtomicU32, Ordering};
use support::{UNDEFINED, faults_on_a_thread, get, isolated, set, skip_undefined};
use test_support::instructions::undefined;

#[test]
fn a9_a_waiting_threads_registers_are_read_and_set_through_its_right() {
    let server = Server::start(|exception: Exception<'_>| -> Answered {
        let thread = exception.thread().expect("a thread");
        let mut state = get(thread).expect("it waits");
        // A4.6: another count is refused, and nothing changes.
        let refused = set(thread, &state, NativeState::COUNT - 1);
        assert_eq!(refused, Err(KernError::INVALID_ARGUMENT));
        skip_undefined(&mut state);
        set(thread, &state, NativeState::COUNT).expect("it waits");
        assert_eq!(get(thread).expect("it waits").pc(), state.pc());
        exception.resume()
    })
    .expect("a server");
    faults_on_a_thread(&server, &Routing::new(UNDEFINED, Delivery::identity()), 50);
    assert_eq!(server.shutdown().resumed, 50);
}

#[test]
fn a6_5_resumed_unchanged_leaves_what_was_set_through_the_right() {
    // If a request with a state is answered "handled" without one, the state set by `thread_set_state` stays.
    let server = Server::start(|exception: Exception<'_>| -> Answered {
        let thread = exception.thread().expect("a thread");
        let mut state = get(thread).expect("it waits");
        skip_undefined(&mut state);
        set(thread, &state, NativeState::COUNT).expect("it waits");
        exception.resume()
    })
    .expect("a server");
    faults_on_a_thread(&server, &Routing::new(UNDEFINED, Delivery::TASK), 50);
    assert_eq!(server.shutdown().resumed, 50);
}

#[test]
fn a4_4_a_refused_state_means_not_handled_and_changes_nothing() {
    isolated(
        "a4_4_a_refused_state_means_not_handled_and_changes_nothing",
        || {
            static FIRST_PC: AtomicU32 = AtomicU32::new(0);
            let server = Server::start(|mut exception: Exception<'_>| -> Answered {
                let mut state = exception.registers().expect("registers");
                if exception.tag() == 1 {
                    FIRST_PC.store(state.pc() as u32, Ordering::Relaxed);
                    let words = state.as_words();
                    // One word too few: a state that the kernel's set routine refuses (A4.6).
                    // SAFETY: refused, so that no register changes.
                    unsafe {
                        exception.set_state_words(
                            Flavor::new(Machine::NATIVE, NativeState::FLAVOR),
                            &words[..words.len() - 1],
                        )
                    }
                    .expect("a state-carrying request");
                    return exception.resume();
                }
                assert_eq!(state.pc() as u32, FIRST_PC.load(Ordering::Relaxed));
                skip_undefined(&mut state);
                // SAFETY: the next instruction does not depend on the skipped one.
                unsafe { exception.set_state(&state) }.expect("a state-carrying request");
                exception.resume()
            })
            .expect("a server");
            let task = TaskRight::current().expect("the own task");
            let routing = Routing::new(UNDEFINED, Delivery::state_identity::<NativeState>()).tag(2);
            let _task_route = server
                .route(Target::Task(&task), &routing)
                .expect("a route");
            faults_on_a_thread(
                &server,
                &Routing::new(UNDEFINED, Delivery::THREAD).tag(1),
                5,
            );
            assert_eq!(server.stats().resumed, 10);
        },
    );
}

#[test]
fn a_receiver_without_a_server_pulls_one_exception_at_a_time() {
    let port = ReceiveRight::new().expect("a port");
    port.set_context(0x1234).expect("a live port");
    let send = port.make_send().expect("a send right");
    std::thread::scope(|scope| {
        let faulting = scope.spawn(|| {
            let thread = ThreadRight::current().expect("the own thread");
            let installation = exc_server::Installation::install(
                Target::Thread(&thread),
                UNDEFINED,
                &send,
                Delivery::state_identity::<NativeState>(),
            )
            .expect("a live thread");
            for _ in 0..3 {
                undefined();
            }
            installation.uninstall()
        });
        let receiver = Receiver::from_port(&port);
        let mut buffer = MessageBuffer::new();
        for _ in 0..3 {
            let mut exception = receiver
                .receive(&mut buffer, Timeout::Never)
                .expect("an exception");
            assert_eq!(exception.port_context(), 0x1234);
            assert_eq!(exception.port(), Some(port.name()));
            let mut state = exception.registers().expect("registers");
            skip_undefined(&mut state);
            // SAFETY: the next instruction does not depend on the skipped one.
            unsafe { exception.set_state(&state) }.expect("a state-carrying request");
            let _ = exception.resume();
        }
        let empty = receiver.receive(&mut buffer, Timeout::Now).err();
        assert_eq!(empty, Some(exc_server::ReceiveError::TimedOut));
        let restored = faulting.join().expect("the thread went on");
        assert_eq!(restored, Ok(exc_server::Restored::Clean));
    });
}
