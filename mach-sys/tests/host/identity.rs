//! A thread's identity is an epoch and the system's identifier: a thread that gets a dead one's identifier is another thread.

use crate::context;
use crate::faults::Kind;
use crate::support::{OwnStack, RawThread, install, succeeds_in_own_namespace, test_name};
use mach_sys::kernel::system;
use mach_sys::rights::{Right, ThreadRight};
use port_server::Server;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

static UNIX: AtomicUsize = AtomicUsize::new(0);

extern "C" fn previous(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    UNIX.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, Kind::Undefined.skip()) };
}

fn tid() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() as u32 }
}

/// Gives this identifier to the next thread or process of the namespace.
fn choose_next(tid: u32) {
    std::fs::write("/proc/sys/kernel/ns_last_pid", (tid - 1).to_string()).expect("root");
}

/// Waits until the system has no such thread any more.
fn wait_until_gone(tid: u32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    // SAFETY: signal 0 is only a question.
    while unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, 0) } == 0 {
        assert!(Instant::now() < deadline);
        std::hint::spin_loop();
    }
}

/// Runs `body` on a new thread under an identifier that is free.
fn under_identifier(wanted: u32, body: impl FnOnce() + Send + 'static) {
    under_identifier_with_stack(8 << 20, wanted, body);
}

/// Does the same with `size` bytes of stack.
fn under_identifier_with_stack(size: usize, wanted: u32, body: impl FnOnce() + Send + 'static) {
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let deadline = Instant::now() + Duration::from_secs(20);
    // The system may give the identifier out a moment after it has forgotten the thread.
    while Instant::now() < deadline {
        choose_next(wanted);
        let body = Arc::clone(&body);
        let (tell, told) = channel();
        RawThread::spawn_with_stack(size, move || {
            let reused = tid() == wanted;
            if reused {
                (body.lock().expect("one thread").take().expect("once"))();
            }
            tell.send(reused).expect("heard");
        })
        .join();
        if told.recv().expect("an outcome") {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the identifier {wanted} did not come back");
}

/// The first act of a thread. All of them have their server at the thread's level, if they can have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// By kernel calls.
    Registered,
    /// By a fault, on the interrupted stack.
    ByFault,
    /// By a fault, on an alternate stack of its own.
    ByFaultOnOwnStack,
}

const KNOWN: [Known; 3] = [Known::Registered, Known::ByFault, Known::ByFaultOnOwnStack];

/// Ends a known thread, then starts another one under its identifier, before or after the watching thread looked.
fn reuse(dead: Known, new: Known, after: Duration) {
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    install(libc::SIGILL, previous as *const (), flags, &[]);
    let server = Arc::new(Server::start(0_usize, |served, fault, state| {
        crate::faults::skip(fault.exception, state);
        *served += 1;
        true
    }));
    mach_sys::emulated::start().expect("started");
    let (tell, told) = channel();
    let route = Arc::clone(&server);
    RawThread::spawn(move || {
        let _own = (dead == Known::ByFaultOnOwnStack).then(|| OwnStack::register(0));
        let right = (dead == Known::Registered).then(|| {
            route.route_thread();
            (
                system::thread_id(),
                ThreadRight::current().expect("the own thread"),
            )
        });
        Kind::Undefined.raise();
        tell.send((tid(), right)).expect("heard");
    })
    .join();
    let (dead_tid, right) = told.recv().expect("a thread");
    let at_fallback = usize::from(dead != Known::Registered);
    assert_eq!(UNIX.load(Ordering::SeqCst), at_fallback);
    wait_until_gone(dead_tid);
    std::thread::sleep(after);
    let (tell, told) = channel();
    under_identifier(dead_tid, move || {
        let _own = (new == Known::ByFaultOnOwnStack).then(|| OwnStack::register(0));
        let right = (new == Known::Registered).then(|| ThreadRight::current().expect("a place"));
        for _ in 0..3 {
            Kind::Undefined.raise();
        }
        // A thread that was known by a fault registers at last.
        let right = right.unwrap_or_else(|| ThreadRight::current().expect("a place"));
        tell.send((system::thread_id(), right.name().raw()))
            .expect("heard");
    });
    let (new_id, new_name) = told.recv().expect("a thread");
    // The dead one's handler was not asked.
    assert_eq!(UNIX.load(Ordering::SeqCst), at_fallback + 3);
    if let Some((dead_id, dead_right)) = right {
        assert_ne!(new_id, dead_id);
        assert_ne!(new_name, dead_right.name().raw());
        assert!(dead_right.is_dead());
    }
    let served = Arc::into_inner(server).expect("the last").stop();
    assert_eq!(served, 1 - at_fallback);
}

#[test]
fn a_thread_under_a_dead_ones_identifier_is_another_thread() {
    let name = test_name!(a_thread_under_a_dead_ones_identifier_is_another_thread);
    for dead in KNOWN {
        for new in KNOWN {
            for after in [Duration::ZERO, Duration::from_millis(40)] {
                let case = format!("{dead:?} {new:?} {after:?}");
                succeeds_in_own_namespace(name, &case, || reuse(dead, new, after));
            }
        }
    }
}

#[test]
fn a_dead_threads_word_on_a_stack_that_the_c_library_keeps_makes_no_other_thread_it() {
    let name = test_name!(
        a_dead_threads_word_on_a_stack_that_the_c_library_keeps_makes_no_other_thread_it
    );
    for case in ["1", "2", "3"] {
        succeeds_in_own_namespace(name, case, || {
            let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            install(libc::SIGILL, previous as *const (), flags, &[]);
            let server = Arc::new(Server::start(0_usize, |served, fault, state| {
                crate::faults::skip(fault.exception, state);
                *served += 1;
                true
            }));
            let (tell, told) = channel();
            let route = Arc::clone(&server);
            RawThread::spawn(move || {
                route.route_thread();
                Kind::Undefined.raise();
                tell.send((tid(), system::thread_id())).expect("heard");
                drop((tell, route));
                // No destructor announces its end: it is found out when the watching thread looks at all threads.
                // SAFETY: ends the calling thread, which owns nothing any more.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            })
            .join();
            let (dead, dead_id) = told.recv().expect("a thread");
            wait_until_gone(dead);
            // The system tells the starts of threads apart; no watching thread has looked yet.
            std::thread::sleep(Duration::from_millis(30));
            let (tell, told) = channel();
            under_identifier_with_stack(64 << 20, dead, move || {
                Kind::Undefined.raise();
                tell.send(system::thread_id()).expect("heard");
            });
            assert_eq!(
                UNIX.load(Ordering::SeqCst),
                1,
                "the dead one's handler was asked"
            );
            assert_ne!(told.recv().expect("a thread"), dead_id);
            assert_eq!(Arc::into_inner(server).expect("the last").stop(), 1);
        });
    }
}

/// Duration of the race of new threads with the watching one.
const RACE: Duration = Duration::from_secs(3);

/// New threads register under identifiers of threads that have just ended, while the watching thread frees those, and others look for a
/// slot whose key is at the same place.
#[test]
fn two_living_threads_never_share_a_slot() {
    let name = test_name!(two_living_threads_never_share_a_slot);
    succeeds_in_own_namespace(name, "", || {
        let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        install(libc::SIGILL, previous as *const (), flags, &[]);
        let mut config = mach_sys::emulated::Config::default();
        config.threads = 64;
        mach_sys::emulated::start_with(config).expect("started");
        let server = Arc::new(Server::start(0_usize, |served, fault, state| {
            crate::faults::skip(fault.exception, state);
            *served += 1;
            true
        }));
        let mut ids = HashSet::new();
        let (mut rounds, mut reused) = (0_usize, 0_usize);
        let start = Instant::now();
        while start.elapsed() < RACE {
            rounds += 1;
            choose_next(1000);
            let (tell, told) = channel();
            RawThread::spawn(move || {
                drop(ThreadRight::current().expect("a place"));
                tell.send((tid(), system::thread_id())).expect("heard");
            })
            .join();
            let (dead, dead_id) = told.recv().expect("a thread");
            assert!(ids.insert(dead_id), "{dead_id:#x} again");
            wait_until_gone(dead);
            choose_next(dead);
            let (tell, told) = channel();
            let (go, wait) = channel::<()>();
            let route = Arc::clone(&server);
            let new = RawThread::spawn(move || {
                route.route_thread();
                let name = ThreadRight::current().expect("a place").name().raw();
                tell.send((tid(), system::thread_id(), name))
                    .expect("heard");
                wait.recv().expect("told");
                Kind::Undefined.raise();
            });
            let (new_tid, new_id, new_name) = told.recv().expect("a thread");
            reused += usize::from(new_tid == dead);
            assert!(ids.insert(new_id), "{new_id:#x} again");
            std::thread::sleep(Duration::from_micros(rounds as u64 % 7 * 100));
            // Its key begins to look at the same place.
            choose_next(dead + 64);
            let (tell, told) = channel();
            RawThread::spawn(move || {
                let name = ThreadRight::current().expect("a place").name().raw();
                tell.send((system::thread_id(), name)).expect("heard");
            })
            .join();
            let (other_id, other_name) = told.recv().expect("a thread");
            assert!(ids.insert(other_id), "{other_id:#x} again");
            assert_ne!(other_name, new_name, "two living threads have one name");
            go.send(()).expect("it waits");
            new.join();
            assert_eq!(UNIX.load(Ordering::SeqCst), 0, "round {rounds}");
        }
        println!("{rounds} rounds, {reused} identifiers used again");
        assert!(reused > 0);
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), rounds);
    });
}
