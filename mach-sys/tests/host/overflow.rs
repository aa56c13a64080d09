//! A stack overflow is an exception on a thread that has an alternate signal stack, its own or one that the emulation lends, and on no other:
//! Linux has nowhere to write the signal's frame, and ends the process. Which threads have one.

use crate::isolated::report_partly;
use crate::registers::assert_kept;
use crate::support::{OwnStack, RawThread, dies, is_child, succeeds, test_name};
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use mach_sys::kernel::{self, system, system::task_self};
use mach_sys::thread_state::Registers;
use port_server::Server;
use std::os::unix::thread::JoinHandleExt;
use test_support::emulator::is_emulated;
use test_support::wait::wait_for;

/// Small enough to be run down at once.
const STACK: usize = 256 << 10;
const BAD_ACCESS: i32 = 1;

/// The thread is there; it may overflow; it did, and goes on; where its stack was deep enough to go on from.
static IS_THERE: AtomicBool = AtomicBool::new(false);
static MAY_OVERFLOW: AtomicBool = AtomicBool::new(false);
static HAS_RECOVERED: AtomicBool = AtomicBool::new(false);
static TOP: AtomicU64 = AtomicU64::new(0);

/// A thread's history, as the emulation knows it when its stack overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Nothing,
    /// The thread made a kernel call.
    Call,
    /// It faulted, and the fault was answered.
    Fault,
    /// Another thread asked for the list of the task's threads.
    Listed,
    /// Another thread asked for its port.
    Named,
    /// Nothing, but the thread has an alternate stack of its own.
    OwnStack,
    /// Nothing, but it is a thread of std's, which gives it an alternate stack: the emulation was started after Rust's runtime.
    OfStd,
}

#[inline(never)]
fn run_down(depth: usize) -> usize {
    if black_box(depth) == usize::MAX {
        return 0;
    }
    let locals = black_box([depth as u8; 512]);
    run_down(depth + 1) + usize::from(locals[depth % 512])
}

/// The thread goes on here: the handler sets its program counter.
extern "C" fn recovered() -> ! {
    HAS_RECOVERED.store(true, Ordering::SeqCst);
    loop {
        std::thread::park();
    }
}

fn victim(before: Before) {
    let here = 0_u8;
    // Aligned as at a function's entry on either machine.
    let entry = (&raw const here as u64 - 4096) & !15;
    let pushed = if cfg!(target_arch = "x86_64") { 8 } else { 0 };
    TOP.store(entry - pushed, Ordering::SeqCst);
    let _own = match before {
        Before::Call => {
            // SAFETY: no arguments; one reference more is no matter.
            unsafe { kernel::mach_thread_self() };
            None
        }
        Before::Fault => {
            assert_kept(3);
            None
        }
        Before::OwnStack => Some(OwnStack::register(0)),
        _ => None,
    };
    IS_THERE.store(true, Ordering::SeqCst);
    while !MAY_OVERFLOW.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    black_box(run_down(0));
}

/// Overflows the stack of a thread with this history, and waits until it has recovered.
fn overflow(before: Before) {
    let server = Server::start((), |(), fault, state| {
        if fault.exception == BAD_ACCESS {
            state.set_sp(TOP.load(Ordering::SeqCst));
            state.set_pc(recovered as *const () as u64);
        } else {
            crate::faults::skip(fault.exception, state);
        }
        true
    });
    server.route_task();
    let thread = match before {
        Before::OfStd => {
            let thread = std::thread::Builder::new().stack_size(STACK);
            let thread = thread.spawn(move || victim(before)).expect("a thread");
            system::Pthread::from_raw(thread.as_pthread_t() as usize)
        }
        _ => {
            let thread = RawThread::spawn_with_stack(STACK, move || victim(before));
            let raw = system::Pthread::from_raw(thread.raw() as usize);
            thread.detach();
            raw
        }
    };
    wait_for("the thread", || IS_THERE.load(Ordering::SeqCst));
    match before {
        Before::Listed => {
            let (mut names, mut count) = (core::ptr::null_mut(), 0);
            // SAFETY: the results go to local variables.
            let code = unsafe { kernel::task_threads(task_self(), &mut names, &mut count) };
            assert_eq!(code, 0);
        }
        // SAFETY: the thread lives.
        Before::Named => assert_ne!(unsafe { system::thread_port(thread) }, 0),
        _ => {}
    }
    MAY_OVERFLOW.store(true, Ordering::SeqCst);
    wait_for("its recovery", || HAS_RECOVERED.load(Ordering::SeqCst));
    // The server and the thread end with the process.
    core::mem::forget(server);
}

#[test]
fn an_overflow_is_an_exception_where_the_thread_has_an_alternate_stack() {
    let name = test_name!(an_overflow_is_an_exception_where_the_thread_has_an_alternate_stack);
    for before in [
        Before::Call,
        Before::Fault,
        Before::Listed,
        Before::Named,
        Before::OwnStack,
        Before::OfStd,
    ] {
        succeeds(name, &format!("{before:?}"), || overflow(before));
    }
    if is_emulated() && !is_child() {
        return report_partly(name, "an emulator does not end a process as Linux does");
    }
    let case = format!("{:?}", Before::Nothing);
    dies(name, &case, libc::SIGSEGV, || overflow(Before::Nothing));
}
