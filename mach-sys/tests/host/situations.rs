//! The places where a thread may be when it faults. Everywhere the server overwrites the stack below the red zone before it answers, and all
//! registers must be what they were.

use crate::isolated::report_skipped;
use crate::registers::{self, assert_kept};
use crate::support::{OwnStack, install, isolated, on_raw_thread, registered_stack, test_name};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

isolated! {
    /// The task's handler; the thread was never seen before.
    fn no_alternate_stack_and_no_record() {
        let server = registers::server();
        server.route_task();
        on_raw_thread(|| {
            assert_eq!(registered_stack().ss_flags, libc::SS_DISABLE);
            assert_kept(1);
            // From now on the lent one is there.
            assert_eq!(registered_stack().ss_flags, 0);
            assert_kept(100);
        });
        assert_eq!(server.stop(), 101);
    }
}

isolated! {
    fn a_registered_thread_without_alternate_stack() {
        let server = Arc::new(registers::server());
        let route = Arc::clone(&server);
        on_raw_thread(move || {
            route.route_thread();
            assert_kept(100);
        });
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 100);
    }
}

isolated! {
    /// R4 (3): std gives its threads a small one.
    fn r4_the_standard_librarys_alternate_stack() {
        let server = Arc::new(registers::server());
        let route = Arc::clone(&server);
        std::thread::spawn(move || {
            let before = registered_stack();
            assert_eq!(before.ss_flags, 0, "std registered one");
            assert_kept_by(|| route.route_task());
            let after = registered_stack();
            assert_eq!((after.ss_sp, after.ss_size), (before.ss_sp, before.ss_size));
        })
        .join()
        .expect("the thread went on");
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 100);
    }
}

fn assert_kept_by(route: impl FnOnce()) {
    route();
    assert_kept(100);
}

thread_local! {
    static LOCAL_AT: Cell<usize> = const { Cell::new(0) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

extern "C" fn note_stack(_: i32) {
    let local = 0_u8;
    LOCAL_AT.set(core::ptr::from_ref(&local) as usize);
}

extern "C" fn fault_in_handler(_: i32) {
    let local = 0_u8;
    LOCAL_AT.set(core::ptr::from_ref(&local) as usize);
    assert_kept(3);
}

extern "C" fn fault_and_nest(signal: i32) {
    assert_kept(2);
    if DEPTH.replace(DEPTH.get() + 1) < 2 {
        raise(signal);
    }
    assert_kept(2);
}

fn raise(signal: i32) {
    // SAFETY: the handler is installed.
    let outcome = unsafe { libc::pthread_kill(libc::pthread_self(), signal) };
    assert_eq!(outcome, 0);
}

isolated! {
    /// R4 (1), with the thread registered and not.
    fn r4_an_owners_alternate_stack_stays_registered() {
        install(libc::SIGUSR1, note_stack as *const (), libc::SA_ONSTACK, &[]);
        let server = Arc::new(registers::server());
        server.route_task();
        for registered in [false, true] {
            let route = Arc::clone(&server);
            on_raw_thread(move || {
                let own = OwnStack::register(0);
                if registered {
                    route.route_thread();
                }
                for _ in 0..100 {
                    assert_kept(1);
                    own.assert_registered();
                }
                raise(libc::SIGUSR1);
                assert!(own.contains(LOCAL_AT.get()), "the handler ran on another stack");
            });
        }
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 200);
    }
}

isolated! {
    /// Linux's `SS_AUTODISARM`, where the system has it.
    fn a_stack_that_disarms_itself_is_armed_again() {
        const AUTODISARM: i32 = 1 << 31;
        // SAFETY: asks for a stack that is no stack, so that nothing is registered.
        let known = unsafe {
            let stack = libc::stack_t {
                ss_sp: core::ptr::null_mut(),
                ss_flags: AUTODISARM,
                ss_size: 0,
            };
            libc::sigaltstack(&stack, core::ptr::null_mut());
            *libc::__errno_location() != libc::EINVAL
        };
        if !known {
            return report_skipped(test_name!(a_stack_that_disarms_itself_is_armed_again), "this system has no SS_AUTODISARM");
        }
        let server = registers::server();
        server.route_task();
        on_raw_thread(|| {
            let own = OwnStack::register(AUTODISARM);
            assert_kept(50);
            own.assert_registered();
            assert_ne!(registered_stack().ss_flags & AUTODISARM, 0);
        });
        assert_eq!(server.stop(), 50);
    }
}

isolated! {
    fn an_applications_handler_faults_on_its_own_alternate_stack() {
        install(libc::SIGUSR1, fault_in_handler as *const (), libc::SA_ONSTACK, &[]);
        let server = registers::server();
        server.route_task();
        on_raw_thread(|| {
            let own = OwnStack::register(0);
            for _ in 0..20 {
                raise(libc::SIGUSR1);
                assert!(own.contains(LOCAL_AT.get()));
                own.assert_registered();
                assert_kept(1);
            }
        });
        assert_eq!(server.stop(), 80);
    }
}

isolated! {
    fn an_applications_handler_faults_on_the_lent_alternate_stack() {
        install(libc::SIGUSR1, fault_in_handler as *const (), libc::SA_ONSTACK, &[]);
        let server = registers::server();
        server.route_task();
        on_raw_thread(|| {
            assert_kept(1);
            let lent = registered_stack();
            for _ in 0..20 {
                raise(libc::SIGUSR1);
                assert!(LOCAL_AT.get().wrapping_sub(lent.ss_sp as usize) < lent.ss_size);
                assert_kept(1);
            }
            assert_eq!(registered_stack().ss_sp, lent.ss_sp);
        });
        assert_eq!(server.stop(), 81);
    }
}

isolated! {
    fn an_applications_handler_faults_on_no_alternate_stack() {
        install(libc::SIGUSR1, fault_in_handler as *const (), 0, &[]);
        let server = registers::server();
        server.route_task();
        on_raw_thread(|| {
            for _ in 0..20 {
                raise(libc::SIGUSR1);
                assert_kept(1);
            }
        });
        assert_eq!(server.stop(), 80);
    }
}

isolated! {
    fn handlers_that_fault_nest() {
        let flags = libc::SA_ONSTACK | libc::SA_NODEFER;
        install(libc::SIGUSR1, fault_and_nest as *const (), flags, &[]);
        let server = registers::server();
        server.route_task();
        on_raw_thread(|| {
            let own = OwnStack::register(0);
            raise(libc::SIGUSR1);
            own.assert_registered();
            assert_kept(1);
        });
        assert_eq!(server.stop(), 13);
    }
}

static IN_DESTRUCTORS: AtomicUsize = AtomicUsize::new(0);
static KEY: AtomicUsize = AtomicUsize::new(0);

/// Faults in every pass of the destructors there is.
unsafe extern "C" fn destructor(passes: *mut libc::c_void) {
    assert_kept(2);
    IN_DESTRUCTORS.fetch_add(1, Ordering::Relaxed);
    let next = core::ptr::without_provenance(passes as usize + 1);
    // SAFETY: the key was made before the thread.
    unsafe { libc::pthread_setspecific(KEY.load(Ordering::Relaxed) as libc::pthread_key_t, next) };
}

/// Threads whose destructors fault: `early` keys are made before the emulation's own, others after it.
fn destructors(early: bool) {
    let make_key = || {
        let mut key = 0;
        // SAFETY: the key goes to a local variable; the destructor lives as long as the program.
        let outcome = unsafe { libc::pthread_key_create(&mut key, Some(destructor)) };
        assert_eq!(outcome, 0);
        KEY.store(key as usize, Ordering::Relaxed);
    };
    if early {
        make_key();
    }
    let server = Arc::new(registers::server());
    server.route_task();
    if !early {
        make_key();
    }
    fn arm() {
        let first = core::ptr::without_provenance(1);
        // SAFETY: the key was made before the thread.
        unsafe {
            libc::pthread_setspecific(KEY.load(Ordering::Relaxed) as libc::pthread_key_t, first)
        };
    }
    // Never seen before, registered, with std's alternate stack (which is gone by then), with an owner's.
    on_raw_thread(arm);
    let route = Arc::clone(&server);
    on_raw_thread(move || {
        route.route_thread();
        arm();
    });
    let route = Arc::clone(&server);
    std::thread::spawn(move || {
        route.route_thread();
        arm();
    })
    .join()
    .expect("the thread ended");
    on_raw_thread(|| {
        arm();
        // Never given back: as a thread may end.
        core::mem::forget(OwnStack::register(0));
    });
    assert_eq!(
        IN_DESTRUCTORS.load(Ordering::Relaxed),
        16,
        "four passes, four threads"
    );
    assert_eq!(Arc::into_inner(server).expect("the last").stop(), 32);
}

isolated! {
    /// D2.10, D2.11: exceptions are delivered in each pass.
    fn d2_11_g4_4_faults_in_every_pass_of_destructors_before_the_emulations() {
        destructors(true);
    }
}

isolated! {
    /// D2.10, D2.11: exceptions are delivered in each pass.
    fn d2_11_g4_4_faults_in_every_pass_of_destructors_after_the_emulations() {
        destructors(false);
    }
}

isolated! {
    /// The handler's own stack: 64 KiB, of which a build without optimisation leaves three quarters alone, too.
    fn the_fault_handlers_stack_has_room() {
        const PRIVATE: usize = 64 * 1024;
        let server = registers::server();
        server.route_task();
        on_raw_thread(|| {
            assert_kept(1);
            // The private part lies below the guard of the lent one (and is zero where it was never touched).
            let lent = registered_stack().ss_sp as usize;
            let _own = OwnStack::register(0);
            assert_kept(20);
            // SAFETY: the thread's own slot, which stays as long as the thread, and is not in use now.
            let private = unsafe { core::slice::from_raw_parts((lent - mach_sys::kernel::system::page_size() - PRIVATE) as *const u8, PRIVATE) };
            let untouched = private.iter().take_while(|byte| **byte == 0).count();
            let used = PRIVATE - untouched;
            println!("{used} bytes used");
            assert!(used > 256, "this is the stack");
            // What is left has room for the frames of all signals that may be sent meanwhile.
            assert!(used <= PRIVATE / 4, "{used} bytes used");
        });
        assert_eq!(server.stop(), 21);
    }
}
