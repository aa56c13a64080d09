//! R23: single steps and breakpoints as the first exceptions of a thread.

use crate::support::{OwnStack, isolated, on_raw_thread};
use mach_sys::thread_state::{NativeState, Registers};
use port_server::{Fault, Server};

/// The faults that a server received, each with the reported pc.
type Seen = Vec<(Fault, u64)>;

/// Runs `body` as the first thing that the kernel hears of a thread — a raw one, one with an owner's alternate stack, one of
/// std's — and as a registered one; returns what was reported for each.
fn as_first_exception(answer: fn(Fault, &mut NativeState), body: fn()) -> [Seen; 4] {
    let run = |thread: fn(fn(), &std::sync::Arc<Server<Seen>>), body: fn()| {
        let server = std::sync::Arc::new(Server::start(
            Vec::new(),
            move |seen: &mut Seen, fault, state: &mut NativeState| {
                seen.push((fault, state.pc()));
                answer(fault, state);
                true
            },
        ));
        server.route_task();
        thread(body, &server);
        std::sync::Arc::into_inner(server).expect("the last").stop()
    };
    [
        run(|body, _| on_raw_thread(body), body),
        run(
            |body, _| {
                on_raw_thread(move || {
                    let own = OwnStack::register(0);
                    body();
                    own.assert_registered();
                });
            },
            body,
        ),
        run(
            |body, _| std::thread::spawn(body).join().expect("the thread went on"),
            body,
        ),
        run(
            |body, server| {
                let server = std::sync::Arc::clone(server);
                on_raw_thread(move || {
                    server.route_thread();
                    body();
                });
            },
            body,
        ),
    ]
}

isolated! {
    fn r23_a_breakpoint_as_first_exception() {
        use crate::faults::Kind;
        let seen = as_first_exception(
            |fault, state| crate::faults::skip(fault.exception, state),
            || Kind::Break.raise(),
        );
        for seen in seen {
            let [(fault, pc)] = seen[..] else {
                panic!("one report: {seen:?}");
            };
            // A12.10, A12.11
            let codes = if cfg!(target_arch = "x86_64") {
                [2, 0]
            } else {
                [1, pc as i64]
            };
            assert_eq!((fault.exception, fault.codes), (6, codes));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{as_first_exception, isolated, on_raw_thread};
    use crate::support::install;
    use mach_sys::rights::{Right, ThreadRight};
    use mach_sys::thread_state::{NativeState, Registers};
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    core::arch::global_asm!(
        ".globl test_step",
        "test_step:",
        "pushfq",
        "or qword ptr [rsp], 0x100",
        "popfq",
        ".globl test_step_first",
        "test_step_first:",
        "nop",
        "nop",
        "nop",
        "nop",
        ".globl test_step_end",
        "test_step_end:",
        "nop",
        "ret",
    );

    unsafe extern "C" {
        fn test_step();
        fn test_step_first();
        fn test_step_end();
    }

    fn first() -> u64 {
        test_step_first as *const () as u64
    }

    fn end() -> u64 {
        test_step_end as *const () as u64
    }

    fn clear_trap_flag(state: &mut NativeState) {
        state.rflags &= !0x100;
    }

    fn step() {
        // SAFETY: the server clears the flag in the end.
        unsafe { test_step() };
    }

    isolated! {
        fn r23_a_single_step_is_reported_once_when_the_flag_is_cleared() {
            let seen = as_first_exception(|_, state| clear_trap_flag(state), step);
            for seen in seen {
                let [(fault, pc)] = seen[..] else {
                    panic!("one report: {seen:?}");
                };
                assert_eq!((fault.exception, fault.codes), (6, [1, 0]));
                assert_eq!(pc, first() + 1, "after exactly one instruction");
            }
        }
    }

    isolated! {
        fn r23_g1_10_a_single_step_is_reported_after_each_instruction_while_the_flag_is_kept() {
            let seen = as_first_exception(
                |_, state| {
                    if state.pc() == end() {
                        clear_trap_flag(state);
                    }
                },
                step,
            );
            for seen in seen {
                let at: Vec<u64> = seen.iter().map(|(_, pc)| pc - first()).collect();
                assert_eq!(at, [1, 2, 3, 4]);
            }
        }
    }

    isolated! {
        /// `int $4`: the gate is open, and pc behind it.
        fn r23_an_overflow_trap_as_first_exception() {
            let seen = as_first_exception(
                |_, _| {},
                || {
                    // SAFETY: the trap leaves pc behind the instruction; the server changes nothing.
                    unsafe { core::arch::asm!("int 4") };
                },
            );
            for seen in seen {
                let [(fault, _)] = seen[..] else {
                    panic!("one report: {seen:?}");
                };
                assert_eq!((fault.exception, fault.codes), (3, [2, 0]));
            }
        }
    }

    static AT: AtomicUsize = AtomicUsize::new(0);
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    static SEEN: AtomicU32 = AtomicU32::new(0);

    /// Makes a kernel call after so many steps, and ends the stepping.
    extern "C" fn previous(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
        if STEPS.fetch_add(1, Ordering::SeqCst) == AT.load(Ordering::SeqCst) {
            // SAFETY: the kernel's context.
            unsafe { (*uc).uc_mcontext.gregs[libc::REG_EFL as usize] &= !0x100 };
            let thread = ThreadRight::current().expect("the own thread");
            SEEN.store(thread.name().raw(), Ordering::SeqCst);
        }
    }

    isolated! {
        /// A sample of the instructions of a first kernel call that are outside the kernel.
        fn d1_1_a_thread_has_one_name_though_a_handler_interrupts_its_first_call_with_another() {
            let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            install(libc::SIGTRAP, previous as *const (), flags, &[]);
            mach_sys::emulated::start().expect("started");
            for at in (0..).step_by(1999) {
                AT.store(at, Ordering::SeqCst);
                STEPS.store(0, Ordering::SeqCst);
                on_raw_thread(move || {
                    // SAFETY: the flag is cleared by the handler, or below; the stack below is not used by anything.
                    unsafe {
                        core::arch::asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq");
                    }
                    let thread = ThreadRight::current();
                    // SAFETY: as above.
                    unsafe {
                        core::arch::asm!("pushfq", "and dword ptr [rsp], ~0x100", "popfq");
                    }
                    let name = thread.expect("the own thread").name().raw();
                    let again = ThreadRight::current().expect("the own thread");
                    assert_eq!(again.name().raw(), name, "after {at} steps");
                    if STEPS.load(Ordering::SeqCst) > at {
                        assert_eq!(SEEN.load(Ordering::SeqCst), name, "after {at} steps");
                    }
                });
                if STEPS.load(Ordering::SeqCst) <= at {
                    return;
                }
            }
        }
    }

    static REFUSED: AtomicUsize = AtomicUsize::new(0);

    /// Makes two kernel calls in the middle of the start, and ends the stepping: the C library starts threads with all signals blocked.
    extern "C" fn call_twice(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
        if STEPS.fetch_add(1, Ordering::SeqCst) == 3000 {
            // SAFETY: the kernel's context.
            unsafe { (*uc).uc_mcontext.gregs[libc::REG_EFL as usize] &= !0x100 };
            for _ in 0..2 {
                let refused = ThreadRight::current().is_err();
                REFUSED.fetch_add(usize::from(refused), Ordering::SeqCst);
            }
        }
    }

    isolated! {
        /// The five are not blocked while the emulation is started.
        fn a_handler_that_interrupts_the_start_on_the_same_thread_gets_an_error_and_does_not_wait() {
            let flags = libc::SA_SIGINFO;
            install(libc::SIGTRAP, call_twice as *const (), flags, &[]);
            // SAFETY: the flag is cleared by the handler; the stack below is not used by anything.
            unsafe {
                core::arch::asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq");
            }
            mach_sys::emulated::start().expect("started");
            assert_eq!(REFUSED.load(Ordering::SeqCst), 2);
            let _thread = ThreadRight::current().expect("the own thread");
        }
    }
}
