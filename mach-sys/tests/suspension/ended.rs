//! Threads that end themselves, and threads that are terminated in a kernel call (D3, A8.4).
#![allow(unsafe_code)]

use crate::listing::threads;
use crate::support::{assert_never, resume, suspend, terminate, thread};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, Config, Generation, system};
use mach_sys::message::Disposition;
use mach_sys::message::{
    MACH_MSGH_BITS, MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_SEND_MSG, MACH_SEND_TIMEOUT,
    mach_msg_header_t,
};
use mach_sys::mig::MACH_NOTIFY_SEND_ONCE;
use mach_sys::port::PortRight;
use mach_sys::rights::{Census, Name, ReceiveRight, Right, user_references};
use mach_sys::types::{SYNC_POLICY_FIFO, mach_port_name_t, mach_timespec_t};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use test_support::emulator::is_emulated;
use test_support::isolated::isolated;
use test_support::wait::wait_for;

/// D3.1, D3.2: nothing is deallocated for a thread that calls `thread_terminate` on itself.
#[test]
fn d3_2_a_thread_that_ends_itself_leaves_the_reference_of_that_call() {
    isolated(
        "ended::d3_2_a_thread_that_ends_itself_leaves_the_reference_of_that_call",
        || {
            let mut config = Config::default();
            config.generation = Generation::MacOs11;
            kernel::configure(config).expect("started");
            let (says, named) = channel();
            // It never returns, and cannot be joined.
            drop(std::thread::spawn(move || {
                let own = system::own_thread_port();
                says.send(own).expect("the test listens");
                // SAFETY: no arguments.
                let same = unsafe { kernel::mach_thread_self() };
                assert_eq!(same, own);
                let code = terminate(same);
                assert_eq!(code, KernReturn::SUCCESS);
            }));
            let name = Name::new(named.recv().expect("a thread")).expect("a name");
            // The library's own, and that of the call.
            wait_for("the dead name", || {
                user_references(name, PortRight::DEAD_NAME) == Ok(2)
            });
        },
    );
}

/// Starts the generation in which pthreads can be terminated.
fn start() {
    let mut config = Config::default();
    config.generation = Generation::MacOs11;
    kernel::configure(config).expect("started");
}

/// Runs `call` on a thread that is terminated while it waits in the call.
fn terminated_in(call: impl FnOnce() + Send + 'static) {
    let (returned, returns) = channel();
    let (name, handle) = thread(move || {
        call();
        returned.send(()).expect("heard");
    });
    assert_never("the call returns", || returns.try_recv().is_ok());
    assert_eq!(terminate(name), KernReturn::SUCCESS);
    wait_for("the thread's end", || {
        let name = Name::new(name).expect("a name");
        matches!(user_references(name, PortRight::DEAD_NAME), Ok(1..))
    });
    // Its system thread is gone, and the C library does not know: it cannot be joined.
    core::mem::forget(handle);
    assert!(returns.try_recv().is_err(), "it ran on");
}

/// Sends a message of a header with a reply right, made of a port. Returns the result.
fn send(to: mach_port_name_t, reply: mach_port_name_t, option: i32) -> KernReturn {
    let once = match reply {
        0 => 0,
        _ => Disposition::MAKE_SEND_ONCE.raw(),
    };
    let mut message = mach_msg_header_t {
        msgh_bits: MACH_MSGH_BITS(Disposition::COPY_SEND.raw(), once),
        msgh_size: size_of::<mach_msg_header_t>() as u32,
        msgh_remote_port: to,
        msgh_local_port: reply,
        ..mach_msg_header_t::default()
    };
    let size = message.msgh_size;
    // SAFETY: the message is readable for its size.
    let code = unsafe {
        kernel::mach_msg(
            (&raw mut message).cast(),
            MACH_SEND_MSG | option,
            size,
            0,
            0,
            0,
            0,
        )
    };
    KernReturn::new(code)
}

/// Receives a message on a port, within `limit` milliseconds or for ever. Returns its identifier.
fn receive(from: mach_port_name_t, limit: Option<u32>) -> Result<i32, KernReturn> {
    let mut buffer = [mach_msg_header_t::default(); 8];
    let option = limit.map_or(0, |_| MACH_RCV_TIMEOUT);
    // SAFETY: the buffer has the room that the call is told.
    let code = unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_RCV_MSG | option,
            0,
            size_of_val(&buffer) as u32,
            from,
            limit.unwrap_or(0),
            0,
        )
    };
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(buffer[0].msgh_id),
        error => Err(error),
    }
}

/// A8.4: the message of a thread that is terminated while it waits to send it is destroyed, with its rights.
#[test]
fn a8_4_a_message_that_is_not_sent_goes_with_its_thread() {
    isolated(
        "ended::a8_4_a_message_that_is_not_sent_goes_with_its_thread",
        || {
            start();
            let (to, reply) = (
                ReceiveRight::new().expect("a port"),
                ReceiveRight::new().expect("a port"),
            );
            let sends = to.make_send().expect("a send right");
            let (to_name, reply_name) = (sends.name().raw(), reply.name().raw());
            while send(to_name, 0, MACH_SEND_TIMEOUT) == KernReturn::SUCCESS {}
            terminated_in(move || {
                let _ = send(to_name, reply_name, 0);
            });
            let told = receive(reply_name, Some(60_000));
            assert_eq!(told, Ok(MACH_NOTIFY_SEND_ONCE), "its reply right is gone");
            drop((to, sends));
        },
    );
}

/// A8.4: a thread that is terminated while it waits for a semaphore takes no signal that comes later.
#[test]
fn a8_4_a_signal_does_not_go_to_a_thread_that_is_gone() {
    isolated(
        "ended::a8_4_a_signal_does_not_go_to_a_thread_that_is_gone",
        || {
            start();
            let mut semaphore = 0;
            // SAFETY: the result goes to a local variable.
            let made = unsafe {
                kernel::semaphore_create(system::task_self(), &mut semaphore, SYNC_POLICY_FIFO, 0)
            };
            assert_eq!(KernReturn::new(made), KernReturn::SUCCESS);
            terminated_in(move || {
                // SAFETY: no pointers.
                unsafe { kernel::semaphore_wait(semaphore) };
            });
            // SAFETY: no pointers.
            let signalled = unsafe { kernel::semaphore_signal(semaphore) };
            assert_eq!(KernReturn::new(signalled), KernReturn::SUCCESS);
            let at_once = mach_timespec_t {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: no pointers.
            let waited = unsafe { kernel::semaphore_timedwait(semaphore, at_once) };
            assert_eq!(KernReturn::new(waited), KernReturn::SUCCESS);
        },
    );
}

/// A8.4: a thread that is terminated while it waits for a message takes none that comes later.
#[test]
fn a8_4_a_message_does_not_go_to_a_thread_that_is_gone() {
    isolated(
        "ended::a8_4_a_message_does_not_go_to_a_thread_that_is_gone",
        || {
            start();
            let port = ReceiveRight::new().expect("a port");
            let sends = port.make_send().expect("a send right");
            let name = port.name().raw();
            terminated_in(move || {
                let _ = receive(name, None);
            });
            assert_eq!(send(name, 0, 0), KernReturn::SUCCESS);
            assert_eq!(receive(name, Some(0)), Ok(0));
            drop(sends);
        },
    );
}

/// D4.4: a thread that was terminated, until the kernel is done with it: with a reference for each listing, and calls on it fail.
#[test]
fn d4_4_a_terminated_thread_is_listed_with_a_reference_until_it_is_gone() {
    isolated(
        "ended::d4_4_a_terminated_thread_is_listed_with_a_reference_until_it_is_gone",
        || {
            start();
            for _ in 0..20 {
                let (name, handle) = thread(|| {
                    loop {
                        std::hint::spin_loop();
                    }
                });
                let port = Name::new(name).expect("a name");
                // The library's own, and that of the test.
                let mut references = 2;
                assert_eq!(terminate(name), KernReturn::SUCCESS);
                wait_for("a listing without it", || {
                    let listed = threads().contains(&name);
                    references += u32::from(listed);
                    if listed {
                        let code = suspend(name);
                        let gone = [KernReturn::TERMINATED, KernReturn::SEND_INVALID_DEST];
                        assert!(gone.contains(&code), "{code:?}");
                    }
                    !listed
                });
                wait_for("its references on the dead name", || {
                    user_references(port, PortRight::DEAD_NAME) == Ok(references)
                });
                assert!(!threads().contains(&name));
                core::mem::forget(handle);
            }
        },
    );
}

/// A thread that is ended while it creates another one holds up no later creation.
#[test]
fn a_thread_that_is_ended_while_it_creates_threads_leaves_the_creation_to_others() {
    const NAME: &str =
        "ended::a_thread_that_is_ended_while_it_creates_threads_leaves_the_creation_to_others";
    isolated(NAME, || {
        start();
        for round in 0..100 {
            let (name, handle) = thread(|| {
                loop {
                    end_of_thread(create());
                }
            });
            std::thread::sleep(std::time::Duration::from_micros(100 + 37 * round));
            assert_eq!(terminate(name), KernReturn::SUCCESS);
            // Its system thread is gone, and the C library does not know: it cannot be joined.
            core::mem::forget(handle);
            end_of_thread(create());
        }
    });
}

/// A thread that is suspended while it creates another one holds up no creation either.
#[test]
fn a_thread_that_is_suspended_while_it_creates_threads_leaves_the_creation_to_others() {
    const NAME: &str =
        "ended::a_thread_that_is_suspended_while_it_creates_threads_leaves_the_creation_to_others";
    isolated(NAME, || {
        start();
        let (name, _) = thread(|| {
            loop {
                end_of_thread(create());
            }
        });
        for round in 0..200 {
            std::thread::sleep(std::time::Duration::from_micros(100 + 37 * (round % 50)));
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            end_of_thread(create());
            assert_eq!(resume(name), KernReturn::SUCCESS);
        }
        assert_eq!(suspend(name), KernReturn::SUCCESS);
    });
}

/// XNU's call returns before its thread can be seen: it does not fail because another thread ended that.
#[test]
fn a_thread_that_is_ended_while_it_is_created_is_no_error_and_leaves_no_name() {
    const NAME: &str =
        "ended::a_thread_that_is_ended_while_it_is_created_is_no_error_and_leaves_no_name";
    isolated(NAME, || {
        start();
        end_of_thread(create());
        let (over, ended) = (Arc::new(AtomicBool::new(false)), channel());
        let (creator, handle) = thread({
            let over = Arc::clone(&over);
            move || {
                ended.1.recv().expect("heard");
                while !over.load(Ordering::SeqCst) {
                    let name = create();
                    // It may have been ended.
                    let _ = terminate(name);
                    release(name);
                }
                ended.1.recv().expect("heard");
            }
        });
        let known = threads();
        known.iter().copied().for_each(release);
        assert!(known.contains(&creator), "{known:?}");
        let before = Census::take().expect("a census");
        ended.0.send(()).expect("heard");
        let mut count = 0;
        let enough = if is_emulated() { 30 } else { 200 };
        while count < enough {
            for name in threads() {
                if !known.contains(&name) {
                    count += u32::from(terminate(name) == KernReturn::SUCCESS);
                }
                release(name);
            }
        }
        over.store(true, Ordering::SeqCst);
        wait_for("the census from before", || {
            let now = Census::take().expect("a census");
            now.since(&before).is_leak_free()
        });
        ended.0.send(()).expect("heard");
        handle.join().expect("it did not fail");
    });
}

fn create() -> mach_port_name_t {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::thread_create(system::task_self(), &mut name) };
    assert_eq!(KernReturn::new(code), KernReturn::SUCCESS);
    name
}

fn end_of_thread(name: mach_port_name_t) {
    assert_eq!(terminate(name), KernReturn::SUCCESS);
    release(name);
}

fn release(name: mach_port_name_t) {
    // SAFETY: no pointers.
    let code = unsafe { kernel::mach_port_deallocate(system::task_self(), name) };
    assert_eq!(KernReturn::new(code), KernReturn::SUCCESS);
}
