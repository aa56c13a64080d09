//! The handler installed before the emulation is the host level (G3). A fault that no Mach handler takes goes there, as if
//! the emulation was not there.

use crate::context;
use crate::faults::{ADDRESS, KINDS, Kind, skip};
use crate::registers::assert_kept;
use crate::support::{
    OwnStack, dies, install, is_blocked, isolated, on_raw_thread, registered_stack, succeeds,
    test_name,
};
use mach_sys::kernel::system;
use port_server::Server;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A call of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    signal: i32,
    code: i32,
    address: usize,
    thread: i32,
    local_at: usize,
    signal_blocked: bool,
    other_blocked: bool,
}

/// Handlers run on the faulting thread, which holds this lock nowhere else.
static CALLS: Mutex<Vec<Call>> = Mutex::new(Vec::new());

fn thread_id() -> i32 {
    // SAFETY: no arguments.
    unsafe { libc::gettid() }
}

/// Notes the call, and skips the instruction.
extern "C" fn previous(signal: i32, info: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    let local = 0_u8;
    // SAFETY: the kernel's siginfo.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    CALLS.lock().expect("unpoisoned").push(Call {
        signal,
        code,
        address,
        thread: thread_id(),
        local_at: core::ptr::from_ref(&local) as usize,
        signal_blocked: is_blocked(signal),
        other_blocked: is_blocked(libc::SIGUSR2),
    });
    let kind = KINDS
        .iter()
        .find(|kind| kind.signal() == signal)
        .expect("a kind");
    // SAFETY: the kernel's context.
    unsafe {
        // A panic cannot leave a handler: it ends the process.
        assert!(context::is_in_one_piece(uc));
        context::add_to_pc(uc, kind.skip());
    }
}

fn take_calls() -> Vec<Call> {
    core::mem::take(&mut CALLS.lock().expect("unpoisoned"))
}

fn install_previous(flags: i32, mask: &[i32]) {
    for kind in KINDS {
        install(
            kind.signal(),
            previous as *const (),
            libc::SA_SIGINFO | flags,
            mask,
        );
    }
}

/// Returns a server on the task that handles nothing.
fn unwilling() -> Server<usize> {
    let server = Server::start(0, |asked, _, _| {
        *asked += 1;
        false
    });
    server.route_task();
    server
}

isolated! {
    /// G3.3: the system's own signal. A12.1: the fallback takes every kind of fault.
    fn a12_1_g3_1_the_handler_of_before_gets_the_original_siginfo_on_the_faulting_thread() {
        install_previous(libc::SA_ONSTACK, &[]);
        let server = unwilling();
        on_raw_thread(|| {
            for kind in KINDS {
                kind.raise();
                let [call] = take_calls()[..] else {
                    panic!("one call");
                };
                assert_eq!(call.signal, kind.signal());
                assert_eq!(call.thread, thread_id());
                assert!(call.code > 0, "a fault's own code: {call:?}");
                if *kind == Kind::Access {
                    assert_eq!((call.code, call.address), (1, ADDRESS));
                }
                assert!(call.signal_blocked, "SA_NODEFER was not asked for");
                assert!(!is_blocked(kind.signal()), "given back");
            }
        });
        assert_eq!(server.stop(), KINDS.len());
        assert_eq!(mach_sys::emulated::displaced_signals().count(), 0);
    }
}

/// The thread's alternate signal stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stack {
    Unseen,
    Lent,
    Own,
}

/// Asserts the stack on which the handler ran.
fn assert_place(stack: Stack, flags: i32) {
    let own = (stack == Stack::Own).then(|| OwnStack::register(0));
    if stack == Stack::Lent {
        assert_ne!(system::thread_id(), 0);
        // The first kernel call registers the thread.
        drop(mach_sys::rights::ThreadRight::current());
        assert_eq!(registered_stack().ss_flags, 0);
    }
    let normal = system::stack_bounds().expect("bounds");
    for round in 0..3 {
        // All registers are exact also where the frame had to be moved.
        assert_kept(1);
        let [call] = take_calls()[..] else {
            panic!("one call");
        };
        let on_own = own.as_ref().is_some_and(|own| own.contains(call.local_at));
        let expected = stack == Stack::Own && flags & libc::SA_ONSTACK != 0;
        assert_eq!(on_own, expected, "{stack:?} {flags:#x} {round}");
        assert_eq!(
            normal.contains(&call.local_at),
            !expected,
            "{stack:?} {flags:#x} {round}: {:#x} in {normal:x?}",
            call.local_at
        );
    }
    if let Some(own) = &own {
        own.assert_registered();
    }
}

#[test]
fn a12_8_the_handler_of_before_runs_on_the_stack_it_expects() {
    let name = test_name!(a12_8_the_handler_of_before_runs_on_the_stack_it_expects);
    for stack in [Stack::Unseen, Stack::Lent, Stack::Own] {
        for flags in [0, libc::SA_ONSTACK] {
            succeeds(name, &format!("{stack:?} {flags:#x}"), || {
                install_previous(flags, &[]);
                let server = unwilling();
                on_raw_thread(move || assert_place(stack, flags));
                assert_eq!(server.stop(), 3);
            });
        }
    }
}

isolated! {
    /// On a stack that has no room the handler runs on the alternate stack at hand.
    fn a_handler_of_before_is_reached_with_an_unusable_stack_pointer() {
        install_previous(0, &[]);
        let server = unwilling();
        on_raw_thread(|| {
            drop(mach_sys::rights::ThreadRight::current());
            context::undefined_with_bad_stack_pointer();
            let [call] = take_calls()[..] else {
                panic!("one call");
            };
            let lent = registered_stack();
            assert!(call.local_at.wrapping_sub(lent.ss_sp as usize) < lent.ss_size);
        });
        assert_eq!(server.stop(), 1);
    }
}

isolated! {
    fn sa_mask_and_sa_nodefer_are_honoured() {
        install_previous(libc::SA_NODEFER, &[libc::SIGUSR2]);
        let server = unwilling();
        for own in [false, true] {
            on_raw_thread(move || {
                let _own = own.then(|| OwnStack::register(0));
                for _ in 0..2 {
                    Kind::Undefined.raise();
                    let [call] = take_calls()[..] else {
                        panic!("one call");
                    };
                    assert!(!call.signal_blocked && call.other_blocked, "{call:?}");
                    assert!(!is_blocked(libc::SIGUSR2), "given back");
                }
            });
        }
        assert_eq!(server.stop(), 4);
    }
}

#[test]
fn sa_resethand_is_honoured() {
    let name = test_name!(sa_resethand_is_honoured);
    dies(name, "", libc::SIGILL, || {
        install_previous(libc::SA_RESETHAND, &[]);
        let _server = unwilling();
        on_raw_thread(|| {
            Kind::Undefined.raise();
            assert_eq!(take_calls().len(), 1);
            Kind::Undefined.raise();
            std::process::exit(1);
        });
    });
}

#[test]
fn g3_1_g3_2_by_default_the_process_dies_of_the_original_signal() {
    let name = test_name!(g3_1_g3_2_by_default_the_process_dies_of_the_original_signal);
    for before in [libc::SIG_DFL, libc::SIG_IGN] {
        for kind in KINDS {
            for asked in [false, true] {
                let case = format!("{before} {kind:?} {asked}");
                dies(name, &case, kind.signal(), || {
                    install(kind.signal(), before as *const (), 0, &[]);
                    mach_sys::emulated::start().expect("started");
                    let _server = asked.then(unwilling);
                    on_raw_thread(|| {
                        kind.raise();
                        std::process::exit(1);
                    });
                });
            }
        }
    }
}

static ESCAPES: AtomicUsize = AtomicUsize::new(0);

/// Leaves by a jump, as `siglongjmp` does.
extern "C" fn escape(signal: i32) {
    ESCAPES.fetch_add(1, Ordering::Relaxed);
    // SAFETY: sets are local; the guard that is jumped to is live: only guarded code faults this way.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, core::ptr::null_mut());
        context::escape();
    }
}

extern "C" fn store() {
    Kind::Access.raise();
    unreachable!("the instruction is not skipped");
}

isolated! {
    fn the_handler_of_before_may_jump_out() {
        install(libc::SIGSEGV, escape as *const (), libc::SA_ONSTACK, &[]);
        let server = Server::start((), |(), fault, state| {
            if fault.exception == 2 {
                skip(2, state);
            }
            fault.exception == 2
        });
        server.route_task();
        for own in [false, true] {
            on_raw_thread(move || {
                let own = own.then(|| OwnStack::register(0));
                for _ in 0..20 {
                    assert!(context::guarded(store), "jumped out");
                    if let Some(own) = &own {
                        own.assert_registered();
                    }
                    // Still served, on whatever stack that leaves.
                    assert_kept(2);
                }
            });
        }
        std::thread::spawn(|| {
            for _ in 0..20 {
                assert!(context::guarded(store));
                assert_kept(2);
            }
        })
        .join()
        .expect("the thread went on");
        server.stop();
        assert_eq!(ESCAPES.load(Ordering::Relaxed), 60);
    }
}
