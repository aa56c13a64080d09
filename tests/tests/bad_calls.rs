//! Calls through null and through bad function pointers (R21).
//!
//! A call through null may end a process on Apple Silicon before any exception is sent. That cannot be seen without a Mac: on Apple's kernel
//! these tests report what they saw, and fail for nothing.
#![allow(unsafe_code)]

use core::time::Duration;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::thread_state::Registers;
use signal_redirect::{Entry, Native, OwnMemory, return_to_caller};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use tests::faults::registers;
use tests::isolated::{exit_status, report_seen};
use tests::watchdog::abort_after;
use thread_mgr::Manager;

const ANSWER: u64 = 42;

static PC: AtomicU64 = AtomicU64::new(u64::MAX);
static ADDRESS: AtomicU64 = AtomicU64::new(u64::MAX);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The runtime's handler: returns to the caller of the function that is not there.
unsafe extern "C" fn returns(_: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the handler's own arguments, which nothing else uses; the memory is only read, through the kernel.
    unsafe {
        let state = registers(context);
        PC.store(state.pc(), Ordering::Relaxed);
        ADDRESS.store((*info).si_addr, Ordering::Relaxed);
        match return_to_caller::<Native>(state, ANSWER, &OwnMemory::new()) {
            Ok(returned) => *state = returned,
            Err(_) => std::process::abort(),
        }
    }
}

/// Calls whatever is at an address, and returns its result.
#[inline(never)]
fn call(target: u64) -> u64 {
    let result: u64;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: there is no code: the handler answers as a function of C does.
    unsafe {
        core::arch::asm!("call {}", in(reg) target, out("rax") result, clobber_abi("C"))
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("blr {}", in(reg) target, lateout("x0") result, clobber_abi("C"))
    };
    result
}

/// A page of data, which cannot be executed.
fn data_page() -> u64 {
    // SAFETY: a new mapping, used by nothing else.
    let page = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            mach_sys::kernel::system::page_size(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    assert_ne!(page, libc::MAP_FAILED);
    page as u64
}

/// In a process of its own: a managed thread calls there, and goes on in the caller.
fn is_served(name: &str, target: fn() -> u64) {
    let ended = exit_status(name, || {
        abort_after(Duration::from_secs(60));
        // SAFETY: the handler is async-signal-safe and does not unwind.
        let entry = unsafe { Entry::new(returns) };
        let manager = Manager::builder(entry).build().expect("a manager");
        let handle = manager
            .spawn(move || {
                let target = target();
                let result = call(target);
                (target, result)
            })
            .expect("a thread");
        let ended = handle.join().expect("a thread");
        let (target, result) = ended.exit.returned().expect("it returned");
        let seen = (PC.load(Ordering::Relaxed), ADDRESS.load(Ordering::Relaxed));
        println!("pc {:#x}, address {:#x}, {result} returned", seen.0, seen.1);
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
        assert_eq!((seen, result), ((target, target), ANSWER));
    });
    let Some((status, text)) = ended else {
        return;
    };
    if KERNEL == Kernel::Emulated {
        assert!(
            status.success() && text.contains("1 passed"),
            "{status}\n{text}"
        );
    } else {
        let last = text.lines().find(|line| line.starts_with("pc "));
        let last = last.unwrap_or("no handler ran, or not to its end");
        report_seen(name, &format!("{status}; {last}"));
    }
}

#[test]
fn r21_a_call_through_null_is_the_handlers() {
    is_served("r21_a_call_through_null_is_the_handlers", || 0);
}

#[test]
fn r21_a_call_of_an_address_where_nothing_is_mapped_is_the_handlers() {
    is_served(
        "r21_a_call_of_an_address_where_nothing_is_mapped_is_the_handlers",
        || 0x1000,
    );
}

#[test]
fn r21_a_call_into_data_is_the_handlers() {
    is_served("r21_a_call_into_data_is_the_handlers", data_page);
}
