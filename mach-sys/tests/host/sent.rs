//! R24: a *sent* SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGTRAP is no exception (G1.1), and is not swallowed either.

use crate::faults::{KINDS, Kind};
use crate::support::{dies, install, succeeds, test_name};
use port_server::{Fault, Server};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

const SIGNALS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// A way to send a signal, and the `si_code` that it arrives with.
#[derive(Clone, Copy, Debug)]
enum Sender {
    Process,
    Thread,
    Queue,
}

impl Sender {
    fn send(self, signal: i32) -> i32 {
        // SAFETY: sending signals to oneself; the test says what they do.
        unsafe {
            let process = libc::getpid();
            match self {
                Self::Process => {
                    libc::kill(process, signal);
                    libc::SI_USER
                }
                Self::Thread => {
                    libc::syscall(libc::SYS_tgkill, process, libc::gettid(), signal);
                    libc::SI_TKILL
                }
                Self::Queue => {
                    let value = libc::sigval {
                        sival_ptr: core::ptr::null_mut(),
                    };
                    libc::sigqueue(process, signal, value);
                    libc::SI_QUEUE
                }
            }
        }
    }
}

const SENDERS: [Sender; 3] = [Sender::Process, Sender::Thread, Sender::Queue];

/// Returns a server on the task that skips what it can.
fn server() -> Server<Vec<Fault>> {
    let server = Server::start(Vec::new(), |seen: &mut Vec<Fault>, fault, state| {
        seen.push(fault);
        crate::faults::skip(fault.exception, state);
        true
    });
    server.route_task();
    server
}

/// Asserts that real faults before and after it are served, and the sent signal is not among them.
fn assert_still_armed(server: Server<Vec<Fault>>, faults: usize) {
    Kind::Access.raise();
    let seen = server.stop();
    assert_eq!(seen.len(), faults + 1, "{seen:?}");
    assert!(seen.iter().all(|fault| fault.exception == 1));
}

#[test]
fn r24_by_default_a_sent_signal_kills() {
    let name = test_name!(r24_by_default_a_sent_signal_kills);
    for signal in SIGNALS {
        for sender in SENDERS {
            dies(name, &format!("{signal} {sender:?}"), signal, || {
                install(signal, libc::SIG_DFL as *const (), 0, &[]);
                let _server = server();
                // A real one before: the hardware's words are stale from now on (G1.3).
                Kind::Access.raise();
                sender.send(signal);
                // One sent to the process may be another thread's.
                std::thread::sleep(std::time::Duration::from_secs(5));
                std::process::exit(1);
            });
        }
    }
}

#[test]
fn r24_a_sent_signal_that_was_ignored_is_dropped() {
    let name = test_name!(r24_a_sent_signal_that_was_ignored_is_dropped);
    succeeds(name, "", || {
        for signal in SIGNALS {
            install(signal, libc::SIG_IGN as *const (), 0, &[]);
        }
        let server = server();
        Kind::Access.raise();
        for signal in SIGNALS {
            for sender in SENDERS {
                sender.send(signal);
                // One at a time: several that are pending at once need an alternate stack with room for all their frames.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        assert_still_armed(server, 1);
    });
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static SENDER: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(_: i32, info: *const libc::siginfo_t, _: *mut libc::ucontext_t) {
    // SAFETY: the kernel's siginfo of a sent signal.
    unsafe {
        CODE.store((*info).si_code, Ordering::Relaxed);
        SENDER.store((*info).si_pid(), Ordering::Relaxed);
    }
    CALLS.fetch_add(1, Ordering::Release);
}

#[test]
fn r24_a_handler_of_before_gets_a_sent_signal_once() {
    let name = test_name!(r24_a_handler_of_before_gets_a_sent_signal_once);
    succeeds(name, "", || {
        for signal in SIGNALS {
            install(signal, note as *const (), libc::SA_SIGINFO, &[]);
        }
        let server = server();
        let mut faults = 0;
        for _ in KINDS {
            Kind::Access.raise();
            faults += 1;
            for signal in SIGNALS {
                for sender in SENDERS {
                    let before = CALLS.load(Ordering::Acquire);
                    let code = sender.send(signal);
                    while CALLS.load(Ordering::Acquire) == before {
                        std::thread::yield_now();
                    }
                    assert_eq!(CALLS.load(Ordering::Acquire), before + 1);
                    assert_eq!(CODE.load(Ordering::Relaxed), code, "{signal} {sender:?}");
                    assert_eq!(SENDER.load(Ordering::Relaxed), std::process::id() as i32);
                }
            }
        }
        assert_still_armed(server, faults);
    });
}
