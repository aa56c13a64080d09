//! Groups of kernel calls: the calls do what they do outside a group, and the thread's signal mask is afterwards what it was.

use crate::registers::{self, assert_kept};
use crate::support::{is_blocked, isolated, on_raw_thread};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system, system::group_calls};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight, user_references};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use test_support::wait::wait_for;

const FIVE: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];
const OTHERS: [i32; 3] = [libc::SIGUSR1, libc::SIGTERM, libc::SIGALRM];

fn block(signals: &[i32]) {
    // SAFETY: the set is a local variable.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, core::ptr::null_mut());
    }
}

fn make_calls() {
    let port = ReceiveRight::new().expect("a port");
    let send = port.make_send().expect("a send right");
    let references = user_references(send.name(), mach_sys::port::PortRight::SEND);
    assert_eq!(references, Ok(1));
    // A copy of memory that cannot be read is an error, whatever is blocked.
    let (mut byte, mut read) = (0_u8, 0);
    // SAFETY: the kernel probes the source; the results go to local variables.
    let code = unsafe {
        let to = core::ptr::from_mut(&mut byte) as u64;
        kernel::mach_vm_read_overwrite(system::task_self(), 8, 1, to, &mut read)
    };
    assert_eq!(KernReturn::new(code), KernReturn::INVALID_ADDRESS);
}

isolated! {
    fn a_group_blocks_the_asynchronous_signals_and_gives_them_back() {
        mach_sys::emulated::start().expect("started");
        // On a thread that has made no kernel call, and on one that has.
        for registered in [false, true] {
            for before in [&[][..], &[libc::SIGUSR1], &OTHERS] {
                on_raw_thread(move || {
                    if registered {
                        make_calls();
                    }
                    block(before);
                    for _ in 0..3 {
                        let group = group_calls();
                        assert!(OTHERS.iter().all(|signal| is_blocked(*signal)));
                        assert!(!FIVE.iter().any(|signal| is_blocked(*signal)));
                        make_calls();
                        let inner = group_calls();
                        make_calls();
                        drop(inner);
                        assert!(OTHERS.iter().all(|signal| is_blocked(*signal)), "the outer group");
                        make_calls();
                        drop(group);
                        for signal in OTHERS {
                            assert_eq!(is_blocked(signal), before.contains(&signal), "{signal}");
                        }
                        assert!(!FIVE.iter().any(|signal| is_blocked(*signal)));
                        make_calls();
                    }
                });
            }
        }
    }
}

/// A step between [`group_calls`] and the end of all.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    End,
    Enter,
    Restore,
    Ready,
    Undo,
}

/// Steps, after each of them if the thread has the asynchronous signals blocked, and if SIGBUS, which it has blocked at first.
const ORDERS: [&[(Step, bool, bool)]; 8] = {
    use Step::{Begin, End, Enter, Ready, Restore, Undo};
    [
        // It goes on as a server's thread, and afterwards as before the group.
        &[
            (Ready, false, false),
            (Begin, true, false),
            (Enter, true, false),
            (End, true, false),
            (Restore, false, false),
            (Undo, false, true),
        ],
        &[
            (Ready, false, false),
            (Begin, true, false),
            (Enter, true, false),
            (Restore, false, false),
            (End, false, false),
            (Undo, false, true),
        ],
        // A group on a server's thread is none.
        &[
            (Ready, false, false),
            (Enter, true, false),
            (Begin, true, false),
            (Restore, false, false),
            (End, false, false),
            (Undo, false, true),
        ],
        // The next group is another one, which the first one's end leaves alone.
        &[
            (Ready, false, false),
            (Begin, true, false),
            (Enter, true, false),
            (Restore, false, false),
            (Begin, true, false),
            (End, true, false),
            (End, false, false),
            (Undo, false, true),
        ],
        &[
            (Ready, false, false),
            (Begin, true, false),
            (Undo, false, true),
            (End, false, true),
        ],
        // A second restoration ends a group, too.
        &[
            (Ready, false, false),
            (Enter, true, false),
            (Restore, false, false),
            (Begin, true, false),
            (Restore, false, false),
            (End, false, false),
            (Undo, false, true),
        ],
        // A server's thread never has the five blocked.
        &[
            (Ready, false, false),
            (Enter, true, false),
            (Undo, true, false),
            (Restore, false, false),
        ],
        &[
            (Begin, false, true),
            (Ready, false, false),
            (End, false, false),
            (Undo, false, true),
        ],
    ]
};

isolated! {
    /// Anything else that changes the mask ends the group, in any order: the thread never makes calls with signals unblocked that it takes for
    /// blocked, and has its own mask at the end.
    fn a_group_and_what_else_changes_the_mask_end_in_any_order() {
        mach_sys::emulated::start().expect("started");
        for (number, order) in ORDERS.into_iter().enumerate() {
            on_raw_thread(move || {
                make_calls();
                block(&[libc::SIGBUS, libc::SIGALRM]);
                // The first in, the first out.
                let mut groups = std::collections::VecDeque::new();
                let (mut outer, mut ready) = (None, None);
                for (step, all, bus) in order {
                    match step {
                        Step::Begin => groups.push_back(group_calls()),
                        Step::End => drop(groups.pop_front()),
                        Step::Enter => outer = Some(system::enter_server_thread()),
                        Step::Restore => outer.expect("entered").restore(),
                        Step::Ready => ready = Some(system::prepare_for_faults()),
                        Step::Undo => ready.take().expect("prepared").undo(),
                    }
                    for (signal, expected) in [
                        (libc::SIGUSR1, *all),
                        (libc::SIGALRM, true),
                        (libc::SIGBUS, *bus),
                        (libc::SIGSEGV, false),
                    ] {
                        assert_eq!(is_blocked(signal), expected, "{number}, {step:?}: {signal}");
                    }
                    make_calls();
                }
            });
        }
    }
}

isolated! {
    /// Each call takes care of the blocked one, as outside a group.
    fn a_thread_that_blocks_one_of_the_five_signals_has_no_group() {
        mach_sys::emulated::start().expect("started");
        for signal in FIVE {
            on_raw_thread(move || {
                // The first call unblocks them.
                make_calls();
                block(&[signal]);
                let group = group_calls();
                make_calls();
                assert!(!OTHERS.iter().any(|signal| is_blocked(*signal)));
                drop(group);
                for one in FIVE {
                    assert_eq!(is_blocked(one), one == signal, "{one}");
                }
                assert!(!OTHERS.iter().any(|signal| is_blocked(*signal)));
            });
        }
    }
}

isolated! {
    fn a_fault_in_a_group_is_served() {
        let server = Arc::new(registers::server());
        let route = Arc::clone(&server);
        on_raw_thread(move || {
            let group = group_calls();
            route.route_thread();
            assert_kept(5);
            assert!(OTHERS.iter().all(|signal| is_blocked(*signal)));
            drop(group);
            assert_kept(5);
        });
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 10);
    }
}

static ARRIVED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
}

isolated! {
    fn a_signal_that_is_sent_in_a_group_arrives_after_it() {
        crate::support::install(libc::SIGUSR1, count as *const (), 0, &[]);
        mach_sys::emulated::start().expect("started");
        on_raw_thread(|| {
            let group = group_calls();
            // SAFETY: the signal has a handler.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
            make_calls();
            assert_eq!(ARRIVED.load(Ordering::Relaxed), 0);
            drop(group);
            assert_eq!(ARRIVED.load(Ordering::Relaxed), 1);
        });
    }
}

isolated! {
    fn a_thread_in_a_group_is_suspended_and_goes_on() {
        static ROUNDS: AtomicUsize = AtomicUsize::new(0);
        static STOP: AtomicBool = AtomicBool::new(false);
        mach_sys::emulated::start().expect("started");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                tell.send(ThreadRight::current().expect("its port")).expect("heard");
                let _group = group_calls();
                while !STOP.load(Ordering::Relaxed) {
                    make_calls();
                    ROUNDS.fetch_add(1, Ordering::Relaxed);
                }
            });
            let thread = told.recv().expect("its port");
            for _ in 0..200 {
                let before = ROUNDS.load(Ordering::Relaxed);
                wait_for("a round", || ROUNDS.load(Ordering::Relaxed) != before);
                // SAFETY: the thread holds nothing that this one needs.
                assert_eq!(unsafe { kernel::thread_suspend(thread.name().raw()) }, 0);
                let stopped = ROUNDS.load(Ordering::Relaxed);
                std::thread::yield_now();
                assert_eq!(ROUNDS.load(Ordering::Relaxed), stopped);
                // SAFETY: as above.
                assert_eq!(unsafe { kernel::thread_resume(thread.name().raw()) }, 0);
            }
            STOP.store(true, Ordering::Relaxed);
        });
    }
}

isolated! {
    fn g4_3_the_child_of_a_fork_in_a_group_has_no_kernel() {
        mach_sys::emulated::start().expect("started");
        on_raw_thread(|| {
            let group = group_calls();
            make_calls();
            // SAFETY: the child makes one call, and ends.
            let status = unsafe {
                match libc::fork() {
                    0 => libc::_exit(if ReceiveRight::new().is_err() { 42 } else { 1 }),
                    process => {
                        let mut status = 0;
                        assert_eq!(libc::waitpid(process, &mut status, 0), process);
                        status
                    }
                }
            };
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 42, "{status:#x}");
            make_calls();
            drop(group);
            make_calls();
        });
    }
}
