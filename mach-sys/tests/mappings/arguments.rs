//! The answers to arguments that name no memory, or none that a call can have (XNU's `vm_sanitize.c`, `vm_sanitize_error_compat.c`,
//! `vm_user.c`, `vm_map.c`): the first check that fails decides.

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::types::*;
use mach_sys::vm::*;
use test_support::emulator::is_emulated;
use test_support::isolated::{isolated, report_partly, report_skipped};

const NONE: Answer = Ok(());
const ADDRESS: Answer = Err(KernReturn::INVALID_ADDRESS);
const ARGUMENT: Answer = Err(KernReturn::INVALID_ARGUMENT);
const NO_SPACE: Answer = Err(KernReturn::NO_SPACE);

/// The last page that there is an address for, and one that no task has memory at.
const LAST: u64 = !(PAGE - 1);
const HIGH: u64 = 0xffff_8000_0000_0000;
const HALF: u64 = 1 << 63;
/// No bit of a protection.
const NO_BIT: vm_prot_t = 0x100;
/// `VM_PROT_IS_MASK`.
const IS_MASK: vm_prot_t = 0x40;

fn deallocated(address: u64, size: u64) -> Answer {
    // SAFETY: what is mapped there is the test's, or nothing.
    answer(unsafe { kernel::mach_vm_deallocate(task_self(), address, size) })
}

fn protected(address: u64, size: u64, protection: vm_prot_t) -> Answer {
    // SAFETY: what is mapped there is the test's, or nothing.
    answer(unsafe { kernel::mach_vm_protect(task_self(), address, size, 0, protection) })
}

/// Allocates, and releases what there is.
fn allocated(mut address: u64, size: u64, flags: i32) -> Answer {
    // SAFETY: the result goes to a local variable.
    answer(unsafe { kernel::mach_vm_allocate(task_self(), &mut address, size, flags) })?;
    deallocated(address, size)
}

/// Maps, and releases what there is.
fn mapped(mut address: u64, size: u64, flags: i32, protections: [vm_prot_t; 2]) -> Answer {
    let [current, maximum] = protections;
    let inheritance = VM_INHERIT_COPY;
    // SAFETY: the result goes to a local variable; what is replaced is the test's, or nothing.
    answer(unsafe {
        kernel::mach_vm_map(
            task_self(),
            &mut address,
            size,
            0,
            flags,
            MACH_PORT_NULL,
            0,
            0,
            current,
            maximum,
            inheritance,
        )
    })?;
    deallocated(address, size)
}

/// Maps a second time or copies, and releases what there is.
fn remapped(source: u64, size: u64, at: u64, flags: i32, copy: boolean_t) -> Answer {
    let how = Remap {
        at,
        size,
        flags,
        copy,
        ..ANYWHERE
    };
    let (address, ..) = remap(source, how)?;
    deallocated(address, size)
}

fn read(address: u64, size: u64) -> Answer {
    let (mut data, mut count) = (0, 0);
    // SAFETY: the results go to local variables.
    answer(unsafe { kernel::mach_vm_read(task_self(), address, size, &mut data, &mut count) })?;
    deallocated(data, u64::from(count))
}

fn copied(source: u64, size: u64, destination: u64) -> Answer {
    // SAFETY: what is there is the test's, or nothing.
    answer(unsafe { kernel::mach_vm_copy(task_self(), source, size, destination) })
}

#[test]
fn each_range_that_is_none_has_its_error() {
    const FIXED: i32 = VM_FLAGS_FIXED;
    const ANY: i32 = VM_FLAGS_ANYWHERE;
    const OVER: i32 = VM_FLAGS_OVERWRITE;
    const RW: [vm_prot_t; 2] = [VM_PROT_DEFAULT, VM_PROT_ALL];
    // No other thread may take the addresses meanwhile.
    isolated("arguments::each_range_that_is_none_has_its_error", || {
        let base = allocate(PAGE);
        let free = allocate(PAGE);
        release(free, PAGE);
        let cases = [
            ("deallocate: no bytes", deallocated(1, 0), NONE),
            ("deallocate: free", deallocated(free, PAGE), NONE),
            ("deallocate: beyond all", deallocated(HIGH, PAGE), NONE),
            ("deallocate: wraps", deallocated(LAST, PAGE + 1), ARGUMENT),
            ("deallocate: to the end", deallocated(LAST, PAGE), ARGUMENT),
            ("deallocate: rounded", deallocated(LAST, PAGE - 1), ARGUMENT),
            ("deallocate: all", deallocated(base, u64::MAX), ARGUMENT),
            ("protect: no bytes", protected(8, 0, VM_PROT_READ), NONE),
            ("protect: no bytes, no bit", protected(8, 0, NO_BIT), NONE),
            ("protect: no bit", protected(base, PAGE, NO_BIT), ARGUMENT),
            (
                "protect: no bit, free",
                protected(free, PAGE, NO_BIT),
                ARGUMENT,
            ),
            (
                "protect: free",
                protected(free, PAGE, VM_PROT_READ),
                ADDRESS,
            ),
            (
                "protect: beyond all",
                protected(HIGH, PAGE, VM_PROT_READ),
                ADDRESS,
            ),
            (
                "protect: wraps",
                protected(LAST, 2 * PAGE, VM_PROT_READ),
                ARGUMENT,
            ),
            (
                "protect: all",
                protected(base, u64::MAX, VM_PROT_READ),
                ARGUMENT,
            ),
            ("allocate: no bytes", allocated(8, 0, FIXED), NONE),
            ("allocate: null", allocated(0, PAGE, FIXED), ADDRESS),
            ("allocate: first page", allocated(8, PAGE, FIXED), ADDRESS),
            ("allocate: second", allocated(4096, 4096, FIXED), ADDRESS),
            ("allocate: taken", allocated(base, PAGE, FIXED), NO_SPACE),
            (
                "allocate: taken, in it",
                allocated(base + 7, 1, FIXED),
                NO_SPACE,
            ),
            (
                "allocate: beyond all",
                allocated(HIGH, PAGE, FIXED),
                ADDRESS,
            ),
            ("allocate: wraps", allocated(LAST, 2 * PAGE, FIXED), ADDRESS),
            (
                "allocate: to the end",
                allocated(LAST, PAGE, FIXED),
                ADDRESS,
            ),
            (
                "allocate: rounds to 0",
                allocated(base, u64::MAX, FIXED),
                ARGUMENT,
            ),
            (
                "allocate: anywhere, rounds to 0",
                allocated(0, u64::MAX, ANY),
                ARGUMENT,
            ),
            ("allocate: half", allocated(base, HALF, FIXED), ADDRESS),
            (
                "allocate: anywhere, half",
                allocated(0, HALF, ANY),
                NO_SPACE,
            ),
            ("allocate: no flag", allocated(0, PAGE, 1 << 9), ARGUMENT),
            (
                "allocate: no flag, no bytes",
                allocated(0, 0, 1 << 9),
                ARGUMENT,
            ),
            ("map: no bytes", mapped(base, 0, ANY, RW), ARGUMENT),
            ("map: null", mapped(0, PAGE, FIXED, RW), ADDRESS),
            ("map: over null", mapped(0, PAGE, OVER, RW), ADDRESS),
            ("map: taken", mapped(base, PAGE, FIXED, RW), NO_SPACE),
            ("map: beyond all", mapped(HIGH, PAGE, FIXED, RW), ADDRESS),
            (
                "map: over beyond all",
                mapped(HIGH, PAGE, OVER, RW),
                ADDRESS,
            ),
            ("map: wraps", mapped(LAST, 2 * PAGE, FIXED, RW), ARGUMENT),
            (
                "map: over, wraps",
                mapped(LAST, 2 * PAGE, OVER, RW),
                ARGUMENT,
            ),
            (
                "map: anywhere, wraps",
                mapped(LAST, 2 * PAGE, ANY, RW),
                NO_SPACE,
            ),
            ("map: rounds to 0", mapped(0, u64::MAX, ANY, RW), ARGUMENT),
            ("map: half", mapped(base, HALF, FIXED, RW), ADDRESS),
            ("map: anywhere, half", mapped(0, HALF, ANY, RW), NO_SPACE),
            (
                "map: no bit",
                mapped(0, PAGE, ANY, [NO_BIT, NO_BIT | 7]),
                ARGUMENT,
            ),
            (
                "map: copy",
                mapped(0, PAGE, ANY, [VM_PROT_COPY | 3, 7]),
                ARGUMENT,
            ),
            (
                "map: no bit of the maximum",
                mapped(0, PAGE, ANY, [3, NO_BIT]),
                ARGUMENT,
            ),
            (
                "map: no bit, no bytes",
                mapped(0, 0, ANY, [NO_BIT; 2]),
                ARGUMENT,
            ),
            (
                "map: more than the maximum",
                mapped(0, PAGE, ANY, [3, 1]),
                NONE,
            ),
            (
                "map: masks",
                mapped(0, PAGE, ANY, [3 | IS_MASK, 7 | IS_MASK]),
                NONE,
            ),
            ("remap: no bytes", remapped(base, 0, 0, ANY, 0), ARGUMENT),
            ("remap: free", remapped(free, PAGE, 0, ANY, 0), ADDRESS),
            (
                "remap: free, a copy",
                remapped(free, PAGE, 0, ANY, 1),
                ADDRESS,
            ),
            (
                "remap: beyond all",
                remapped(HIGH, PAGE, 0, ANY, 0),
                ADDRESS,
            ),
            (
                "remap: wraps",
                remapped(LAST, 2 * PAGE, 0, ANY, 0),
                ARGUMENT,
            ),
            (
                "remap: rounds to 0",
                remapped(base, u64::MAX, 0, ANY, 1),
                ARGUMENT,
            ),
            ("remap: half", remapped(base, HALF, 0, ANY, 1), ADDRESS),
            ("remap: to null", remapped(base, PAGE, 0, FIXED, 1), ADDRESS),
            (
                "remap: over null",
                remapped(base, PAGE, 0, OVER, 1),
                ADDRESS,
            ),
            (
                "remap: to the end",
                remapped(base, PAGE, LAST, FIXED, 1),
                ADDRESS,
            ),
            (
                "remap: over the end",
                remapped(base, PAGE, LAST, OVER, 1),
                ADDRESS,
            ),
            (
                "remap: beyond",
                remapped(base, PAGE, HIGH, OVER, 1),
                ADDRESS,
            ),
            (
                "remap: taken",
                remapped(base, PAGE, base, FIXED, 1),
                NO_SPACE,
            ),
            ("read: no bytes", read(8, 0), NONE),
            ("read: null", read(0, 1), ADDRESS),
            ("read: beyond all", read(HIGH, 8), ADDRESS),
            ("read: wraps", read(LAST, 2 * PAGE), ADDRESS),
            ("read: more than a count", read(base, 1 << 32), ARGUMENT),
            (
                "read: a whole count",
                read(base, u64::from(u32::MAX)),
                ADDRESS,
            ),
            ("copy: no bytes", copied(8, 0, 16), NONE),
            ("copy: from free", copied(free, 8, base), ADDRESS),
            ("copy: to free", copied(base, 8, free), ADDRESS),
            ("copy: from the end", copied(u64::MAX, 2, base), ADDRESS),
            ("copy: to the end", copied(base, 2, u64::MAX), ADDRESS),
            ("copy: all", copied(base, u64::MAX, base), ADDRESS),
        ];
        for (case, found, expected) in cases {
            // A processor's emulator has another end of memory.
            if case.contains("beyond") && is_emulated() {
                continue;
            }
            assert_eq!(found, expected, "{case}");
        }
        store(base, 1);
        release(base, PAGE);
    });
}

/// A null pointer faults, also in a process that the system lets map its first page.
#[test]
fn nothing_is_mapped_at_null() {
    const TEST: &str = "arguments::nothing_is_mapped_at_null";
    isolated(TEST, || {
        let source = allocate(PAGE);
        let copies = match is_emulated() {
            true => {
                report_partly(TEST, "the emulator's own threads cannot be stopped");
                1..=1
            }
            false => 0..=1,
        };
        for at in [0, 8, 4096, PAGE - 1] {
            for over in [VM_FLAGS_FIXED, VM_FLAGS_OVERWRITE] {
                let protections = [VM_PROT_DEFAULT, VM_PROT_ALL];
                assert_eq!(mapped(at, 4096, over, protections), ADDRESS, "{at:#x}");
                for copy in copies.clone() {
                    assert_eq!(remapped(source, 4096, at, over, copy), ADDRESS, "{at:#x}");
                }
            }
            assert_eq!(allocated(at, 4096, VM_FLAGS_FIXED), ADDRESS, "{at:#x}");
        }
        release(source, PAGE);
    });
}

/// The call looks at the whole range first.
#[test]
fn a_range_with_a_hole_keeps_its_protection() {
    // No other thread may take the addresses meanwhile.
    isolated(
        "arguments::a_range_with_a_hole_keeps_its_protection",
        || {
            let base = allocate(3 * PAGE);
            release(base + PAGE, PAGE);
            for (start, size) in [(base, 3 * PAGE), (base, PAGE + 1), (base + PAGE, 2 * PAGE)] {
                assert_eq!(protected(start, size, VM_PROT_NONE), ADDRESS);
                store(base, 1);
                store(base + 2 * PAGE, 1);
            }
            release(base, 3 * PAGE);
        },
    );
}

#[test]
fn no_more_than_the_maximum_is_given() {
    let mut address = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe {
        kernel::mach_vm_map(
            task_self(),
            &mut address,
            PAGE,
            0,
            VM_FLAGS_ANYWHERE,
            MACH_PORT_NULL,
            0,
            0,
            VM_PROT_ALL,
            VM_PROT_READ,
            VM_INHERIT_COPY,
        )
    };
    assert_eq!(answer(code), Ok(()));
    let (mut at, mut size, mut object) = (address, 0, 0);
    let (mut info, mut count) = (
        vm_region_basic_info_64::default(),
        VM_REGION_BASIC_INFO_COUNT_64,
    );
    // SAFETY: room for as many words as the count says.
    let code = unsafe {
        kernel::mach_vm_region(
            task_self(),
            &mut at,
            &mut size,
            VM_REGION_BASIC_INFO_64,
            (&raw mut info).cast(),
            &mut count,
            &mut object,
        )
    };
    assert_eq!(answer(code), Ok(()));
    let protection = info.protection;
    if KERNEL == Kernel::Emulated {
        assert_eq!(protection, VM_PROT_READ);
    } else {
        // Before macOS 15 the region keeps what was asked for.
        assert!([VM_PROT_READ, VM_PROT_ALL].contains(&protection));
    }
    release(address, PAGE);
}

/// An answer that the system cannot give for a moment is not taken for memory that is not there, nor kept.
#[test]
fn without_a_file_to_open_a_region_is_not_told() {
    const TEST: &str = "arguments::without_a_file_to_open_a_region_is_not_told";
    if KERNEL == Kernel::Xnu {
        report_skipped(TEST, "XNU opens no file");
        return;
    }
    isolated(TEST, || {
        let base = allocate(PAGE);
        let mut before = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the limits are those of this process, which no other code here opens files in.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut before), 0);
            let none = libc::rlimit {
                rlim_cur: 0,
                ..before
            };
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &none), 0);
        }
        let mut state = 0;
        let not_told = Err(KernReturn::NOT_SUPPORTED);
        let cases = [
            ("region", basic_region(base), not_told),
            ("region_recurse", recursed(base).map(|_| ()), not_told),
            ("remap", remap(base, ANYWHERE).map(|_| ()), not_told),
            ("a copy", remap(base, COPY).map(|_| ()), not_told),
            (
                "purgable_control",
                // SAFETY: the result goes to a local variable.
                answer(unsafe {
                    kernel::mach_vm_purgable_control(
                        task_self(),
                        base,
                        VM_PURGABLE_GET_STATE,
                        &mut state,
                    )
                }),
                not_told,
            ),
            ("protect", protected(base, PAGE, VM_PROT_DEFAULT), NONE),
            ("allocate", allocated(0, PAGE, VM_FLAGS_ANYWHERE), NONE),
        ];
        // SAFETY: as it was.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &before) }, 0);
        for (call, found, expected) in cases {
            assert_eq!(found, expected, "{call}");
        }
        assert_eq!(basic_region(base), NONE);
        if pages_are_told(TEST) {
            assert_eq!(recursed(base).map(|_| ()), NONE);
        }
        release(base, PAGE);
    });
}

fn basic_region(mut at: u64) -> Answer {
    let (mut size, mut object) = (0, 0);
    let (mut info, mut count) = ([0; 9], VM_REGION_BASIC_INFO_COUNT_64);
    // SAFETY: room for as many words as the count says.
    answer(unsafe {
        kernel::mach_vm_region(
            task_self(),
            &mut at,
            &mut size,
            VM_REGION_BASIC_INFO_64,
            info.as_mut_ptr(),
            &mut count,
            &mut object,
        )
    })
}

/// Returns the seconds that the calling thread has run: other work on the machine does not count.
fn own_time() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the result goes to a local variable.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(code, 0);
    time.tv_sec
}

/// The time that a view takes grows with the number of its pieces, and not with its square: other threads are stopped meanwhile.
#[test]
fn a_view_of_many_pieces_is_made_in_time() {
    const TEST: &str = "arguments::a_view_of_many_pieces_is_made_in_time";
    const PIECES: u64 = 3000;
    if !views_are_made(TEST) {
        return;
    }
    isolated(TEST, || {
        let base = allocate(PIECES * PAGE);
        for piece in (0..PIECES).step_by(2) {
            protect(base + piece * PAGE, PAGE, VM_PROT_READ);
        }
        let begun = own_time();
        let how = Remap {
            size: PIECES * PAGE,
            ..ANYWHERE
        };
        let (view, ..) = remap(base, how).expect("a view");
        let (copy, ..) = remap(base, Remap { copy: 1, ..how }).expect("a copy");
        // One page at a time, each with a look at all regions, took over a minute.
        let taken = own_time() - begun;
        assert!(taken < 20, "{taken} s");
        store(base + PAGE, 7);
        assert_eq!((load(view + PAGE), load(copy + PAGE)), (7, 0));
        for at in [base, view, copy] {
            release(at, PIECES * PAGE);
        }
    });
}
