//! The alternate stack that the emulation lends: as large as what applications get elsewhere, and guarded.

use crate::registers::{self, assert_kept};
use crate::support::{install, on_raw_thread, registered_stack, succeeds, test_name};
use mach_sys::emulated::LENT_STACK_SIZE;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

static BAD: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Faults in a handler with `BYTES` bytes of locals.
#[inline(never)]
fn fault_with_locals<const BYTES: usize>() {
    let mut locals = [0x5a_u8; BYTES];
    core::hint::black_box(&mut locals);
    assert_kept(2);
    core::hint::black_box(&mut locals);
    let changed = locals.iter().filter(|byte| **byte != 0x5a).count();
    BAD.store(changed, Ordering::SeqCst);
}

extern "C" fn with_16_kib(_: i32) {
    fault_with_locals::<{ 16 << 10 }>();
}

extern "C" fn with_30_kib(_: i32) {
    fault_with_locals::<{ 30 << 10 }>();
}

extern "C" fn with_60_kib(_: i32) {
    fault_with_locals::<{ 60 << 10 }>();
}

fn raise(signal: i32) {
    // SAFETY: the handler is installed.
    let outcome = unsafe { libc::pthread_kill(libc::pthread_self(), signal) };
    assert_eq!(outcome, 0);
}

#[test]
fn handlers_with_large_locals_fault_on_the_lent_stack() {
    let name = test_name!(handlers_with_large_locals_fault_on_the_lent_stack);
    let handlers: [(&str, extern "C" fn(i32)); 3] = [
        ("16 KiB", with_16_kib),
        ("30 KiB", with_30_kib),
        ("60 KiB", with_60_kib),
    ];
    for (size, handler) in handlers {
        for registered in [false, true] {
            succeeds(name, &format!("{size} {registered}"), || {
                install(libc::SIGUSR1, handler as *const (), libc::SA_ONSTACK, &[]);
                let server = Arc::new(registers::server());
                server.route_task();
                let route = Arc::clone(&server);
                on_raw_thread(move || {
                    if registered {
                        route.route_thread();
                    }
                    assert_kept(1);
                    let lent = registered_stack();
                    assert_eq!(lent.ss_flags, 0);
                    assert!(lent.ss_size >= LENT_STACK_SIZE, "{} bytes", lent.ss_size);
                    raise(libc::SIGUSR1);
                    assert_eq!(BAD.load(Ordering::SeqCst), 0, "bytes changed under it");
                });
                assert_eq!(Arc::into_inner(server).expect("the last").stop(), 3);
            });
        }
    }
}

#[cfg(target_arch = "x86_64")]
/// Runs down the stack that it is on, and off its end.
#[inline(never)]
fn run_down(depth: usize) -> usize {
    if core::hint::black_box(depth) == usize::MAX {
        return 0;
    }
    let locals = core::hint::black_box([depth as u8; 1024]);
    run_down(depth + 1) + usize::from(locals[depth % 1024])
}

#[cfg(target_arch = "x86_64")]
extern "C" fn overflow(_: i32) {
    core::hint::black_box(run_down(0));
}

/// There is a guard below it: what overflows dies, and overwrites nothing. Under qemu-user, where arm64 is tested, an overflow of any
/// alternate stack hangs.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_handler_that_overflows_the_lent_stack_dies_of_it() {
    let name = test_name!(a_handler_that_overflows_the_lent_stack_dies_of_it);
    crate::support::dies(name, "", libc::SIGSEGV, || {
        install(libc::SIGSEGV, libc::SIG_DFL as *const (), 0, &[]);
        install(libc::SIGUSR1, overflow as *const (), libc::SA_ONSTACK, &[]);
        mach_sys::emulated::start().expect("started");
        on_raw_thread(|| {
            drop(mach_sys::rights::ThreadRight::current().expect("registered"));
            raise(libc::SIGUSR1);
        });
        crate::faults::Kind::Access.raise();
    });
}
