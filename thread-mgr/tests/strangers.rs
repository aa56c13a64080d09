//! A managed thread's exception port serves only its own exceptions. Those of another thread that arrive there are declined: otherwise two
//! threads would run on one emergency stack.
#![allow(unsafe_code)]

mod support;

use core::time::Duration;
use exc_server::{
    Answered, Delivery, Exception, ForwardError, Installation, Previous, Route, Routing, Server,
    Target, Timeout,
};
use mach_sys::exception::ExceptionMask;
use mach_sys::rights::{TaskRight, ThreadRight};
use mach_sys::thread_state::Registers;
use std::sync::mpsc;
use support::{builder, isolated};
use test_support::instructions::{LENGTH, undefined};
use thread_mgr::{Handle, HandlerStack, Manager};

const UNDEFINED: ExceptionMask = ExceptionMask::BAD_INSTRUCTION;

fn skip(exception: Exception<'_>) -> Answered {
    let mut state = exception.registers().expect("the registers");
    state.set_pc(state.pc() + LENGTH);
    // SAFETY: the next instruction does not depend on the skipped one.
    unsafe { exception.resume_with(&state) }
}

/// Starts a server at the task's level, which receives the exceptions that the thread's level declines.
fn fallback() -> (Server, Route) {
    let server = Server::start(skip).expect("a server");
    let task = TaskRight::current().expect("the own task");
    let routing = Routing::new(UNDEFINED, Delivery::TASK);
    let route = server.route(Target::Task(&task), &routing);
    (server, route.expect("a route"))
}

fn alternate() -> Manager {
    let builder = builder().handler_stack(HandlerStack::Alternate);
    builder.build().expect("a manager")
}

/// Starts a managed thread, and returns its handle, its registered handlers, and a sender. When the sender is dropped, the thread faults
/// once and exits.
fn shown(manager: &Manager) -> (Handle<()>, Previous, mpsc::Sender<()>) {
    let (send, receive) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let handle = manager.spawn(move || {
        let over = Server::start(skip).expect("a server");
        let thread = ThreadRight::current().expect("the own thread");
        let routing = Routing::new(UNDEFINED, Delivery::THREAD);
        let route = over.route(Target::Thread(&thread), &routing);
        let previous = route.expect("a route").previous();
        send.send(previous.expect("a live route"))
            .expect("a receiver");
        drop(over);
        let _ = wait.recv();
        undefined();
    });
    let previous = receive.recv().expect("what was registered before");
    (handle.expect("a thread"), previous, go)
}

/// Checks that the manager refuses one exception, and then serves its own thread.
fn ends_well(manager: &Manager, handle: Handle<()>, go: mpsc::Sender<()>) {
    assert_eq!(manager.redirect_stats().entered, 0);
    assert_eq!(manager.redirect_stats().refused, 1);
    drop(go);
    let ended = handle.join().expect("a thread");
    assert!(ended.exit.returned().is_some());
    assert_eq!(manager.redirect_stats().entered, 1);
    assert_eq!(manager.redirect_stats().returned, 1);
}

#[test]
fn an_exception_port_that_is_registered_for_another_thread_declines_its_exceptions() {
    let name = "an_exception_port_that_is_registered_for_another_thread_declines_its_exceptions";
    isolated(name, || {
        let (below, _route) = fallback();
        let manager = alternate();
        let (handle, previous, go) = shown(&manager);
        std::thread::spawn(move || {
            let thread = ThreadRight::current().expect("the own thread");
            let handlers = previous.handlers().iter();
            let port = handlers.filter_map(|handler| handler.port.as_ref()).next();
            let (target, port) = (Target::Thread(&thread), port.expect("the manager's port"));
            let installed = Installation::install(target, UNDEFINED, port, Delivery::THREAD);
            undefined();
            drop(installed.expect("a registration"));
        })
        .join()
        .expect("the thread goes on");
        assert_eq!(below.stats().resumed, 1);
        ends_well(&manager, handle, go);
    });
}

#[test]
fn a_forwarded_exception_of_another_thread_is_declined() {
    let name = "a_forwarded_exception_of_another_thread_is_declined";
    isolated(name, || {
        let manager = alternate();
        let (handle, previous, go) = shown(&manager);
        let (send, reasons) = mpsc::channel();
        let server = Server::start(move |exception| {
            let limit = Timeout::After(Duration::from_secs(20));
            match exception.try_forward_to(&previous, limit) {
                Ok(answered) => answered,
                Err(refused) => {
                    let _ = send.send(refused.reason);
                    skip(refused.exception)
                }
            }
        });
        let server = server.expect("a server");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let thread = ThreadRight::current().expect("the own thread");
                let routing = Routing::new(UNDEFINED, Delivery::THREAD);
                let route = server.route(Target::Thread(&thread), &routing);
                undefined();
                drop(route.expect("a route"));
            });
        });
        assert!(matches!(reasons.recv(), Ok(ForwardError::Declined(_))));
        ends_well(&manager, handle, go);
    });
}
