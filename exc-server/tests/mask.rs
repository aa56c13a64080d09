//! Signal masks: the server's own code runs with all signals blocked but the five, the handler with the mask of the server's starter.
#![allow(unsafe_code)]

mod support;

use exc_server::{Answered, Delivery, Exception, Handler, Routing, Server};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use support::{UNDEFINED, faults_on_a_thread, isolated, skip};
use test_support::flag::SetWhenDropped;
use test_support::wait::wait_for;

const ROUTING: Routing = Routing::new(UNDEFINED, Delivery::THREAD);

/// Returns the signals below 32 that the calling thread has blocked.
fn blocked() -> Vec<i32> {
    // SAFETY: zeroes are a valid set, and it is filled before it is read.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &mut set);
        (1..32)
            .filter(|signal| libc::sigismember(&set, *signal) == 1)
            .collect()
    }
}

fn block(signal: i32) {
    // SAFETY: zeroes are a valid set; the calling thread's own mask is changed.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, core::ptr::null_mut());
    }
}

/// Returns the signal mask of a program in a child process.
fn blocked_in_a_process() -> u64 {
    let output = std::process::Command::new("cat")
        .arg("/proc/self/status")
        .output()
        .expect("a process");
    assert_eq!(output.status.signal(), None);
    let text = String::from_utf8(output.stdout).expect("text");
    let mask = text.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("a number")
}

/// A handler that records its signal mask, and that of a thread it starts, when it is called and when it is dropped.
struct Noting {
    masks: mpsc::Sender<Vec<i32>>,
    panics: AtomicBool,
}

struct Payload(mpsc::Sender<Vec<i32>>);

impl Drop for Payload {
    fn drop(&mut self) {
        note(&self.0);
    }
}

/// Sends the mask of this thread, and that of a thread that it starts.
fn note(masks: &mpsc::Sender<Vec<i32>>) {
    masks.send(blocked()).expect("the test listens");
    let inherited = std::thread::spawn(blocked).join();
    masks
        .send(inherited.expect("a mask"))
        .expect("the test listens");
}

impl Handler for Noting {
    fn handle(&self, exception: Exception<'_>) -> Answered {
        note(&self.masks);
        let answered = skip(exception);
        note(&self.masks);
        if self.panics.swap(false, Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new(Payload(self.masks.clone())));
        }
        answered
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        note(&self.masks);
    }
}

#[test]
fn user_code_of_a_server_has_the_mask_of_its_starter() {
    isolated("user_code_of_a_server_has_the_mask_of_its_starter", || {
        let mut expected = blocked();
        expected.push(libc::SIGUSR1);
        expected.sort_unstable();
        block(libc::SIGUSR1);
        let (send, receive) = mpsc::channel();
        let server = Server::start_handler(Noting {
            masks: send,
            panics: AtomicBool::new(true),
        })
        .expect("a server");
        // Neither the faulting thread's mask nor the closing one's.
        block(libc::SIGUSR2);
        faults_on_a_thread(&server, &ROUTING, 2);
        assert_eq!(server.shutdown().panicked, 1);
        let masks: Vec<_> = receive.iter().collect();
        // Before and after each answer, in the payload's destructor, and in the handler's.
        assert_eq!(masks.len(), 2 * (2 + 2 + 1 + 1));
        assert!(masks.iter().all(|mask| *mask == expected), "{masks:?}");
    });
}

#[test]
fn a_starter_that_blocks_the_five_does_not_block_them_in_the_handler() {
    isolated(
        "a_starter_that_blocks_the_five_does_not_block_them_in_the_handler",
        || {
            let five = [
                libc::SIGSEGV,
                libc::SIGBUS,
                libc::SIGILL,
                libc::SIGFPE,
                libc::SIGTRAP,
            ];
            // The first kernel call is made before they are blocked.
            drop(Server::start(skip));
            let start = move || {
                for signal in five {
                    block(signal);
                }
                let masks = Arc::new(Mutex::new(Vec::new()));
                let noted = Arc::clone(&masks);
                let server = Server::start(move |exception: Exception<'_>| {
                    noted.lock().expect("not poisoned").push(blocked());
                    skip(exception)
                });
                (server.expect("a server"), masks)
            };
            let (server, masks) = std::thread::spawn(start).join().expect("a server");
            faults_on_a_thread(&server, &ROUTING, 1);
            let masks = masks.lock().expect("not poisoned");
            assert!(!masks[0].iter().any(|signal| five.contains(signal)));
        },
    );
}

#[test]
fn a_process_that_a_handler_starts_has_no_more_signals_blocked_than_others() {
    const NAME: &str = "a_process_that_a_handler_starts_has_no_more_signals_blocked_than_others";
    if !std::path::Path::new("/proc/self/status").exists() {
        return support::isolated::report_skipped(NAME, "no /proc");
    }
    isolated(NAME, || {
        let expected = blocked_in_a_process();
        let (send, receive) = mpsc::channel();
        let server = Server::start(move |exception: Exception<'_>| {
            send.send(blocked_in_a_process()).expect("the test listens");
            skip(exception)
        })
        .expect("a server");
        faults_on_a_thread(&server, &ROUTING, 1);
        assert_eq!(receive.recv(), Ok(expected));
    });
}

/// A handler that runs with the server's own mask.
struct Quiet(mpsc::Sender<Vec<i32>>);

impl Handler for Quiet {
    fn handle(&self, exception: Exception<'_>) -> Answered {
        self.0.send(blocked()).expect("the test listens");
        skip(exception)
    }

    fn starts_nothing(&self) -> bool {
        true
    }
}

#[test]
fn a_handler_that_starts_nothing_keeps_the_servers_mask() {
    let (send, receive) = mpsc::channel();
    let server = Server::start_handler(Quiet(send)).expect("a server");
    faults_on_a_thread(&server, &ROUTING, 1);
    let mask = receive.recv().expect("a mask");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGALRM] {
        assert!(mask.contains(&signal), "{mask:?}");
    }
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGTRAP] {
        assert!(!mask.contains(&signal), "{mask:?}");
    }
}

static ARRIVED: AtomicU32 = AtomicU32::new(0);

extern "C" fn arrived(_: i32) {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_signal_during_a_handlers_kernel_calls_disturbs_nothing() {
    isolated(
        "a_signal_during_a_handlers_kernel_calls_disturbs_nothing",
        || {
            // SAFETY: the handler only counts.
            unsafe { libc::signal(libc::SIGUSR1, arrived as *const () as usize) };
            let (send, receive) = mpsc::channel();
            let server = Server::start(move |exception: Exception<'_>| {
                // SAFETY: no preconditions.
                let _ = send.send(unsafe { libc::pthread_self() } as usize);
                skip(exception)
            })
            .expect("a server");
            faults_on_a_thread(&server, &ROUTING, 1);
            let thread = receive.recv().expect("the server's thread");
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let _ending = SetWhenDropped(&stop);
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        // SAFETY: the server's thread lives.
                        unsafe { libc::pthread_kill(thread as libc::pthread_t, libc::SIGUSR1) };
                        std::thread::sleep(Duration::from_micros(20));
                    }
                });
                faults_on_a_thread(&server, &ROUTING, 2000);
                // Signals that arrive between requests are pending until the next call of the handler.
                wait_for("a signal arrives in the handler", || {
                    faults_on_a_thread(&server, &ROUTING, 10);
                    ARRIVED.load(Ordering::Relaxed) > 0
                });
            });
            assert!(server.shutdown().resumed >= 2001);
        },
    );
}
