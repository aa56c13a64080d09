//! Handlers that other components install over the emulation's, and that the emulation takes back: a fault that no exception handler takes
//! visits each of them once, the last one first, and then the one from before the start; one that has left is not visited, and neither is one that
//! is no longer there.

use crate::context;
use crate::faults::Kind;
use crate::registers;
use crate::support::{OwnStack, dies, install, on_raw_thread, succeeds, test_name};
use mach_sys::emulated::{self, Config, WhenDisplaced};
use mach_sys::rights::ThreadRight;
use port_server::Server;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use test_support::emulator::is_emulated;
use test_support::flag::SetWhenDropped;

const SIGNAL: i32 = libc::SIGILL;

type Handler = extern "C" fn(i32, *const libc::siginfo_t, *mut libc::ucontext_t);

/// Treatment of a fault that is not the newcomer's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Puts back what it found, and returns: the fault recurs.
    PutBack,
    /// The same with `signal`, which knows only the handler's address.
    PutBackBySignal,
    /// Puts back what it found, and calls it.
    PutBackAndChain,
    /// Puts back what it found, and raises the signal again.
    PutBackAndRaise,
    /// Calls what it found.
    Chain,
    /// Calls what it found with a copy of the context.
    ChainWithCopy,
}

const HABITS: [Habit; 6] = [
    Habit::PutBack,
    Habit::PutBackBySignal,
    Habit::PutBackAndChain,
    Habit::PutBackAndRaise,
    Habit::Chain,
    Habit::ChainWithCopy,
];

/// The handler that each newcomer found installed, with its habit.
static FOUND: Mutex<Vec<(libc::sigaction, Habit)>> = Mutex::new(Vec::new());
/// The handlers visited, in order: newcomers from 0 on, and [`BELOW`]. Written on the faulting thread only.
static VISITS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
const BELOW: usize = 99;

fn visit(who: usize) {
    VISITS.lock().expect("unpoisoned").push(who);
}

fn visits() -> Vec<usize> {
    core::mem::take(&mut VISITS.lock().expect("unpoisoned"))
}

extern "C" fn newcomer<const N: usize>(
    signal: i32,
    info: *const libc::siginfo_t,
    context: *mut libc::ucontext_t,
) {
    if VISITS.lock().expect("unpoisoned").contains(&N) {
        // Visited twice.
        std::process::exit(3);
    }
    visit(N);
    let (found, habit) = FOUND.lock().expect("unpoisoned")[N];
    // SAFETY: what was installed is installed again, or called as the kernel would.
    unsafe {
        match habit {
            Habit::Chain | Habit::ChainWithCopy => {}
            Habit::PutBackBySignal => drop(libc::signal(signal, found.sa_sigaction)),
            _ => drop(libc::sigaction(signal, &found, core::ptr::null_mut())),
        }
        let over = || core::mem::transmute::<usize, Handler>(found.sa_sigaction);
        match habit {
            Habit::PutBackAndRaise => drop(libc::raise(signal)),
            Habit::Chain | Habit::PutBackAndChain => over()(signal, info, context),
            Habit::ChainWithCopy => {
                // As far as the registers go: what lies behind them stays where it is.
                let mut copy = core::mem::MaybeUninit::<Copied>::uninit();
                let at = copy.as_mut_ptr().cast::<u8>();
                core::ptr::copy_nonoverlapping(context.cast::<u8>(), at, COPIED);
                over()(signal, info, at.cast());
                core::ptr::copy_nonoverlapping(at, context.cast::<u8>(), COPIED);
            }
            _ => {}
        }
    }
}

/// Bytes of a context in the kernel's layout.
const COPIED: usize = if cfg!(target_arch = "x86_64") {
    304
} else {
    4560
};

#[repr(align(16))]
struct Copied(#[allow(dead_code)] [u8; COPIED]);

const NEWCOMERS: [Handler; 4] = [newcomer::<0>, newcomer::<1>, newcomer::<2>, newcomer::<3>];

/// Skips the instruction: the handler from before the start.
extern "C" fn below(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    visit(BELOW);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, Kind::Undefined.skip()) };
}

static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Starts the emulation with a policy for replaced handlers, and with a server that handles the first fault only.
fn start(policy: WhenDisplaced) {
    let mut config = Config::default();
    config.displaced = policy;
    emulated::start_with(config).expect("started");
    let server = Server::start((), |(), fault, state| {
        let first = ASKED.fetch_add(1, Ordering::SeqCst) == 0;
        if first {
            crate::faults::skip(fault.exception, state);
        }
        first
    });
    server.route_task();
    // The server's thread is known from here on: the emulation looks at its handlers when a thread becomes known.
    fault(false);
    core::mem::forget(server);
}

/// Registers a thread: the emulation looks at its handlers.
fn look() {
    on_raw_thread(|| drop(ThreadRight::current().expect("the own thread")));
}

fn newcomers(count: usize, flags: i32, habit: Habit, in_a_row: bool) {
    for handler in NEWCOMERS.into_iter().take(count) {
        let old = install(SIGNAL, handler as *const (), libc::SA_SIGINFO | flags, &[]);
        FOUND.lock().expect("unpoisoned").push((old, habit));
        if !in_a_row {
            look();
        }
    }
    look();
}

/// Faults on a thread with an alternate stack of its own, and on one that the emulation lends one.
fn fault(own: bool) {
    on_raw_thread(move || {
        let _own = own.then(|| OwnStack::register(0));
        drop(ThreadRight::current().expect("the own thread"));
        Kind::Undefined.raise();
    });
}

fn cases() -> impl Iterator<Item = (Habit, usize, i32, bool, bool)> {
    HABITS.into_iter().flat_map(|habit| {
        // A process each: fewer where an emulator runs them.
        let counts: &[usize] = if is_emulated() { &[2] } else { &[1, 2, 4] };
        counts.iter().copied().flat_map(move |count| {
            [0, libc::SA_ONSTACK].into_iter().flat_map(move |flags| {
                [(false, false), (true, true)]
                    .map(|(in_a_row, own)| (habit, count, flags, in_a_row, own))
            })
        })
    })
}

#[test]
fn an_unwanted_fault_visits_each_newcomer_once_and_then_the_handler_of_before() {
    let name =
        test_name!(an_unwanted_fault_visits_each_newcomer_once_and_then_the_handler_of_before);
    for (habit, count, flags, in_a_row, own) in cases() {
        if habit == Habit::PutBackAndRaise {
            // What is raised is no fault: the signal fallback would skip an instruction too many.
            continue;
        }
        let case = format!("{habit:?} {count} {flags:#x} {in_a_row} {own}");
        succeeds(name, &case, move || {
            install(SIGNAL, below as *const (), libc::SA_SIGINFO | flags, &[]);
            start(WhenDisplaced::TakeBack);
            newcomers(count, flags, habit, in_a_row);
            fault(own);
            let mut expected: Vec<usize> = (0..count).rev().collect();
            expected.push(BELOW);
            assert_eq!(visits(), expected);
            // Those that put back what they found have left.
            fault(own);
            let chains = matches!(habit, Habit::Chain | Habit::ChainWithCopy);
            assert_eq!(visits(), if chains { expected } else { vec![BELOW] });
        });
    }
}

#[test]
fn an_unwanted_fault_that_no_handler_keeps_takes_the_default_action_after_each_newcomer() {
    let name = test_name!(
        an_unwanted_fault_that_no_handler_keeps_takes_the_default_action_after_each_newcomer
    );
    for (habit, count, flags, in_a_row, own) in cases() {
        let case = format!("{habit:?} {count} {flags:#x} {in_a_row} {own}");
        dies(name, &case, SIGNAL, move || {
            start(WhenDisplaced::TakeBack);
            newcomers(count, flags, habit, in_a_row);
            fault(own);
            std::process::exit(1);
        });
    }
}

#[test]
fn a_newcomer_that_left_in_peace_is_not_visited() {
    let name = test_name!(a_newcomer_that_left_in_peace_is_not_visited);
    for count in [1, 2, 4] {
        for looks in [false, true] {
            succeeds(name, &format!("{count} {looks}"), move || {
                install(SIGNAL, below as *const (), libc::SA_SIGINFO, &[]);
                start(WhenDisplaced::TakeBack);
                newcomers(count, libc::SA_ONSTACK, Habit::Chain, false);
                // The last one leaves, then the one before it, and so on.
                for left in (0..count).rev() {
                    let (found, _) = FOUND.lock().expect("unpoisoned")[left];
                    // SAFETY: what was installed is installed again.
                    unsafe { libc::sigaction(SIGNAL, &found, core::ptr::null_mut()) };
                    if looks {
                        look();
                    }
                    fault(left % 2 == 0);
                    let mut expected: Vec<usize> = (0..left).rev().collect();
                    expected.push(BELOW);
                    assert_eq!(visits(), expected);
                }
            });
        }
    }
}

/// Returns a page with code of a library that is unloaded later. The code returns at once.
fn handler_in_a_library() -> usize {
    let page = mach_sys::kernel::system::page_size();
    // SAFETY: a new mapping, which is filled before anything else knows of it.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let write = libc::PROT_READ | libc::PROT_WRITE;
        let base = libc::mmap(core::ptr::null_mut(), page, write, flags, -1, 0);
        assert_ne!(base, libc::MAP_FAILED);
        match cfg!(target_arch = "x86_64") {
            // `ret`
            true => core::ptr::write_bytes(base.cast::<u8>(), 0xc3, page),
            false => {
                core::slice::from_raw_parts_mut(base.cast::<u32>(), page / 4).fill(0xd65f_03c0)
            }
        }
        assert_eq!(
            libc::mprotect(base, page, libc::PROT_READ | libc::PROT_EXEC),
            0
        );
        base as usize
    }
}

/// State of the library's page after it is unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Unmapped,
    WithoutAccess,
    OtherCode,
}

impl Gone {
    fn make(self, base: usize, page: usize) {
        let base = base as *mut libc::c_void;
        // SAFETY: the page is the test's own, and nothing runs there.
        let error = unsafe {
            match self {
                Self::Unmapped => libc::munmap(base, page),
                Self::WithoutAccess => libc::mprotect(base, page, libc::PROT_NONE),
                Self::OtherCode => {
                    libc::mprotect(base, page, libc::PROT_READ | libc::PROT_WRITE);
                    // Undefined instructions and the like.
                    core::ptr::write_bytes(base.cast::<u8>(), 0x06, page);
                    libc::mprotect(base, page, libc::PROT_READ | libc::PROT_EXEC)
                }
            }
        };
        assert_eq!(error, 0);
    }
}

/// Checks handlers that the library installed before the start, and after it.
#[test]
fn a_handler_whose_library_was_unloaded_is_never_jumped_to() {
    let name = test_name!(a_handler_whose_library_was_unloaded_is_never_jumped_to);
    for gone in [Gone::Unmapped, Gone::WithoutAccess, Gone::OtherCode] {
        for after in [true, false] {
            for own in [true, false] {
                let page = mach_sys::kernel::system::page_size();
                if !after {
                    dies(name, &format!("{gone:?} before {own}"), SIGNAL, move || {
                        let library = handler_in_a_library();
                        install(SIGNAL, library as *const (), libc::SA_SIGINFO, &[]);
                        start(WhenDisplaced::TakeBack);
                        gone.make(library, page);
                        fault(own);
                        std::process::exit(1);
                    });
                    continue;
                }
                succeeds(name, &format!("{gone:?} after {own}"), move || {
                    install(SIGNAL, below as *const (), libc::SA_SIGINFO, &[]);
                    start(WhenDisplaced::TakeBack);
                    newcomers(1, 0, Habit::Chain, false);
                    let library = handler_in_a_library();
                    install(SIGNAL, library as *const (), libc::SA_SIGINFO, &[]);
                    look();
                    gone.make(library, page);
                    for _ in 0..2 {
                        fault(own);
                        assert_eq!(visits(), [0, BELOW]);
                    }
                });
            }
        }
    }
}

static WILLING: AtomicBool = AtomicBool::new(false);
static OVER: AtomicUsize = AtomicUsize::new(0);

extern "C" fn over(signal: i32, info: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    visit(0);
    // SAFETY: the handler that was installed.
    let over: Handler = unsafe { core::mem::transmute(OVER.load(Ordering::SeqCst)) };
    over(signal, info, context);
}

/// Leaves by a jump, as `siglongjmp` does.
extern "C" fn escape(signal: i32) {
    visit(BELOW);
    // SAFETY: sets are local; the guard that is jumped to is live.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, core::ptr::null_mut());
        context::escape();
    }
}

extern "C" fn raise() {
    Kind::Undefined.raise();
}

/// The way into foreign code is marked for as long as its fault lasts, and no longer, however that code is left: the next fault, whose
/// context lies where the last one's did, is delivered although a handler that was installed later passes it on.
#[test]
fn a_fault_that_was_declined_leaves_no_mark_behind() {
    let name = test_name!(a_fault_that_was_declined_leaves_no_mark_behind);
    for jumps in [false, true] {
        for own in [false, true] {
            for flags in [0, libc::SA_ONSTACK] {
                succeeds(name, &format!("{jumps} {own} {flags:#x}"), move || {
                    let handler = match jumps {
                        true => escape as *const (),
                        false => below as *const (),
                    };
                    install(SIGNAL, handler, libc::SA_SIGINFO | flags, &[]);
                    emulated::start().expect("started");
                    let server = Server::start(0, |served: &mut usize, fault, state| {
                        let willing = WILLING.load(Ordering::SeqCst);
                        if willing {
                            *served += 1;
                            crate::faults::skip(fault.exception, state);
                        }
                        willing
                    });
                    server.route_task();
                    on_raw_thread(move || {
                        let _own = own.then(|| OwnStack::register(0));
                        drop(ThreadRight::current().expect("the own thread"));
                        for round in 0..4 {
                            WILLING.store(false, Ordering::SeqCst);
                            assert_eq!(context::guarded(raise), jumps);
                            assert_eq!(visits().last(), Some(&BELOW));
                            // Over the emulation's from here on.
                            let old =
                                install(SIGNAL, over as *const (), libc::SA_SIGINFO | flags, &[]);
                            if round == 0 {
                                OVER.store(old.sa_sigaction, Ordering::SeqCst);
                            }
                            WILLING.store(true, Ordering::SeqCst);
                            assert!(!context::guarded(raise));
                            assert_eq!(visits(), [0], "served, round {round}");
                        }
                    });
                    assert_eq!(server.stop(), 4);
                });
            }
        }
    }
}

/// Faults of one thread are no other's.
#[test]
fn newcomers_come_and_go_while_threads_fault() {
    let name = test_name!(newcomers_come_and_go_while_threads_fault);
    succeeds(name, "", || {
        install(SIGNAL, below as *const (), libc::SA_SIGINFO, &[]);
        let mut config = Config::default();
        config.displaced = WhenDisplaced::TakeBack;
        emulated::start_with(config).expect("started");
        let server = registers::server();
        server.route_task();
        let stop = AtomicBool::new(false);
        let faults = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let _ending = SetWhenDropped(&stop);
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        registers::assert_kept(1);
                        faults.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let late = Instant::now() + Duration::from_secs(60);
            let mut rounds = 0;
            while rounds < 200 || faults.load(Ordering::Relaxed) <= 100 {
                let old = install(SIGNAL, below as *const (), libc::SA_SIGINFO, &[]);
                look();
                // SAFETY: what was installed is installed again.
                unsafe { libc::sigaction(SIGNAL, &old, core::ptr::null_mut()) };
                look();
                rounds += 1;
                assert!(Instant::now() < late, "the threads fault");
            }
        });
        assert_eq!(emulated::displaced_signals().count(), 0);
        server.stop();
    });
}
