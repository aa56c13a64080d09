//! Bad accesses and bad calls: the signal that the handler sees, and the thread's registers afterwards.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::thread_state::Registers as _;
use signal_redirect::{Native, OwnMemory, return_to_caller};

use crate::child::in_child;
use crate::handlers::{Trace, context, trace, tracing_handler};
use crate::{machine, serve, server};

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);

fn note(info: &siginfo_t) {
    SIGNAL.store(info.si_signo, Relaxed);
    CODE.store(info.si_code, Relaxed);
    ADDRESS.store(info.si_addr, Relaxed);
}

fn noted() -> (i32, i32, u64) {
    (
        SIGNAL.load(Relaxed),
        CODE.load(Relaxed),
        ADDRESS.load(Relaxed),
    )
}

/// Returns the address of a new page that can only be read.
fn read_only_page() -> u64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice overwrites nothing.
    let page = unsafe { libc::mmap(core::ptr::null_mut(), 4096, libc::PROT_READ, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    page as u64
}

unsafe extern "C" fn over_the_store(_: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: `info` and `uc` are what this handler was given.
    let context = unsafe {
        note(&*info);
        context(uc)
    };
    let (site, length) = machine::store_site();
    assert_eq!(context.ss.pc(), site);
    context.ss.set_pc(site + length);
    machine::trash();
}

#[test]
fn a_bad_store_is_told_with_its_address() {
    in_child("accesses::a_bad_store_is_told_with_its_address", || {
        serve(over_the_store);
        let page = read_only_page();
        for address in [0, 1, 4096, page, page + 4095] {
            machine::store(address);
            let signal = if address < page {
                machine::UNMAPPED
            } else {
                machine::PROTECTED
            };
            assert_eq!(noted(), (signal.0, signal.1, address));
        }
    });
}

unsafe extern "C" fn back_with_42(_: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: `info` and `uc` are what this handler was given.
    let context = unsafe {
        note(&*info);
        context(uc)
    };
    // SAFETY: nothing is written.
    let memory = unsafe { OwnMemory::new() };
    context.ss = return_to_caller::<Native>(&context.ss, 42, &memory).unwrap();
    machine::trash();
}

/// R21: the targets are null, data, and an unmapped address.
#[test]
fn r21_a_call_through_a_bad_pointer_returns_what_the_handler_says() {
    in_child(
        "accesses::r21_a_call_through_a_bad_pointer_returns_what_the_handler_says",
        || {
            serve(back_with_42);
            for target in [0, read_only_page(), 4096] {
                assert_eq!(machine::call(target), 42);
                assert_eq!(noted().2, target);
            }
        },
    );
}

unsafe extern "C" fn traced_back_with_42(signal: c_int, info: *mut siginfo_t, uc: *mut ucontext_t) {
    // SAFETY: all three are what this handler was given; `tracing_handler` steps over an instruction, which is set right here.
    unsafe {
        let before = context(uc).ss;
        tracing_handler(signal, info, uc);
        context(uc).ss = before;
        back_with_42(signal, info, uc);
    }
}

/// Upper limit of the bytes from the trampoline's call of the handler to its trap.
const TRAMPOLINE: u64 = 4096;

/// R21: the target has no unwind information, but the trace contains it, after the handler and the trampoline. Apple's unwinder stops
/// before a frame without unwind information, so there the trampoline's is the last.
#[test]
fn r21_a_backtrace_reaches_the_bad_target() {
    in_child("accesses::r21_a_backtrace_reaches_the_bad_target", || {
        serve(traced_back_with_42);
        let target = read_only_page();
        assert_eq!(machine::call(target), 42);
        let Trace { mut pcs, .. } = trace();
        if KERNEL == Kernel::Emulated {
            assert_eq!(pcs.pop(), Some(target), "{pcs:#x?}");
        }
        let trampoline = *pcs.last().expect("a trace");
        let trap = server::trampoline().trap();
        assert!(trampoline.abs_diff(trap) < TRAMPOLINE, "{pcs:#x?}");
    });
}
