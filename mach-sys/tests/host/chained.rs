//! Handlers that are installed over the emulation's: such a handler is called first, and what it passes on is served.

use crate::context;
use crate::faults::Kind;
use crate::registers::{self, assert_kept};
use crate::support::{OwnStack, install, isolated, on_raw_thread};
use mach_sys::emulated::{self, Config, WhenDisplaced};
use port_server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

type Handler = extern "C" fn(i32, *const libc::siginfo_t, *mut libc::ucontext_t);

/// The handler that the newcomer found installed, and passes faults on to.
static OVER: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);
static CAME_BACK: AtomicUsize = AtomicUsize::new(0);
static BELOW: AtomicUsize = AtomicUsize::new(0);

extern "C" fn newcomer(signal: i32, info: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    // Values for the callee-saved registers, across the call.
    let kept: [usize; 8] = core::array::from_fn(|index| core::hint::black_box(index * 77));
    ASKED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the handler that was installed.
    let over: Handler = unsafe { core::mem::transmute(OVER.load(Ordering::SeqCst)) };
    over(signal, info, context);
    for (index, value) in kept.into_iter().enumerate() {
        assert_eq!(value, index * 77);
    }
    CAME_BACK.fetch_add(1, Ordering::SeqCst);
}

/// Skips the instruction: the handler installed before the emulation.
extern "C" fn below(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    BELOW.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, Kind::Undefined.skip()) };
}

const SIGNAL: i32 = libc::SIGILL;

/// Installs the newcomer over the current handler.
fn displace(flags: i32) {
    let old = install(SIGNAL, newcomer as *const (), libc::SA_SIGINFO | flags, &[]);
    if old.sa_sigaction != newcomer as *const () as usize {
        OVER.store(old.sa_sigaction, Ordering::SeqCst);
    }
}

/// Returns and clears the counts of visits: the newcomer, the end of its call, and the signal fallback.
fn counts() -> [usize; 3] {
    [&ASKED, &CAME_BACK, &BELOW].map(|count| count.swap(0, Ordering::SeqCst))
}

/// Faults on a thread of each kind: unknown to the emulation, known to it, with an alternate stack of its own.
fn on_each_kind(rounds: usize, judge: impl Fn(&str, [usize; 3])) {
    for kind in ["unknown", "known", "own stack"] {
        on_raw_thread(move || {
            let own = (kind == "own stack").then(|| OwnStack::register(0));
            if kind == "known" {
                drop(mach_sys::rights::ThreadRight::current().expect("the own thread"));
            }
            assert_kept(rounds);
            if let Some(own) = own {
                own.assert_registered();
            }
        });
        judge(kind, counts());
    }
}

isolated! {
    fn a_handler_that_chains_by_a_call_returns_where_that_is_possible() {
        let server = registers::server();
        server.route_task();
        displace(libc::SA_ONSTACK);
        assert_eq!(emulated::displaced_signals().collect::<Vec<_>>(), [SIGNAL]);
        on_each_kind(10, |kind, counts| match kind {
            // Its frames are where a redirect writes, until the thread has an alternate stack.
            "unknown" => assert_eq!(counts, [10, 9, 0]),
            _ => assert_eq!(counts, [10, 10, 0], "{kind}"),
        });
        displace(0);
        on_each_kind(10, |kind, counts| assert_eq!(counts, [10, 0, 0], "{kind}"));
        assert_eq!(server.stop(), 60);
    }
}

/// Starts a server that declines every fault, and counts.
fn unwilling() -> Server<usize> {
    let server = Server::start(0, |asked: &mut usize, _, _| {
        *asked += 1;
        false
    });
    server.route_task();
    server
}

isolated! {
    fn an_unwanted_fault_goes_below_the_emulation_once() {
        install(SIGNAL, below as *const (), libc::SA_SIGINFO | libc::SA_ONSTACK, &[]);
        let server = unwilling();
        for flags in [libc::SA_ONSTACK, 0] {
            displace(flags);
            on_each_kind(5, |kind, [asked, _, below]| {
                assert_eq!([asked, below], [5, 5], "{kind}");
            });
        }
        assert_eq!(server.stop(), 30);
    }
}

isolated! {
    fn taken_back_a_newcomer_is_the_host_level_and_may_chain() {
        install(SIGNAL, below as *const (), libc::SA_SIGINFO | libc::SA_ONSTACK, &[]);
        let mut config = Config::default();
        config.displaced = WhenDisplaced::TakeBack;
        emulated::start_with(config).expect("started");
        let (unwilling, willing) = (unwilling(), Arc::new(registers::server()));
        for flags in [libc::SA_ONSTACK, 0] {
            displace(flags);
            // The next thread that becomes known takes the signal back.
            on_raw_thread(|| drop(mach_sys::rights::ThreadRight::current().expect("a thread")));
            assert_eq!(emulated::displaced_signals().count(), 0);
            on_each_kind(5, |kind, [asked, _, below]| {
                assert_eq!([asked, below], [5, 5], "{kind}");
            });
        }
        let route = Arc::clone(&willing);
        on_raw_thread(move || {
            route.route_thread();
            assert_kept(5);
        });
        // What is wanted never reaches it.
        assert_eq!(counts(), [0, 0, 0]);
        assert_eq!(Arc::into_inner(willing).expect("the last").stop(), 5);
        assert_eq!(unwilling.stop(), 30);
    }
}

isolated! {
    /// 8 KiB, of which the kernel's frame takes a part: serving needs more in a debug build.
    fn on_the_alternate_stack_that_std_gives_a_thread_a_newcomer_may_chain() {
        let server = registers::server();
        server.route_task();
        displace(libc::SA_ONSTACK);
        std::thread::spawn(|| assert_kept(10)).join().expect("a thread");
        assert_eq!(counts()[0], 10);
        assert_eq!(server.stop(), 10);
    }
}
