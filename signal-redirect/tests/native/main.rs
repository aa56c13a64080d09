//! The trampoline on real faults, served over an exception port of either kernel: Apple's or the emulated one.
//!
//! Each test runs in a process of its own. Only the tests of `signal_frame` are Linux's: they read its signal frames.

#[cfg(target_arch = "aarch64")]
#[path = "arm64.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod machine;

mod accesses;
#[cfg(target_arch = "aarch64")]
mod arm64_vectors;
mod child;
#[cfg(target_arch = "x86_64")]
mod direct;
mod handlers;
mod host;
mod own_memory;
mod patterns;
#[path = "../common/redirects.rs"]
mod redirects;
mod server;
mod signal_frame;
#[cfg(target_arch = "x86_64")]
mod x86_traps;

use child::in_child;
use core::sync::atomic::Ordering::Relaxed;
use handlers::*;
use mach_sys::kernel::system;
use mach_sys::thread_state::Registers as _;
use machine::Registers;
use redirects::TAG;
use signal_redirect::{Entry, Redirect};

/// Every register of the machine is restored after a handler that overwrote all of them.
#[test]
fn every_register_survives_a_handler_that_trashes_them() {
    in_child(
        "every_register_survives_a_handler_that_trashes_them",
        || {
            for seed in 0..50 {
                let given = Registers::patterned(seed);
                serve(trashing_handler);
                let found = machine::run(&given);
                given.assert_same(&found);
                assert_eq!(CALLS.load(Relaxed), seed as usize + 1);
            }
        },
    );
}

/// R19: vector registers in their initial state are restored, with an unusual MXCSR or FPCR.
#[test]
fn r19_registers_in_their_initial_state_come_back() {
    in_child("r19_registers_in_their_initial_state_come_back", || {
        for control in machine::CONTROL_WORDS {
            let given = Registers::initial(*control);
            serve(trashing_handler);
            given.assert_same(&machine::run(&given));
        }
    });
}

/// The handler sees what XNU would show it, in Darwin's numbers and layout.
#[test]
fn the_handler_sees_the_signal_the_address_and_the_registers() {
    in_child(
        "the_handler_sees_the_signal_the_address_and_the_registers",
        || {
            let given = Registers::patterned(3);
            serve(observing_handler);
            machine::run(&given);
            let seen = seen();
            assert_eq!(seen.signal, 4, "SIGILL");
            assert_eq!(seen.info.si_signo, 4);
            assert_eq!(seen.info.si_code, machine::ILL_CODE);
            assert_eq!(seen.info.si_addr, machine::fault_site());
            assert_eq!(seen.state.pc(), machine::fault_site());
            given.assert_general(&seen.state);
            given.assert_float(&seen.float);
            assert_eq!(seen.tag, TAG);
        },
    );
}

/// The bytes of the machine context that belong to no register are zero, whatever was on the stack before.
#[test]
fn reserved_parts_of_the_machine_context_are_zero() {
    in_child("reserved_parts_of_the_machine_context_are_zero", || {
        let mut stack = vec![0u8; 64 * 1024];
        let base = stack.as_mut_ptr() as u64;
        let end = base + stack.len() as u64;
        let alternate = signal_redirect::Stack::Alternate(base..end);
        let supplied = Registers::patterned(77).float();
        let plans = [
            plan(copying_handler).stack(alternate.clone()),
            plan(copying_handler).stack(alternate).float_state(supplied),
        ];
        for plan in plans {
            stack.fill(0xa5);
            server::serve_with(plan);
            machine::run(&Registers::patterned(3));
            let context = copied_context();
            let reserved = machine::reserved(context.len());
            assert!(!reserved.is_empty());
            for at in reserved {
                assert_eq!(context[at], 0, "byte {at}");
            }
        }
    });
}

/// Edits of the machine context take effect: of a general register, of vector registers, and of the floating-point control word.
#[test]
fn edits_arrive_and_nothing_else_changes() {
    in_child("edits_arrive_and_nothing_else_changes", || {
        let given = Registers::patterned(9);
        serve(editing_handler);
        let found = machine::run(&given);
        given.with_edits().assert_same(&found);
    });
}

/// The handler sees the vector registers that the server supplies, and the thread resumes with them.
#[test]
fn vector_registers_from_the_server_replace_the_interrupted_ones() {
    in_child(
        "vector_registers_from_the_server_replace_the_interrupted_ones",
        || {
            let given = Registers::patterned(5);
            let supplied = Registers::patterned(77);
            server::serve_with(plan(observing_handler).float_state(supplied.float()));
            let found = machine::run(&given);
            supplied.assert_float(&seen().float);
            given.with_float_of(&supplied).assert_same(&found);
        },
    );
}

/// R18: the handler starts in the default floating-point environment, whatever that of the interrupted code is.
#[test]
fn r18_the_handler_starts_in_the_default_floating_point_environment() {
    in_child(
        "r18_the_handler_starts_in_the_default_floating_point_environment",
        || {
            for seed in 0..20 {
                let given = Registers::hostile_environment(seed);
                serve(computing_handler);
                let found = machine::run(&given);
                given.assert_same(&found);
            }
            assert_eq!(CALLS.load(Relaxed), 20);
        },
    );
}

/// A handler that faults is redirected too, to any depth, and each level resumes with its own registers.
#[test]
fn faults_inside_handlers_nest() {
    in_child("faults_inside_handlers_nest", || {
        for seed in 0..5 {
            let given = Registers::patterned(seed);
            serve(nesting_handler);
            given.assert_same(&machine::run(&given));
        }
        assert_eq!(CALLS.load(Relaxed), 5 * (1 + NESTING));
        assert_eq!(server::returns(), 5 * (1 + NESTING));
        let deepest = server::with_served(|served| served.deepest);
        assert_eq!(deepest as usize, NESTING);
    });
}

/// R17: the interrupted code's `errno` is restored after a handler that changes it.
#[test]
fn r17_errno_is_the_interrupted_codes_after_the_handler() {
    in_child(
        "r17_errno_is_the_interrupted_codes_after_the_handler",
        || {
            let errno = system::errno_address();
            server::serve_with(plan(errno_handler).errno_at(Some(errno as u64)));
            for value in [0, 77, i32::MAX] {
                let own = errno as *mut i32;
                // SAFETY: the address is that of this thread's errno.
                unsafe { own.write(value) };
                let given = Registers::patterned(1);
                given.assert_same(&machine::run(&given));
                // SAFETY: as above.
                assert_eq!(unsafe { own.read() }, value);
            }
            assert_eq!(CALLS.load(Relaxed), 3);
        },
    );
}

/// Returns the address and size of new pages without access.
fn guard() -> (u64, u64) {
    let size = 1 << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, which nothing else uses.
    let base = unsafe { libc::mmap(core::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    (base as u64, size as u64)
}

/// With a bad stack pointer the server does not fault, and the handler runs on the emergency stack and repairs the stack pointer.
#[test]
fn a_bad_stack_pointer_is_served_on_the_emergency_stack() {
    in_child(
        "a_bad_stack_pointer_is_served_on_the_emergency_stack",
        || {
            let mut stack = vec![0u8; 64 * 1024];
            let base = stack.as_mut_ptr() as u64;
            let emergency = base..base + stack.len() as u64;
            server::serve_with(plan(stack_repairing_handler).emergency(emergency.clone()));
            let (guard, size) = guard();
            let pointers = [
                0,
                64,
                0x1000,
                guard + size / 2,
                guard + 256,
                1 << 46,
                1 << 60,
                !15,
            ];
            for (seed, sp) in pointers.into_iter().enumerate() {
                let given = Registers::patterned(seed as u64);
                given.assert_same(&machine::run_with_stack_pointer(&given, sp));
                assert_eq!(SEEN_SP.load(Relaxed), sp);
                assert!(emergency.contains(&LOCAL.load(Relaxed)));
            }
            assert_eq!(server::returns(), pointers.len());
            // The record says that the thread is on that stack until it has left it.
            assert_eq!(server::innermost().returned_directly(), 0, "by the trap");
        },
    );
}

/// The trampoline's unwind information leads from the handler to the interrupted instruction, with the callee-saved registers, and on
/// to its callers.
#[test]
fn a_backtrace_crosses_from_the_handler_to_the_interrupted_function() {
    in_child(
        "a_backtrace_crosses_from_the_handler_to_the_interrupted_function",
        || {
            for seed in 0..3 {
                serve(tracing_handler);
                let given = Registers::patterned(seed);
                given.assert_same(&machine::run(&given));
                let Trace { pcs, saved, .. } = trace();
                let at = pcs.iter().position(|pc| *pc == machine::fault_site());
                let at =
                    at.unwrap_or_else(|| panic!("no {:#x} in {pcs:#x?}", machine::fault_site()));
                assert!(pcs.len() > at + 2, "goes on to the callers: {pcs:#x?}");
                assert!(machine::is_in_run(pcs[at]));
                assert!(!machine::is_in_run(pcs[at + 1]));
                assert_eq!(saved, given.saved_by_callees());
            }
        },
    );
}

/// S5: the backtrace is right even if the interrupted instruction is the first of its function and another function precedes it.
#[test]
fn s5_a_backtrace_knows_a_function_stopped_at_its_first_instruction() {
    in_child(
        "s5_a_backtrace_knows_a_function_stopped_at_its_first_instruction",
        || {
            serve(tracing_handler);
            let (site, caller) = machine::fault_at_first_instruction();
            let pcs = trace().pcs;
            let at = pcs.iter().position(|pc| *pc == site);
            let at = at.unwrap_or_else(|| panic!("no {site:#x} in {pcs:#x?}"));
            assert!(
                pcs[at + 1].abs_diff(caller) < 0x400,
                "{caller:#x} called it: {pcs:#x?}"
            );
            assert!(pcs.len() > at + 3, "goes on to the callers: {pcs:#x?}");
        },
    );
}

/// A panic in a handler ends the process with a message; it does not unwind into the interrupted function.
#[test]
fn s10_a_panic_out_of_a_handler_aborts() {
    let output = child::exit_status("s10_a_panic_out_of_a_handler_aborts", || {
        serve(panicking_handler);
        machine::run(&Registers::patterned(1));
    });
    if let Some((status, text)) = output {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{text}");
        assert!(text.contains("the handler's own panic"), "{text}");
        assert!(text.contains("cannot unwind"), "{text}");
    }
}

fn plan(handler: signal_redirect::SignalHandler) -> Redirect {
    // SAFETY: the handlers of this test use atomics, and allocate only for faults in `machine::run`, which are never inside the
    // allocator.
    let entry = unsafe { Entry::new(handler) };
    let plan = Redirect::to(entry, server::trampoline()).tag(TAG);
    if !child::returns_directly() {
        return plan;
    }
    // SAFETY: the value is static, and the served thread is the only one that is redirected.
    unsafe { plan.return_directly(server::innermost(), &system::capabilities()) }
}

fn serve(handler: signal_redirect::SignalHandler) {
    server::serve_with(plan(handler));
}
