//! XNU raises a thread's own fault whatever the thread has blocked, and copies of bad memory in its kernel raise none. Libraries advise
//! to block all signals in workers, and signal handlers may run with a full mask: the emulation starts, takes threads in and copies
//! there, too (`firstcall`, `probe`, `probe2`).

use crate::context;
use crate::registers;
use crate::support::{OwnStack, install, is_blocked, on_raw_thread, succeeds, test_name};
use mach_sys::emulated;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_LARGE, MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_SEND_MSG};
use mach_sys::rights::{Census, ReceiveRight, Right, ThreadRight};
use std::sync::atomic::{AtomicUsize, Ordering};

const FIVE: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// Signals that a thread blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mask {
    Segv,
    Bus,
    Five,
    All,
}

const MASKS: [Mask; 4] = [Mask::Segv, Mask::Bus, Mask::Five, Mask::All];

impl Mask {
    fn set(self) -> libc::sigset_t {
        // SAFETY: the set is a local variable.
        unsafe {
            let mut set = core::mem::zeroed();
            libc::sigemptyset(&mut set);
            match self {
                Self::Segv => drop(libc::sigaddset(&mut set, libc::SIGSEGV)),
                Self::Bus => drop(libc::sigaddset(&mut set, libc::SIGBUS)),
                Self::Five => FIVE.iter().for_each(|signal| {
                    libc::sigaddset(&mut set, *signal);
                }),
                Self::All => drop(libc::sigfillset(&mut set)),
            }
            set
        }
    }

    /// Blocks that in the calling thread, and nothing else.
    fn block(self) {
        // SAFETY: the set is a local variable.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.set(), core::ptr::null_mut()) };
    }

    /// Asserts that the calling thread still has that blocked.
    fn assert_blocked(self, what: &str) {
        let set = self.set();
        for signal in FIVE.into_iter().chain([libc::SIGUSR1]) {
            // SAFETY: the set is a local variable.
            let expected = unsafe { libc::sigismember(&set, signal) } == 1;
            assert_eq!(
                is_blocked(signal),
                expected,
                "{self:?} after {what}: {signal}"
            );
        }
    }
}

/// First uses of the emulation, in a process and on a thread.
const FIRST_USES: [(&str, fn()); 7] = [
    ("census", || assert!(Census::take().is_ok())),
    ("thread", || {
        drop(ThreadRight::current().expect("the own thread"))
    }),
    ("port", || drop(ReceiveRight::new().expect("a port"))),
    ("start", || emulated::start().expect("started")),
    ("server", || assert_eq!(registers::server().stop(), 0)),
    ("ready", || drop(system::prepare_for_faults())),
    ("probe", || probe(&BadPlaces::new())),
];

#[test]
fn the_first_use_of_the_emulation_may_be_a_thread_that_blocks_the_signals() {
    let name = test_name!(the_first_use_of_the_emulation_may_be_a_thread_that_blocks_the_signals);
    for (what, first_use) in FIRST_USES {
        for mask in MASKS {
            succeeds(name, &format!("{what} {mask:?}"), || {
                on_raw_thread(move || {
                    mask.block();
                    first_use();
                    // Whatever is used next.
                    FIRST_USES.iter().for_each(|(_, next)| next());
                });
            });
        }
    }
}

/// Addresses that cannot be used, for one reason each.
struct BadPlaces {
    /// Address, and what a read of it answers.
    all: Vec<(usize, KernReturn)>,
}

impl BadPlaces {
    fn new() -> Self {
        let page = system::page_size();
        // SAFETY: new mappings, which nothing else knows of, and a file of this function's own.
        let (none, ended) = unsafe {
            let map = |protection, flags, file| {
                libc::mmap(core::ptr::null_mut(), page, protection, flags, file, 0)
            };
            let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let none = map(libc::PROT_NONE, anonymous, -1);
            let file = libc::memfd_create(c"ended".as_ptr(), 0);
            let ended = map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file);
            libc::close(file);
            (none, ended)
        };
        assert!(none != libc::MAP_FAILED && ended != libc::MAP_FAILED);
        Self {
            all: vec![
                (8, KernReturn::INVALID_ADDRESS),
                (none as usize, KernReturn::PROTECTION_FAILURE),
                // SIGBUS: the file ends before the page.
                (ended as usize, KernReturn::INVALID_ADDRESS),
            ],
        }
    }
}

const SEND_INVALID_DATA: i32 = 0x1000_0002;
const RCV_TOO_LARGE: i32 = 0x1000_4004;
const RCV_INVALID_DATA: i32 = 0x1000_4008;

fn message(address: usize, option: i32, sizes: [u32; 2], name: u32) -> i32 {
    let [send, receive] = sizes;
    let option = option | MACH_RCV_TIMEOUT;
    // SAFETY: the address is probed.
    unsafe { kernel::mach_msg(address as *mut _, option, send, receive, name, 0, 0) }
}

/// Makes each kernel call that copies, with each bad address. None of them may end the process, or go on as if nothing was.
fn probe(places: &BadPlaces) {
    let port = ReceiveRight::new().expect("a port");
    let send = port.make_send().expect("a send right");
    let queue = || {
        let mut words = [19, 24, send.name().raw(), 0, 0, 7_u32];
        let address = words.as_mut_ptr() as usize;
        assert_eq!(message(address, MACH_SEND_MSG, [24, 0], 0), 0);
    };
    let mut local = [0_u8; 8];
    let mine = local.as_mut_ptr() as u64;
    let task = system::task_self();
    for (address, expected) in &places.all {
        let mut copied = 0;
        // SAFETY: both addresses are probed, and the local ones are this function's.
        let outcomes = unsafe {
            [
                kernel::mach_vm_read_overwrite(task, *address as u64, 8, mine, &mut copied),
                kernel::mach_vm_read_overwrite(task, mine, 8, *address as u64, &mut copied),
                kernel::mach_vm_write(task, *address as u64, mine as usize, 8),
                kernel::mach_vm_write(task, mine, *address, 8),
            ]
        };
        assert_eq!(
            outcomes.map(KernReturn::new),
            [*expected; 4],
            "{address:#x}"
        );
        let sent = message(*address, MACH_SEND_MSG, [24, 0], 0);
        assert_eq!(sent, SEND_INVALID_DATA, "{address:#x}");
        queue();
        let received = message(*address, MACH_RCV_MSG, [0, 256], port.name().raw());
        assert_eq!(received, RCV_INVALID_DATA, "{address:#x}");
        queue();
        let option = MACH_RCV_MSG | MACH_RCV_LARGE;
        let large = message(*address, option, [0, 8], port.name().raw());
        assert_eq!(large, RCV_TOO_LARGE, "{address:#x}");
        let mut words = [0_u32; 64];
        let words = words.as_mut_ptr() as usize;
        assert_eq!(message(words, MACH_RCV_MSG, [0, 256], port.name().raw()), 0);
    }
}

#[test]
fn probed_copies_answer_on_a_known_thread_that_blocks_the_signals() {
    let name = test_name!(probed_copies_answer_on_a_known_thread_that_blocks_the_signals);
    for mask in MASKS {
        succeeds(name, &format!("{mask:?}"), || {
            on_raw_thread(move || {
                let places = BadPlaces::new();
                probe(&places);
                mask.block();
                for _ in 0..3 {
                    probe(&places);
                    mask.assert_blocked("probes");
                }
            });
        });
    }
}

static PROBED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn probing(_: i32) {
    probe(&BadPlaces::new());
    PROBED.fetch_add(1, Ordering::SeqCst);
}

/// The handler's thread is known, or it is not; it runs on an alternate stack, or it does not.
#[test]
fn probed_copies_answer_in_a_signal_handler_with_a_full_mask() {
    let name = test_name!(probed_copies_answer_in_a_signal_handler_with_a_full_mask);
    for known in [true, false] {
        for flags in [0, libc::SA_ONSTACK] {
            succeeds(name, &format!("{known} {flags:#x}"), || {
                emulated::start().expect("started");
                // All signals: `SIGRTMAX` is 64.
                let all: Vec<i32> = (1..=64).collect();
                install(libc::SIGUSR1, probing as *const (), flags, &all);
                on_raw_thread(move || {
                    let own = OwnStack::register(0);
                    if known {
                        drop(ThreadRight::current().expect("the own thread"));
                    }
                    // SAFETY: the signal has a handler.
                    unsafe { libc::raise(libc::SIGUSR1) };
                    assert_eq!(PROBED.load(Ordering::SeqCst), 1);
                    own.assert_registered();
                    assert!(!is_blocked(libc::SIGUSR1) && !is_blocked(libc::SIGSEGV));
                });
            });
        }
    }
}

static SENT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_: i32) {
    SENT.fetch_add(1, Ordering::SeqCst);
}

/// A signal that a thread has blocked, and that was sent to it, waits until the thread unblocks it: no copy lets it through.
#[test]
fn a_sent_signal_that_a_thread_blocks_does_not_arrive_during_a_copy() {
    let name = test_name!(a_sent_signal_that_a_thread_blocks_does_not_arrive_during_a_copy);
    succeeds(name, "", || {
        install(libc::SIGSEGV, note as *const (), 0, &[]);
        on_raw_thread(|| {
            let places = BadPlaces::new();
            probe(&places);
            Mask::Five.block();
            // SAFETY: the signal has a handler.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGSEGV) };
            probe(&places);
            assert_eq!(SENT.load(Ordering::SeqCst), 0);
            Mask::Five.assert_blocked("probes");
            // SAFETY: the set is a local variable.
            unsafe {
                let five = Mask::Five.set();
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &five, core::ptr::null_mut());
            }
            assert_eq!(SENT.load(Ordering::SeqCst), 1);
        });
    });
}

static UNDEFINED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn skip(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    UNDEFINED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, crate::faults::Kind::Undefined.skip()) };
}

/// The fault handler copies, too: a frame to where a handler without `SA_ONSTACK` expects it, onto a stack that is none here.
#[test]
fn the_fault_handlers_own_copies_answer_where_the_faulting_code_blocks_their_signals() {
    let name = test_name!(
        the_fault_handlers_own_copies_answer_where_the_faulting_code_blocks_their_signals
    );
    for mask in [Mask::Segv, Mask::Bus] {
        for known in [true, false] {
            succeeds(name, &format!("{mask:?} {known}"), || {
                install(libc::SIGILL, skip as *const (), libc::SA_SIGINFO, &[]);
                emulated::start().expect("started");
                on_raw_thread(move || {
                    let own = OwnStack::register(0);
                    if known {
                        drop(ThreadRight::current().expect("the own thread"));
                    }
                    mask.block();
                    context::undefined_with_bad_stack_pointer();
                    assert_eq!(UNDEFINED.load(Ordering::SeqCst), 1);
                    mask.assert_blocked("a fault");
                    own.assert_registered();
                });
            });
        }
    }
}

/// An act of code on a server's thread.
#[derive(Clone, Copy, Debug)]
enum Does {
    CopiesBadMemory,
    Faults,
}

/// Code on a server's thread: on the thread itself, or in `OuterMask::run`, as a handler of exc-server's; what it blocks; what it does; and
/// whether that ends the process, by SIGSEGV.
const ON_SERVER_THREADS: [(bool, Option<Mask>, Does, bool); 8] = [
    (true, None, Does::CopiesBadMemory, false),
    (true, Some(Mask::Segv), Does::CopiesBadMemory, false),
    (true, Some(Mask::All), Does::CopiesBadMemory, false),
    (true, Some(Mask::Segv), Does::Faults, true),
    (false, None, Does::CopiesBadMemory, false),
    (false, Some(Mask::Bus), Does::Faults, false),
    // The thread itself makes no system call to learn what it blocks.
    (false, Some(Mask::Segv), Does::CopiesBadMemory, true),
    (false, Some(Mask::Segv), Does::Faults, true),
];

static FELL_BACK: AtomicUsize = AtomicUsize::new(0);

extern "C" fn skip_store(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    FELL_BACK.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, crate::faults::Kind::Access.skip()) };
}

#[test]
fn code_on_a_servers_thread_that_blocks_the_signal_of_its_own_fault() {
    let name = test_name!(code_on_a_servers_thread_that_blocks_the_signal_of_its_own_fault);
    for (in_run, blocks, does, ends) in ON_SERVER_THREADS {
        let body = move || {
            install(
                libc::SIGSEGV,
                skip_store as *const (),
                libc::SA_SIGINFO,
                &[],
            );
            emulated::start().expect("started");
            on_raw_thread(move || {
                // The thread's first kernel call unblocks the five.
                drop(ThreadRight::current().expect("the own thread"));
                let outer = system::enter_server_thread();
                let code = || {
                    if let Some(mask) = blocks {
                        mask.block();
                    }
                    match does {
                        Does::CopiesBadMemory => probe(&BadPlaces::new()),
                        Does::Faults => crate::faults::Kind::Access.raise(),
                    }
                };
                match in_run {
                    true => {
                        outer.run(code);
                        // Whatever the code left blocked: the thread serves on.
                        assert!(FIVE.into_iter().all(|signal| !is_blocked(signal)));
                        probe(&BadPlaces::new());
                    }
                    false => code(),
                }
            });
            let faults = usize::from(matches!(does, Does::Faults));
            assert_eq!(FELL_BACK.load(Ordering::SeqCst), faults);
        };
        let case = format!("{in_run} {blocks:?} {does:?}");
        match ends {
            true => crate::support::dies(name, &case, libc::SIGSEGV, body),
            false => succeeds(name, &case, body),
        }
    }
}
