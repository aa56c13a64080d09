//! Joins that fail, and builders with senseless values.
#![allow(unsafe_code)]

mod support;

use core::time::Duration;
use exc_server::PanicPolicy;
use mach_sys::exception::ExceptionMask;
use std::sync::mpsc;
use support::{builder, isolated, reporting};
use test_support::instructions::undefined;
use test_support::wait::wait_for;
use thread_mgr::{BuildError, Handle, JoinError, Manager, SpawnError};

const LONG: Duration = Duration::from_secs(20);
/// A stack size larger than the C library keeps for the next thread.
const STACK: usize = 256 << 20;

/// Starts threads that join each other in a circle, and returns the results of their joins.
fn circle(manager: &Manager, size: usize) -> Vec<Result<(), JoinError>> {
    type Next = Handle<()>;
    let (done, results) = mpsc::channel();
    let (senders, handles): (Vec<_>, Vec<_>) = (0..size)
        .map(|_| {
            let (send, receive) = mpsc::channel::<Next>();
            let done = done.clone();
            let handle = manager
                .thread()
                .stack_size(STACK)
                .spawn(move || {
                    let next = receive.recv().expect("the next one's handle");
                    done.send(next.join().map(|_| ())).expect("a receiver");
                })
                .expect("a thread");
            (send, handle)
        })
        .unzip();
    let mut next = handles;
    next.rotate_left(1);
    for (send, handle) in senders.iter().zip(next) {
        send.send(handle).expect("a receiver");
    }
    (0..size)
        .map(|_| results.recv_timeout(LONG).expect("no join waits forever"))
        .collect()
}

/// Returns the size of the address space; 0 if the host has no such file.
fn address_space() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').next().and_then(|field| field.parse().ok());
    pages.unwrap_or(0) * mach_sys::kernel::system::page_size() as u64
}

#[test]
fn of_threads_that_join_in_a_circle_one_is_told_and_none_stays_joinable() {
    isolated(
        "of_threads_that_join_in_a_circle_one_is_told_and_none_stays_joinable",
        || {
            let manager = reporting();
            let mut before = None;
            for round in 0..40 {
                let size = 2 + round % 3;
                let results = circle(&manager, size);
                let told = results
                    .iter()
                    .filter(|result| matches!(result, Err(JoinError::Deadlock)))
                    .count();
                assert_eq!(told, 1, "{results:?}");
                assert_eq!(
                    results.iter().filter(|result| result.is_ok()).count(),
                    size - 1
                );
                if round == 9 {
                    before = Some(address_space());
                }
            }
            // A thread that stayed joinable would keep its stack, one a round. The allocator may reserve some memory for new threads.
            let before = before.expect("ten rounds");
            if before == 0 {
                isolated::report_partly(
                    "of_threads_that_join_in_a_circle_one_is_told_and_none_stays_joinable",
                    "the system does not tell its address space, by which stacks are counted",
                );
            }
            wait_for("the stacks' address space", || {
                address_space() <= before + 10 * STACK as u64
            });
        },
    );
}

#[test]
fn any_stack_size_and_any_name_start_a_thread_or_are_refused() {
    isolated(
        "any_stack_size_and_any_name_start_a_thread_or_are_refused",
        || {
            let manager = reporting();
            for size in [0, 1, 4095, 16 << 10, 100_001, 1 << 20] {
                let handle = manager.thread().stack_size(size).spawn(|| {
                    undefined();
                    7
                });
                let ended = handle.expect("a thread").join().expect("a thread");
                assert_eq!(ended.exit.returned(), Some(7), "{size}");
            }
            for size in [usize::MAX, usize::MAX - 4095, isize::MAX as usize, 1 << 62] {
                let refused = manager.thread().stack_size(size).spawn(|| ());
                assert!(
                    matches!(
                        refused,
                        Err(SpawnError::StackSize { .. } | SpawnError::Create(_))
                    ),
                    "{size:#x}"
                );
            }
            let long = "x".repeat(1 << 20);
            for name in ["", "a\0b", "\0", "\u{fffd}\u{1f980}", &long] {
                let named = manager.thread().name(name).spawn(|| ()).expect("a thread");
                let _ended = named.join().expect("a thread");
            }
            assert!(manager.threads().is_empty());
        },
    );
}

#[test]
fn any_manager_is_built_or_refused() {
    isolated("any_manager_is_built_or_refused", || {
        for limit in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let manager = builder()
                .drain_timeout(limit.into())
                .build()
                .expect("a manager");
            let handle = manager.spawn(undefined).expect("a thread");
            let _ended = handle.join().expect("a thread");
        }
        for mask in [
            ExceptionMask::empty(),
            ExceptionMask::EMULATION,
            ExceptionMask::CRASH,
        ] {
            let refused = builder().mask(mask).build();
            assert!(
                matches!(refused, Err(BuildError::ReturnTrap { .. })),
                "{mask}"
            );
        }
        // The kernel decides on each bit; if it refuses one, each thread's start or attachment fails.
        let all = builder()
            .mask(ExceptionMask::from_bits_retain(u32::MAX))
            .build();
        if let Ok(manager) = all {
            assert!(matches!(manager.spawn(|| ()), Err(SpawnError::Attach(_))));
            assert!(manager.attach().is_err());
        }
        for policy in [PanicPolicy::Decline, PanicPolicy::Abort] {
            let _manager = builder()
                .on_panic(policy)
                .only_if(|_| true)
                .build()
                .expect("a manager");
        }
    });
}
