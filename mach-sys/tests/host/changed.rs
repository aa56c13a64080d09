//! Another component installs the emulation's own handler again, with other flags or another mask: the handler is still known, the change
//! is reported and undone, and faults are served meanwhile (R2, `held_r2`).

use crate::context;
use crate::faults::{KINDS, Kind};
use crate::registers::assert_kept;
use crate::support::{OwnStack, install, isolated, on_raw_thread, succeeds, test_name};
use mach_sys::emulated::{self, Config, WhenDisplaced};
use mach_sys::kernel::system;
use mach_sys::rights::ThreadRight;
use port_server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A change that other code makes to the handler of a signal.
type Change = fn(i32);

fn edit(signal: i32, change: impl FnOnce(&mut libc::sigaction)) {
    // SAFETY: both actions are local variables; the handler is the one that was installed.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        assert_eq!(libc::sigaction(signal, core::ptr::null(), &mut action), 0);
        change(&mut action);
        assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
    }
}

const CHANGES: [(&str, Change); 8] = [
    ("signal()", |signal| {
        // SAFETY: the handler is the one that was installed.
        unsafe {
            let old = libc::signal(signal, libc::SIG_IGN);
            libc::signal(signal, old);
        }
    }),
    ("SA_SIGINFO", |signal| {
        edit(signal, |action| action.sa_flags &= !libc::SA_SIGINFO)
    }),
    ("SA_ONSTACK", |signal| {
        edit(signal, |action| action.sa_flags &= !libc::SA_ONSTACK)
    }),
    ("SA_NODEFER", |signal| {
        edit(signal, |action| action.sa_flags ^= libc::SA_NODEFER)
    }),
    ("SA_RESTART", |signal| {
        edit(signal, |action| action.sa_flags |= libc::SA_RESTART)
    }),
    ("SA_RESETHAND", |signal| {
        edit(signal, |action| action.sa_flags |= libc::SA_RESETHAND)
    }),
    ("sa_mask", |signal| {
        edit(signal, |action| {
            // SAFETY: the set is a local variable.
            unsafe { libc::sigemptyset(&mut action.sa_mask) };
        });
    }),
    ("all", |signal| {
        edit(signal, |action| {
            action.sa_flags = 0;
            // SAFETY: as above.
            unsafe { libc::sigemptyset(&mut action.sa_mask) };
        });
    }),
];

/// Changes that the first fault after them shows on a thread with an alternate stack, whatever lies where there is no siginfo.
const SHOWN: [&str; 3] = ["signal()", "SA_ONSTACK", "all"];

/// Flags and mask of each handler, as far as they are the emulation's choice.
fn installed() -> Vec<(i32, u64)> {
    let look = |kind: &Kind| {
        // SAFETY: the action is a local variable, whose set begins with the kernel's.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            libc::sigaction(kind.signal(), core::ptr::null(), &mut action);
            let mask = core::ptr::from_ref(&action.sa_mask).cast::<u64>().read();
            (action.sa_flags, mask)
        }
    };
    KINDS.iter().map(look).collect()
}

static BELOW: AtomicUsize = AtomicUsize::new(0);
static BAD_INFO: AtomicUsize = AtomicUsize::new(0);
static WILLING: AtomicBool = AtomicBool::new(true);

/// Skips the instruction: the handler installed before the emulation.
extern "C" fn below(signal: i32, info: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    BELOW.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel's siginfo and context.
    unsafe {
        let (number, code) = ((*info).si_signo, (*info).si_code);
        BAD_INFO.fetch_add(usize::from(number != signal || code <= 0), Ordering::SeqCst);
        let kind = KINDS.iter().find(|kind| kind.signal() == signal);
        context::add_to_pc(uc, kind.expect("a kind").skip());
    }
}

/// Returns a server on the task that answers every fault while it is willing, with the emulation in place and a handler below it.
fn server(policy: WhenDisplaced) -> Server<usize> {
    for kind in KINDS {
        let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        install(kind.signal(), below as *const (), flags, &[]);
    }
    let mut config = Config::default();
    config.displaced = policy;
    emulated::start_with(config).expect("started");
    let server = Server::start(0, |served: &mut usize, fault, state| {
        let willing = WILLING.load(Ordering::SeqCst);
        if willing {
            *served += usize::from(READY.load(Ordering::SeqCst));
            crate::faults::skip(fault.exception, state);
        }
        willing
    });
    server.route_task();
    // The server's thread is known from here on: the emulation looks at its handlers when a thread becomes known.
    on_raw_thread(|| Kind::Undefined.raise());
    READY.store(true, Ordering::SeqCst);
    server
}

static READY: AtomicBool = AtomicBool::new(false);

/// Raises every kind of fault, handled and declined.
fn fault_each_way() {
    for kind in KINDS {
        for willing in [true, false] {
            let before = BELOW.load(Ordering::SeqCst);
            WILLING.store(willing, Ordering::SeqCst);
            kind.raise();
            let below = BELOW.load(Ordering::SeqCst) - before;
            assert_eq!(below, usize::from(!willing), "{kind:?}, willing: {willing}");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    Unknown,
    Known,
    OwnStack,
}

const POLICIES: [WhenDisplaced; 2] = [WhenDisplaced::Leave, WhenDisplaced::TakeBack];

#[test]
fn r2_changed_flags_and_masks_are_put_right_when_a_thread_becomes_known() {
    let name = test_name!(r2_changed_flags_and_masks_are_put_right_when_a_thread_becomes_known);
    for (what, change) in CHANGES {
        for policy in POLICIES {
            succeeds(name, &format!("{what} {policy:?}"), move || {
                let server = server(policy);
                let before = installed();
                KINDS.iter().for_each(|kind| change(kind.signal()));
                let reported = emulated::displaced_signals().count();
                assert_eq!(reported, KINDS.len(), "{what} is reported");
                on_raw_thread(|| drop(ThreadRight::current().expect("the own thread")));
                assert_eq!(installed(), before);
                assert_eq!(emulated::displaced_signals().count(), 0);
                assert_eq!(emulated::changed_handlers() as usize, KINDS.len());
                for kind in [Thread::Unknown, Thread::Known, Thread::OwnStack] {
                    on_raw_thread(move || {
                        let _own = (kind == Thread::OwnStack).then(|| OwnStack::register(0));
                        if kind != Thread::Unknown {
                            drop(ThreadRight::current().expect("the own thread"));
                        }
                        fault_each_way();
                    });
                }
                assert_eq!(server.stop(), 3 * KINDS.len());
                assert_eq!(BAD_INFO.load(Ordering::SeqCst), 0);
            });
        }
    }
}

#[test]
fn r2_faults_are_served_while_flags_are_changed_and_put_them_right() {
    let name = test_name!(r2_faults_are_served_while_flags_are_changed_and_put_them_right);
    for (what, change) in CHANGES {
        for policy in POLICIES {
            for kind in [Thread::Known, Thread::OwnStack] {
                succeeds(name, &format!("{what} {policy:?} {kind:?}"), move || {
                    let server = server(policy);
                    let before = installed();
                    on_raw_thread(move || {
                        let _own = (kind == Thread::OwnStack).then(|| OwnStack::register(0));
                        drop(ThreadRight::current().expect("the own thread"));
                        for fault in KINDS {
                            if what == "SA_RESETHAND" {
                                // It shows once the signal has the default action.
                                continue;
                            }
                            for willing in [true, false] {
                                change(fault.signal());
                                let before = BELOW.load(Ordering::SeqCst);
                                WILLING.store(willing, Ordering::SeqCst);
                                fault.raise();
                                let below = BELOW.load(Ordering::SeqCst) - before;
                                assert_eq!(below, usize::from(!willing), "{fault:?} {willing}");
                            }
                        }
                        if SHOWN.contains(&what) {
                            assert_eq!(installed(), before);
                            assert_eq!(emulated::displaced_signals().count(), 0);
                        }
                        fault_each_way();
                    });
                    let rounds = if what == "SA_RESETHAND" { 1 } else { 2 };
                    assert_eq!(server.stop(), rounds * KINDS.len());
                    assert_eq!(BAD_INFO.load(Ordering::SeqCst), 0);
                });
            }
        }
    }
}

static DURING: AtomicUsize = AtomicUsize::new(0);
static AFTER: AtomicUsize = AtomicUsize::new(0);
static ANSWERED: AtomicBool = AtomicBool::new(false);

extern "C" fn other(_: i32) {
    match ANSWERED.load(Ordering::SeqCst) {
        true => AFTER.fetch_add(1, Ordering::SeqCst),
        false => DURING.fetch_add(1, Ordering::SeqCst),
    };
}

isolated! {
    /// The first signal that arrives in a fault handler's wait shows that the mask is gone. It is restored for every fault after that one.
    fn r2_no_handler_runs_between_a_fault_and_its_answer_once_a_wait_showed_that_the_mask_is_gone() {
        install(libc::SIGUSR1, other as *const (), 0, &[]);
        let (tell, victim) = std::sync::mpsc::channel();
        let server = Server::start(0, move |served: &mut usize, fault, state| {
            if *served == 0 {
                // Only now, so that no thread becomes known meanwhile.
                CHANGES.iter().filter(|(what, _)| *what == "sa_mask").for_each(|(_, change)| {
                    KINDS.iter().for_each(|kind| change(kind.signal()));
                });
            } else {
                let victim: libc::pthread_t = victim.recv().expect("a thread");
                // It has gone to sleep: only a wait that is interrupted shows that the mask is gone.
                std::thread::sleep(std::time::Duration::from_millis(50));
                // SAFETY: the thread waits for the answer to its fault.
                unsafe { libc::pthread_kill(victim, libc::SIGUSR1) };
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            *served += 1;
            crate::faults::skip(fault.exception, state);
            ANSWERED.store(true, Ordering::SeqCst);
            true
        });
        server.route_task();
        let before = installed();
        on_raw_thread(move || {
            drop(ThreadRight::current().expect("the own thread"));
            for _ in 0..6 {
                ANSWERED.store(false, Ordering::SeqCst);
                // SAFETY: no arguments.
                tell.send(unsafe { libc::pthread_self() }).expect("heard");
                Kind::Undefined.raise();
            }
        });
        assert_eq!(DURING.load(Ordering::SeqCst), 1, "the one that showed it");
        assert_eq!(AFTER.load(Ordering::SeqCst), 4);
        assert_eq!(installed(), before);
        assert_eq!(server.stop(), 6);
    }
}

isolated! {
    /// A probed copy without a siginfo is a probed copy.
    fn r2_probed_copies_answer_without_a_siginfo() {
        let server = server(WhenDisplaced::Leave);
        on_raw_thread(|| {
            drop(ThreadRight::current().expect("the own thread"));
            for _ in 0..3 {
                (CHANGES[0].1)(libc::SIGSEGV);
                let (mut local, mut copied) = ([0_u8; 8], 0);
                let to = local.as_mut_ptr() as u64;
                // SAFETY: both addresses are probed.
                let outcome = unsafe {
                    mach_sys::kernel::mach_vm_read_overwrite(system::task_self(), 8, 8, to, &mut copied)
                };
                assert_eq!(outcome, 1);
                WILLING.store(true, Ordering::SeqCst);
                Kind::Access.raise();
            }
        });
        assert_eq!(server.stop(), 3);
    }
}

isolated! {
    /// All registers are exact also in the faults that find the flags changed.
    fn r2_registers_are_kept_while_flags_are_changed() {
        let server = Arc::new(crate::registers::server());
        let route = Arc::clone(&server);
        on_raw_thread(move || {
            route.route_thread();
            let own = OwnStack::register(0);
            for (what, change) in CHANGES {
                if what != "SA_RESETHAND" {
                    change(libc::SIGILL);
                }
                assert_kept(3);
                own.assert_registered();
            }
        });
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 3 * CHANGES.len());
    }
}
