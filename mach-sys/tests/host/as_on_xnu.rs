//! Faults that Linux tells otherwise than XNU: the room for the main thread's stack, interrupts whose gates are open on XNU, and ignored
//! signals.

use crate::context;
use crate::faults::{Kind, store_to};
use crate::support::{dies, install, isolated, succeeds, test_name};
use mach_sys::emulated::{self, Config, FallbackSignals};
use mach_sys::thread_state::Registers;
use port_server::{Fault, Server};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const MIB: usize = 1 << 20;

/// Signals that the handler of before got, with their addresses.
static TOLD: Mutex<Vec<(i32, usize)>> = Mutex::new(Vec::new());
static SKIP: AtomicUsize = AtomicUsize::new(0);

extern "C" fn previous(signal: i32, info: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    // SAFETY: the kernel's siginfo.
    let address = unsafe { (*info).si_addr() } as usize;
    TOLD.lock().expect("unpoisoned").push((signal, address));
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, SKIP.load(Ordering::SeqCst) as u64) };
}

fn start(signals: FallbackSignals) {
    let mut config = Config::default();
    config.fallback_signals = signals;
    emulated::start_with(config).expect("started");
}

/// Returns the highest address of the main thread's stack.
fn top() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the system tells");
    let line = maps.lines().find(|line| line.ends_with("[stack]"));
    let (_, end) = line
        .expect("a stack")
        .split_once('-')
        .expect("two addresses");
    let end = end.split(' ').next().expect("an address");
    usize::from_str_radix(end, 16).expect("a number")
}

/// Returns an address so far below the top, or somewhat lower, where nothing is mapped: an emulator of a processor maps memory there.
fn unmapped(below: usize) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the system tells");
    let regions: Vec<_> = maps
        .lines()
        .filter_map(|line| line.split(' ').next()?.split_once('-'))
        .map(|(start, end)| [start, end].map(|text| usize::from_str_radix(text, 16).expect("hex")))
        .collect();
    let top = top();
    let mut candidates = (below..=64 * MIB).step_by(MIB).map(|below| top - below);
    let free = candidates.find(|at| regions.iter().all(|[start, end]| at < start || at >= end));
    free.expect("room for the stack")
}

/// Returns the faults of stores to the addresses, each of which a server takes.
fn faults_of_stores(addresses: &[usize]) -> Vec<Fault> {
    let server = Server::start(Vec::new(), |seen, fault, state| {
        seen.push(fault);
        state.set_pc(state.pc() + Kind::Access.skip());
        true
    });
    server.route_task();
    addresses.iter().for_each(|address| store_to(*address));
    server.stop()
}

isolated! {
    /// G1.7: XNU maps the room for the main thread's stack without access, whatever is in use of it.
    fn g1_7_the_room_for_the_main_stack_is_protected_and_not_absent() {
        let top = top();
        // The stack is far smaller, and its limit, too.
        let inside = [unmapped(40 * MIB), top - 64 * MIB];
        let outside = [top - 65 * MIB, 0x18];
        let expected = |address: &usize, code| Fault { exception: 1, codes: [code, *address as i64] };
        let expected: Vec<_> = inside.iter().map(|address| expected(address, 2))
            .chain(outside.iter().map(|address| expected(address, 1)))
            .collect();
        let addresses: Vec<_> = inside.into_iter().chain(outside).collect();
        assert_eq!(faults_of_stores(&addresses), expected);
    }
}

/// A12.4: an overflow of the main thread's stack is SIGSEGV, where any other access without permission is SIGBUS. A handler without `SA_ONSTACK` does
/// not run, and ignoring it does not help.
#[test]
fn a12_4_an_overflow_of_the_main_stack_is_a_segmentation_fault() {
    let name = test_name!(a12_4_an_overflow_of_the_main_stack_is_a_segmentation_fault);
    let address = || unmapped(40 * MIB);
    succeeds(name, "handled", || {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            install(signal, previous as *const (), flags, &[]);
        }
        SKIP.store(Kind::Access.skip() as usize, Ordering::SeqCst);
        start(FallbackSignals::Xnu);
        let at = address();
        store_to(at);
        let expected = [(libc::SIGSEGV, at)];
        assert_eq!(*TOLD.lock().expect("unpoisoned"), expected);
    });
    dies(name, "default", libc::SIGSEGV, || {
        start(FallbackSignals::Xnu);
        store_to(address());
    });
    dies(name, "not on the alternate stack", libc::SIGSEGV, || {
        install(libc::SIGSEGV, previous as *const (), libc::SA_SIGINFO, &[]);
        SKIP.store(Kind::Access.skip() as usize, Ordering::SeqCst);
        start(FallbackSignals::Xnu);
        store_to(address());
    });
    dies(name, "ignored", libc::SIGSEGV, || {
        ignore(libc::SIGSEGV);
        start(FallbackSignals::Xnu);
        store_to(address());
    });
}

fn ignore(signal: i32) {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

static PAGE: AtomicUsize = AtomicUsize::new(0);

fn closed_page() -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let page = unsafe { libc::mmap(core::ptr::null_mut(), 65536, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    PAGE.store(page as usize, Ordering::SeqCst);
    page as usize
}

/// A12.5: a fault whose signal is ignored happens again and again, where XNU's signals are asked for. Where they are not, it kills, as Linux does.
#[test]
fn a12_5_a_fault_whose_signal_is_ignored_happens_again() {
    let name = test_name!(a12_5_a_fault_whose_signal_is_ignored_happens_again);
    succeeds(name, "xnu", || {
        ignore(libc::SIGBUS);
        start(FallbackSignals::Xnu);
        let page = closed_page();
        let server = Server::start(0, |asked, _, _| {
            *asked += 1;
            if *asked == 5 {
                let access = libc::PROT_READ | libc::PROT_WRITE;
                let page = PAGE.load(Ordering::SeqCst) as *mut libc::c_void;
                // SAFETY: the test's own page.
                unsafe { libc::mprotect(page, 65536, access) };
            }
            false
        });
        server.route_task();
        store_to(page);
        assert_eq!(server.stop(), 5);
    });
    dies(name, "system", libc::SIGSEGV, || {
        ignore(libc::SIGSEGV);
        start(FallbackSignals::System);
        store_to(closed_page());
    });
}

#[cfg(target_arch = "x86_64")]
mod interrupts {
    use super::*;
    use core::arch::asm;

    fn int_5() {
        // SAFETY: the fault is handled, or kills.
        unsafe { asm!("int 5") };
    }

    fn int_7f() {
        // SAFETY: as above.
        unsafe { asm!("int 0x7f") };
    }

    /// Number of times that `interrupted` went on behind its instruction.
    static BEHIND: AtomicUsize = AtomicUsize::new(0);

    fn interrupted(by: fn()) {
        by();
        BEHIND.fetch_add(1, Ordering::SeqCst);
    }

    isolated! {
        /// G1.12: the program counter is behind the instruction, so that the thread goes on when it is resumed.
        fn g1_12_an_interrupt_whose_gate_is_open_on_xnu_is_its_exception() {
            let server = Server::start(Vec::new(), |seen, fault, _| {
                seen.push(fault);
                true
            });
            server.route_task();
            for _ in 0..3 {
                interrupted(int_5);
                interrupted(int_7f);
            }
            let seen = server.stop();
            let bound = Fault { exception: 5, codes: [7, 0] };
            let opcode = Fault { exception: 2, codes: [1, 0] };
            assert_eq!(seen, [bound, opcode, bound, opcode, bound, opcode]);
            assert_eq!(BEHIND.load(Ordering::SeqCst), 6);
        }
    }

    /// The host level gets the system's own signal at the instruction, or XNU's behind it.
    #[test]
    fn g1_12_declined_it_is_the_systems_signal_or_xnus() {
        let name = test_name!(g1_12_declined_it_is_the_systems_signal_or_xnus);
        for (case, signals, expected, skip) in [
            ("system", FallbackSignals::System, libc::SIGSEGV, 2),
            ("xnu", FallbackSignals::Xnu, libc::SIGTRAP, 0),
        ] {
            succeeds(name, case, || {
                for signal in [libc::SIGSEGV, libc::SIGTRAP, libc::SIGILL] {
                    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                    install(signal, previous as *const (), flags, &[]);
                }
                SKIP.store(skip, Ordering::SeqCst);
                start(signals);
                let server = Server::start(0, |asked, _, _| {
                    *asked += 1;
                    false
                });
                server.route_task();
                interrupted(int_5);
                assert_eq!(server.stop(), 1);
                let told = TOLD.lock().expect("unpoisoned");
                assert_eq!(
                    told.iter().map(|told| told.0).collect::<Vec<_>>(),
                    [expected]
                );
                assert_eq!(BEHIND.load(Ordering::SeqCst), 1);
            });
        }
        dies(name, "default", libc::SIGSEGV, || {
            start(FallbackSignals::System);
            interrupted(int_5);
        });
    }
}

#[cfg(target_arch = "aarch64")]
mod breakpoints {
    use super::*;
    use core::arch::asm;
    use mach_sys::emulated::Generation;

    fn start_as(generation: Generation) {
        let mut config = Config::default();
        config.generation = generation;
        emulated::start_with(config).expect("started");
    }

    fn declines_and_says() {
        let server = Server::start((), |(), fault, state| {
            println!("asked: {fault:?}");
            state.set_pc(state.pc() + 4);
            true
        });
        server.route_task();
        // SAFETY: the server skips it, or the process ends.
        unsafe { asm!("brk #0xb123") };
        server.stop();
    }

    /// F6.7, A1.4: since macOS 26 the process ends at once; before, such a breakpoint is one like any other.
    #[test]
    fn a1_4_f6_7_a_breakpoint_of_the_range_ends_the_process() {
        let name = test_name!(a1_4_f6_7_a_breakpoint_of_the_range_ends_the_process);
        dies(name, "26", libc::SIGKILL, || {
            start_as(Generation::MacOs26);
            declines_and_says();
        });
        succeeds(name, "15", || {
            start_as(Generation::MacOs15);
            declines_and_says();
        });
    }
}
