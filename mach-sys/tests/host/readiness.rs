//! A thread is made ready for faults, and given back as it was (R5).

use crate::registers::{self, assert_kept};
use crate::support::{OwnStack, is_blocked, isolated, on_raw_thread, registered_stack};
use mach_sys::emulated::LENT_STACK_SIZE;
use mach_sys::kernel::system::prepare_for_faults;
use std::sync::Arc;

const SIGNALS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

fn block(signals: &[i32]) {
    // SAFETY: the set is a local variable.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, core::ptr::null_mut());
    }
}

isolated! {
    fn r5_a_thread_is_given_back_as_it_was() {
        let server = Arc::new(registers::server());
        server.route_task();
        let mut faults = 0;
        for registered in [false, true] {
            for own_stack in [false, true] {
                for blocked in [0, 2, 5] {
                    let before = (registered, own_stack, blocked);
                    let route = Arc::clone(&server);
                    on_raw_thread(move || {
                        if registered {
                            route.route_thread();
                        }
                        let own = own_stack.then(|| OwnStack::register(0));
                        block(&SIGNALS[..blocked]);
                        let found = registered_stack();
                        for round in 0..3 {
                            let ready = prepare_for_faults();
                            let lent = registered_stack();
                            assert!(lent.ss_size >= LENT_STACK_SIZE, "{before:?} {round}");
                            assert!(!own.as_ref().is_some_and(|own| own.contains(lent.ss_sp as usize)));
                            assert!(SIGNALS.iter().all(|signal| !is_blocked(*signal)));
                            assert_kept(2);
                            ready.undo();
                            let now = registered_stack();
                            assert_eq!(now.ss_flags, found.ss_flags, "{before:?} {round}");
                            assert_eq!((now.ss_sp, now.ss_size), (found.ss_sp, found.ss_size), "{before:?}");
                            for (index, signal) in SIGNALS.into_iter().enumerate() {
                                assert_eq!(is_blocked(signal), index < blocked, "{before:?} {signal}");
                            }
                        }
                    });
                    faults += 6;
                }
            }
        }
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), faults);
    }
}

isolated! {
    /// The lent one is not registered any more: nothing is put back.
    fn r5_a_stack_that_the_thread_registers_meanwhile_stays() {
        mach_sys::emulated::start().expect("started");
        on_raw_thread(|| {
            let first = OwnStack::register(0);
            let ready = prepare_for_faults();
            let second = OwnStack::register(0);
            ready.undo();
            second.assert_registered();
            drop(first);
        });
    }
}

isolated! {
    /// Unmaps a ready thread's former stack on another thread, as Rust's runtime does at `exit` with the main thread's.
    fn r9_a_ready_thread_does_not_need_the_stack_that_it_had() {
        let server = Arc::new(registers::server());
        let route = Arc::clone(&server);
        on_raw_thread(move || {
            const SIZE: usize = 64 * 1024;
            route.route_thread();
            // SAFETY: a new mapping, registered as the stack of this thread, which then uses another.
            unsafe {
                let memory = libc::mmap(
                    core::ptr::null_mut(),
                    SIZE,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                );
                assert_ne!(memory, libc::MAP_FAILED);
                let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: SIZE };
                assert_eq!(libc::sigaltstack(&stack, core::ptr::null_mut()), 0);
                let _ready = prepare_for_faults();
                let memory = memory as usize;
                std::thread::spawn(move || libc::munmap(memory as *mut _, SIZE))
                    .join()
                    .expect("unmapped");
            }
            assert_kept(10);
        });
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 10);
    }
}
