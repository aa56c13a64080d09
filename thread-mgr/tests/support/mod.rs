//! Shared parts of the tests.
#![allow(unsafe_code, dead_code)]

pub(crate) use test_support::isolated;

pub(crate) use isolated::isolated;

use mach_sys::darwin::{DarwinSignal, siginfo_t, ucontext_t};
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::thread_state::{NativeState, Registers};
use signal_redirect::Entry;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use test_support::instructions::LENGTH;
use thread_mgr::{Manager, ManagerBuilder, SurplusPromise};

/// The number of the handler's calls, and the last values that it saw.
pub(crate) static HANDLED: AtomicU32 = AtomicU32::new(0);
pub(crate) static LAST_SIGNAL: AtomicU32 = AtomicU32::new(0);
pub(crate) static LAST_ADDRESS: AtomicU64 = AtomicU64::new(0);
/// An address on the handler's stack.
pub(crate) static LAST_STACK: AtomicU64 = AtomicU64::new(0);

/// Skips the faulting instruction, which must have the agreed length: 2 bytes on x86_64, 4 on arm64.
pub(crate) unsafe extern "C" fn skip(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
) {
    let here = 0_u8;
    HANDLED.fetch_add(1, Ordering::Relaxed);
    LAST_SIGNAL.store(signal as u32, Ordering::Relaxed);
    LAST_STACK.store(core::ptr::from_ref(&here) as u64, Ordering::Relaxed);
    // SAFETY: the trampoline hands over structures on the handler's own stack.
    unsafe {
        LAST_ADDRESS.store((*info).si_addr, Ordering::Relaxed);
        let state = registers(context);
        (*state).set_pc((*state).pc() + LENGTH);
    }
}

/// Returns the general registers in a context.
///
/// # Safety
/// The context is one that a redirect made.
pub(crate) unsafe fn registers(context: *mut ucontext_t) -> *mut NativeState {
    // SAFETY: a redirect made the context (caller's promise).
    unsafe { (*context).registers_mut() }
}

pub(crate) fn entry() -> Entry {
    // SAFETY: `skip` is async-signal-safe and does not unwind.
    unsafe { Entry::new(skip) }
}

pub(crate) fn builder() -> ManagerBuilder {
    Manager::builder(entry())
}

/// Builds a manager with the promise.
pub(crate) fn trimming() -> Manager {
    // SAFETY: in these tests references are forgotten for good, never released after a thread's end.
    let promise = unsafe { SurplusPromise::new() };
    builder().trim_surplus(promise).build().expect("a manager")
}

/// Builds a manager without the promise.
pub(crate) fn reporting() -> Manager {
    builder().build().expect("a manager")
}

/// Takes references on the calling thread's name and forgets them.
pub(crate) fn forget_references(count: u32) {
    for _ in 0..count {
        let _ = ThreadRight::current().expect("the own thread").into_name();
    }
}

/// Returns Darwin's number of a signal.
pub(crate) fn number(signal: DarwinSignal) -> u32 {
    signal.raw() as u32
}

/// Returns the number of threads of a stress test: `MACH_TEST_THREADS`, by default 2 000, and fewer if an emulator runs the program.
pub(crate) fn thread_count() -> u32 {
    std::env::var("MACH_TEST_THREADS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(if test_support::emulator::is_emulated() {
            200
        } else {
            2000
        })
}
