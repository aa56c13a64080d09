//! The same redirects served as they are meant to be: by another thread, over an exception port.

use core::sync::atomic::Ordering::Relaxed;

use signal_redirect::Redirect;

use crate::child::in_child;
use crate::handlers::*;
use crate::machine::{self, Registers};
use crate::port_server::{self, Served};
use crate::{plan, server};

fn with_server(plan: &Redirect, body: impl FnOnce() + Send) -> Served {
    port_server::with_server(plan, &server::trampoline(), body)
}

#[test]
fn every_register_survives_a_redirect_over_a_port() {
    in_child(
        "ports::every_register_survives_a_redirect_over_a_port",
        || {
            let served = with_server(&plan(trashing_handler), || {
                for seed in 0..200 {
                    let given = Registers::patterned(seed);
                    given.assert_same(&machine::run(&given));
                }
            });
            assert_eq!((served.redirects, served.returns), (200, 200));
        },
    );
}

#[test]
fn nested_redirects_over_a_port() {
    in_child("ports::nested_redirects_over_a_port", || {
        let served = with_server(&plan(nesting_handler), || {
            let given = Registers::patterned(1);
            given.assert_same(&machine::run(&given));
        });
        assert_eq!(
            (served.redirects, served.returns),
            (1 + NESTING, 1 + NESTING)
        );
        assert_eq!(served.deepest as usize, NESTING);
    });
}

#[test]
fn edits_and_the_floating_point_environment_over_a_port() {
    in_child(
        "ports::edits_and_the_floating_point_environment_over_a_port",
        || {
            with_server(&plan(editing_handler), || {
                let given = Registers::patterned(4);
                given.with_edits().assert_same(&machine::run(&given));
            });
            with_server(&plan(computing_handler), || {
                for seed in 0..6 {
                    let given = Registers::hostile_environment(seed);
                    given.assert_same(&machine::run(&given));
                }
            });
        },
    );
}

/// Pages of the test's own that nothing may touch.
fn guard() -> (u64, u64) {
    let size = 1 << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, given to nobody.
    let base = unsafe { libc::mmap(core::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    (base as u64, size as u64)
}

/// The server writes to a stack that is none, and does not fault: the thread goes to its emergency stack.
#[test]
fn bad_stack_pointers_over_a_port() {
    in_child("ports::bad_stack_pointers_over_a_port", || {
        let mut stack = vec![0u8; 64 * 1024];
        let base = stack.as_mut_ptr() as u64;
        let emergency = base..base + stack.len() as u64;
        let (guard, size) = guard();
        let plan = plan(stack_mending_handler).emergency(emergency.clone());
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
        let served = with_server(&plan, || {
            for (seed, sp) in pointers.into_iter().enumerate() {
                let given = Registers::patterned(seed as u64);
                given.assert_same(&machine::run_with_stack_pointer(&given, sp));
                assert_eq!(SEEN_SP.load(Relaxed), sp);
                assert!(emergency.contains(&LOCAL.load(Relaxed)));
            }
        });
        assert_eq!(served.returns, pointers.len());
    });
}
