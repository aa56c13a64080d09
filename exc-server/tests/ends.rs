//! Abnormal ends: panics, servers that are dropped, answers that are forgotten. No thread waits forever, and no unhandled fault is reported
//! as handled.
#![allow(unsafe_code)]

mod support;

use exc_server::{
    Answered, Delivery, Exception, PanicPolicy, Restored, RouteError, Routing, Server, Target,
    Timeout,
};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system};
use mach_sys::message::{Disposition, MACH_SEND_MSG, MACH_SEND_TIMEOUT, mach_msg_header_t};
use mach_sys::port::{MACH_PORT_RIGHT_PORT_SET, MACH_PORT_TYPE_PORT_SET};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight};
use mach_sys::types::mach_port_name_t;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use support::isolated::{exit_status, report_skipped};
use support::{UNDEFINED, fallback, faults_on_a_thread, isolated, on_a_thread, skip};
use test_support::instructions::undefined;
use test_support::wait::wait_for;

const ROUTING: Routing = Routing::new(UNDEFINED, Delivery::THREAD);

fn quietly() {
    std::panic::set_hook(Box::new(|_| {}));
}

#[test]
fn a_handler_that_panics_declines_and_the_server_goes_on() {
    isolated(
        "a_handler_that_panics_declines_and_the_server_goes_on",
        || {
            quietly();
            let (below, _route) = fallback();
            let server = Server::builder()
                .on_panic(PanicPolicy::Decline)
                .start(|_: Exception<'_>| -> Answered { panic!("a handler's bug") })
                .expect("a server");
            faults_on_a_thread(&server, &ROUTING, 5);
            let stats = server.shutdown();
            assert_eq!((stats.panicked, stats.declined, stats.resumed), (5, 5, 0));
            assert_eq!(below.stats().resumed, 5);
        },
    );
}

#[test]
fn a_handler_that_panics_after_its_answer_has_answered() {
    isolated(
        "a_handler_that_panics_after_its_answer_has_answered",
        || {
            quietly();
            let server = Server::start(|exception: Exception<'_>| -> Answered {
                let _answered = skip(exception);
                panic!("a handler's bug")
            })
            .expect("a server");
            faults_on_a_thread(&server, &ROUTING, 5);
            let stats = server.shutdown();
            assert_eq!((stats.panicked, stats.declined, stats.resumed), (5, 0, 5));
        },
    );
}

#[test]
fn a_panic_whose_payload_panics_in_turn_does_not_end_the_server() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload's bug");
        }
    }
    isolated(
        "a_panic_whose_payload_panics_in_turn_does_not_end_the_server",
        || {
            quietly();
            let (below, _route) = fallback();
            let server =
                Server::start(|_: Exception<'_>| -> Answered { std::panic::panic_any(Bomb) })
                    .expect("a server");
            faults_on_a_thread(&server, &ROUTING, 3);
            assert_eq!(server.shutdown().panicked, 3);
            assert_eq!(below.stats().resumed, 3);
        },
    );
}

#[test]
fn a_panic_under_the_policy_abort_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let died = exit_status("a_panic_under_the_policy_abort_ends_the_process", || {
        let (_below, _route) = fallback();
        let server = Server::builder()
            .on_panic(PanicPolicy::Abort)
            .start(|_: Exception<'_>| -> Answered { panic!("a handler's bug") })
            .expect("a server");
        faults_on_a_thread(&server, &ROUTING, 1);
        // The thread may finish before the process ends.
        std::thread::sleep(std::time::Duration::from_secs(20));
    });
    if let Some((status, text)) = died {
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}\n{text}");
        assert!(text.contains("a handler's bug"), "{text}");
    }
}

#[test]
fn a_forgotten_exception_is_declined_whatever_the_handler_returns() {
    isolated(
        "a_forgotten_exception_is_declined_whatever_the_handler_returns",
        || {
            quietly();
            let (below, _route) = fallback();
            let kept = Mutex::new(None);
            let server = Server::start(move |exception: Exception<'_>| -> Answered {
                let mut kept = kept.lock().unwrap_or_else(|broken| broken.into_inner());
                match kept.take() {
                    // Returns the `Answered` of another exception.
                    Some(answered) => {
                        core::mem::forget(exception);
                        answered
                    }
                    None => {
                        *kept = Some(skip(exception));
                        panic!("keeps its answer for later");
                    }
                }
            })
            .expect("a server");
            faults_on_a_thread(&server, &ROUTING, 2);
            let stats = server.shutdown();
            assert_eq!((stats.resumed, stats.declined), (1, 1));
            assert_eq!(below.stats().resumed, 1);
        },
    );
}

#[test]
fn a6_8_a_server_that_is_dropped_with_faults_outstanding_leaves_no_thread_waiting() {
    isolated(
        "a6_8_a_server_that_is_dropped_with_faults_outstanding_leaves_no_thread_waiting",
        || {
            let (below, _route) = fallback();
            // The server handles one exception, and the others are queued.
            let (entered, wait_entered) = mpsc::channel();
            let (go, wait_go) = mpsc::channel::<()>();
            let wait_go = Mutex::new(wait_go);
            let server = Server::start(move |exception: Exception<'_>| {
                let _ = entered.send(());
                let _ = wait_go.lock().map(|wait| wait.recv());
                exception.decline()
            })
            .expect("a server");
            let server = Arc::new(Mutex::new(Some(server)));
            let routed = Arc::new(std::sync::Barrier::new(5));
            let threads = [(); 4].map(|()| {
                let (server, routed) = (Arc::clone(&server), Arc::clone(&routed));
                std::thread::spawn(move || {
                    let thread = ThreadRight::current().expect("the own thread");
                    let route = server
                        .lock()
                        .expect("not poisoned")
                        .as_ref()
                        .expect("a server")
                        .route(Target::Thread(&thread), &ROUTING);
                    let route = route.expect("a route");
                    routed.wait();
                    undefined();
                    // The server was dropped before: there is nothing to put back.
                    assert_eq!(route.close(), Ok(Restored::Clean));
                })
            });
            routed.wait();
            wait_entered.recv().expect("the handler runs");
            let server = server.lock().expect("not poisoned").take();
            let closing = std::thread::spawn(move || drop(server));
            // Three exceptions were queued, or are sent to a destroyed port.
            wait_for("what was not in hand goes to the task's level", || {
                below.stats().resumed == 3
            });
            assert!(!closing.is_finished(), "the handler still runs");
            drop(go);
            closing.join().expect("the server ends");
            for thread in threads {
                thread.join().expect("the thread went on");
            }
            assert_eq!(below.stats().resumed, 4);
        },
    );
}

#[test]
fn dropping_the_server_closes_its_routes() {
    isolated("dropping_the_server_closes_its_routes", || {
        let (below, _route) = fallback();
        on_a_thread(|thread| {
            let server = Server::start(|_: Exception<'_>| -> Answered {
                unreachable!("the server is gone before the fault")
            })
            .expect("a server");
            let route = server
                .route(Target::Thread(thread), &ROUTING)
                .expect("a route");
            drop(server);
            assert!(route.previous().is_none());
            undefined();
            assert_eq!(route.close(), Ok(Restored::Clean));
        });
        assert_eq!(below.stats().resumed, 1);
    });
}

#[test]
fn a_handler_may_drop_its_own_server() {
    isolated("a_handler_may_drop_its_own_server", || {
        let (below, _route) = fallback();
        let own = Arc::new(Mutex::new(None::<Server>));
        let to_drop = Arc::clone(&own);
        let server = Server::start(move |exception: Exception<'_>| {
            drop(to_drop.lock().expect("not poisoned").take());
            skip(exception)
        })
        .expect("a server");
        on_a_thread(|thread| {
            let route = server
                .route(Target::Thread(thread), &ROUTING)
                .expect("a route");
            *own.lock().expect("not poisoned") = Some(server);
            undefined();
            undefined();
            drop(route);
        });
        assert_eq!(below.stats().resumed, 1);
    });
}

#[test]
fn a_server_whose_set_is_destroyed_behind_its_back_leaves_no_thread_waiting() {
    isolated(
        "a_server_whose_set_is_destroyed_behind_its_back_leaves_no_thread_waiting",
        || {
            let (below, _route) = fallback();
            let before = port_sets();
            let server = Server::start(skip).expect("a server");
            let after = port_sets();
            let mut new = after.iter().filter(|name| !before.contains(name));
            let (Some(set), None) = (new.next(), new.next()) else {
                panic!("{before:?} {after:?}");
            };
            on_a_thread(|thread| {
                let route = server
                    .route(Target::Thread(thread), &ROUTING)
                    .expect("a route");
                undefined();
                // SAFETY: the call takes no pointers. It imitates a bug of other code.
                let code = unsafe {
                    kernel::mach_port_mod_refs(
                        system::task_self(),
                        *set,
                        MACH_PORT_RIGHT_PORT_SET,
                        -1,
                    )
                };
                assert_eq!(code, 0);
                undefined();
                drop(route);
                let refused = server.route(Target::Thread(thread), &ROUTING);
                wait_for("the server notices", || {
                    matches!(refused, Err(RouteError::Stopped | RouteError::Port(_)))
                });
            });
            assert_eq!(below.stats().resumed, 1);
        },
    );
}

/// Sends messages that no thread receives, until the kernel has no room for more; returns the ports that hold them.
fn fill_the_kernel() -> Vec<ReceiveRight> {
    let mut ports = Vec::new();
    loop {
        let port = ReceiveRight::new().expect("a port");
        let header = mach_msg_header_t {
            msgh_bits: Disposition::MAKE_SEND.raw(),
            msgh_size: size_of::<mach_msg_header_t>() as u32,
            msgh_remote_port: port.name().raw(),
            ..mach_msg_header_t::default()
        };
        ports.push(port);
        loop {
            let mut message = header;
            // SAFETY: the message is valid for its size, for reads and writes.
            let code = KernReturn::new(unsafe {
                kernel::mach_msg(
                    (&raw mut message).cast(),
                    MACH_SEND_MSG | MACH_SEND_TIMEOUT,
                    message.msgh_size,
                    0,
                    0,
                    0,
                    0,
                )
            });
            match code {
                KernReturn::SUCCESS => {}
                KernReturn::SEND_TIMED_OUT => break,
                code => {
                    assert_eq!(code, KernReturn::SEND_NO_BUFFER);
                    return ports;
                }
            }
        }
    }
}

#[test]
fn c8_8_a_server_serves_and_ends_although_no_message_finds_room() {
    const NAME: &str = "c8_8_a_server_serves_and_ends_although_no_message_finds_room";
    if KERNEL != Kernel::Emulated {
        return report_skipped(NAME, "this kernel's messages are not counted");
    }
    /// The handler's action.
    #[derive(Clone, Copy, Debug)]
    enum Does {
        Nothing,
        Resumes,
        Declines,
        Forwards,
        ForgetsTheKey,
    }
    isolated(NAME, || {
        let (below, _route) = fallback();
        let _unread = fill_the_kernel();
        for (does, expected) in [
            (Does::Nothing, 0),
            (Does::Resumes, 0),
            (Does::Declines, 1),
            // The request to the other handler is an ordinary message.
            (Does::Forwards, 1),
            (Does::ForgetsTheKey, 1),
        ] {
            let before = below.stats().resumed;
            let handler = move |exception: Exception<'_>| match does {
                Does::Nothing | Does::Resumes => skip(exception),
                Does::Declines => exception.decline(),
                Does::Forwards => exception.forward(Timeout::Never),
                Does::ForgetsTheKey => {
                    let limit = Timeout::After(Duration::from_millis(5));
                    let (answered, key) = exception.defer(limit).expect("room");
                    core::mem::forget(key);
                    answered
                }
            };
            let server = Server::builder().deferrals(1).start(handler);
            let server = server.expect("a server");
            if !matches!(does, Does::Nothing) {
                faults_on_a_thread(&server, &ROUTING, 1);
            }
            drop(server);
            assert_eq!(below.stats().resumed - before, expected, "{does:?}");
        }
    });
}

/// Returns the names of all port sets.
fn port_sets() -> Vec<mach_port_name_t> {
    let (mut names, mut types) = (core::ptr::null_mut(), core::ptr::null_mut());
    let (mut count, mut type_count) = (0, 0);
    // SAFETY: the results go to local variables.
    let code = unsafe {
        kernel::mach_port_names(
            system::task_self(),
            &mut names,
            &mut count,
            &mut types,
            &mut type_count,
        )
    };
    assert_eq!((code, count), (0, type_count));
    (0..count as usize)
        // SAFETY: both arrays have `count` elements, and are never freed in this process.
        .map(|index| unsafe { (names.add(index).read(), types.add(index).read()) })
        .filter(|(_, kind)| kind & MACH_PORT_TYPE_PORT_SET != 0)
        .map(|(name, _)| name)
        .collect()
}
