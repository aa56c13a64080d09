//! Memory calls in a sandbox, which refuses the system's calls that they are made of.

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::vm::*;
use test_support::emulator::is_emulated;
use test_support::isolated::{exit_status_with, report_partly, report_skipped};
use test_support::sandbox::refuse;

const DONE: Answer = Ok(());
const NOT_SUPPORTED: Answer = Err(KernReturn::NOT_SUPPORTED);
const ADDRESS: Answer = Err(KernReturn::INVALID_ADDRESS);
const PROTECTION: Answer = Err(KernReturn::PROTECTION_FAILURE);

/// The answers of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answers {
    /// A second view of private memory, and one of memory that has one.
    views: [Answer; 2],
    /// A copy anywhere, and one over other memory.
    copies: [Answer; 2],
    /// The protection of memory, and of memory with a hole.
    protections: [Answer; 2],
}

fn protected(address: u64, size: u64) -> Answer {
    // SAFETY: the memory is the test's.
    answer(unsafe { kernel::mach_vm_protect(task_self(), address, size, 0, VM_PROT_DEFAULT) })
}

fn mapped(source: u64, how: Remap) -> Answer {
    remap(source, how).map(|_| ())
}

fn in_sandbox(test: &str, refused: libc::c_long, expected: Answers) {
    let has_views = !is_emulated();
    let (base, other) = (allocate(3 * PAGE), allocate(PAGE));
    let viewed = allocate(PAGE);
    if has_views {
        assert_eq!(mapped(viewed, ANYWHERE), DONE);
    } else {
        report_partly(test, "the emulator's own threads cannot be stopped");
    }
    release(base + PAGE, PAGE);
    store(base, 1);
    if !refuse(&[refused]) {
        return report_skipped(test, "this system has no filters of system calls");
    }
    let over = Remap {
        at: other,
        flags: VM_FLAGS_OVERWRITE,
        ..COPY
    };
    let found = Answers {
        // First: a mapping may come into the hole.
        protections: [protected(base, PAGE), protected(base, 3 * PAGE)],
        views: match has_views {
            true => [mapped(base, ANYWHERE), mapped(viewed, ANYWHERE)],
            false => expected.views,
        },
        copies: [mapped(base, COPY), mapped(base, over)],
    };
    assert_eq!(found, expected, "{refused}");
    assert_eq!(load(base), 1);
}

#[test]
fn a_call_that_the_system_refuses_part_of_says_so() {
    const CASE: &str = "MACH_TEST_REFUSED";
    const TEST: &str = "refused::a_call_that_the_system_refuses_part_of_says_so";
    let all = Answers {
        views: [DONE; 2],
        copies: [DONE; 2],
        protections: [DONE, ADDRESS],
    };
    let cases = [
        (libc::SYS_getcpu, all),
        (
            libc::SYS_memfd_create,
            Answers {
                views: [NOT_SUPPORTED, DONE],
                ..all
            },
        ),
        (
            libc::SYS_mremap,
            Answers {
                views: [DONE, NOT_SUPPORTED],
                copies: [DONE, NOT_SUPPORTED],
                ..all
            },
        ),
        (
            libc::SYS_openat,
            Answers {
                views: [NOT_SUPPORTED; 2],
                copies: [NOT_SUPPORTED; 2],
                ..all
            },
        ),
        (libc::SYS_msync, all),
        (
            libc::SYS_mprotect,
            Answers {
                copies: [PROTECTION; 2],
                protections: [PROTECTION, ADDRESS],
                ..all
            },
        ),
    ];
    for index in 0..cases.len() {
        // A filter stays: each case has a process of its own, which knows the case by this variable.
        let case = index.to_string();
        let child = exit_status_with(TEST, &[(CASE, &case)], || {
            let case = std::env::var(CASE).expect("set by the parent");
            let (refused, expected) = cases[case.parse::<usize>().expect("a number")];
            in_sandbox(TEST, refused, expected);
        });
        let Some((status, text)) = child else {
            return;
        };
        assert!(
            status.success() && text.contains("1 passed"),
            "{case}: {status}\n{text}"
        );
    }
}
