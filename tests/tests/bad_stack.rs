//! Threads whose stack pointer is none: served on the emergency stack, and back.
#![allow(unsafe_code)]

use core::time::Duration;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::thread_state::Registers;
use signal_redirect::Entry;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use tests::faults::{registers, skip, undefined, undefined_with_stack};
use tests::isolated::isolated;
use tests::watchdog::abort_after;

static SEEN_SP: AtomicU64 = AtomicU64::new(1);
static OWN_SP: AtomicU64 = AtomicU64::new(0);
static HANDLED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    let here = 0_u8;
    HANDLED.fetch_add(1, Ordering::Relaxed);
    OWN_SP.store(core::ptr::from_ref(&here) as u64, Ordering::Relaxed);
    // SAFETY: the trampoline's own context.
    let state = unsafe { registers(context) };
    SEEN_SP.store(state.sp(), Ordering::Relaxed);
    skip(state);
}

/// Half of the memory below.
const HALF: u64 = 128 * 1024;

/// 128 KiB that nothing may be done with, and as much memory above: a neighbour above could be the guard of the thread's own emergency
/// stack, and a stack pointer there is an overflow of that; one below could be the emergency stack itself, which is then not near.
fn guarded_page() -> u64 {
    // SAFETY: a new private mapping touches no existing memory.
    let page = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            2 * HALF as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: the lower half of our own mapping.
    let guarded = unsafe { libc::mprotect(page, HALF as usize, libc::PROT_NONE) };
    assert_eq!(guarded, 0);
    page as u64
}

/// G2.1, G2.12: whatever the stack pointer is.
#[test]
fn garbage_in_the_stack_pointer_is_served_and_brought_back() {
    isolated(
        "garbage_in_the_stack_pointer_is_served_and_brought_back",
        || {
            abort_after(Duration::from_secs(60));
            // SAFETY: the handler is async-signal-safe and does not unwind.
            let entry = unsafe { Entry::new(handler) };
            let manager = thread_mgr::Manager::builder(entry)
                .build()
                .expect("a manager");
            let handle = manager
                .spawn(|| {
                    let page = guarded_page();
                    // An odd stack pointer is one that arm64 does not even fault with, and refuses to use.
                    for sp in [0, 8, 16, page + HALF / 2, page + HALF, 0x7fff_ffff_eff0] {
                        let before = HANDLED.load(Ordering::Relaxed);
                        undefined_with_stack(sp);
                        assert_eq!(HANDLED.load(Ordering::Relaxed), before + 1);
                        assert_eq!(SEEN_SP.load(Ordering::Relaxed), sp);
                        let own = OWN_SP.load(Ordering::Relaxed);
                        assert!(own.abs_diff(sp) > 1 << 16, "{own:#x} is near {sp:#x}");
                    }
                    // And with a good one the handler is on the thread's own stack again.
                    let here = 0_u8;
                    undefined();
                    let own = OWN_SP.load(Ordering::Relaxed);
                    assert!(own.abs_diff(core::ptr::from_ref(&here) as u64) < 1 << 16);
                })
                .expect("a thread");
            let ended = handle.join().expect("a thread");
            assert!(ended.exit.returned().is_some());
            assert_eq!(manager.redirect_stats().refused, 0);
        },
    );
}
