//! Copies that take the place of what they are made of, and mappings that are for reading only.

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::vm::*;
use std::sync::atomic::{AtomicU64, Ordering};
use test_support::flag::SetWhenDropped;
use test_support::isolated::{isolated, report_skipped};

fn protected(address: u64, size: u64, protection: i32) -> Answer {
    // SAFETY: the memory is the test's.
    answer(unsafe { kernel::mach_vm_protect(task_self(), address, size, 0, protection) })
}

/// As debuggers and interposers set breakpoints: what others see stays.
#[test]
fn a_protection_with_a_copy_makes_a_view_the_tasks_own() {
    const TEST: &str = "copies::a_protection_with_a_copy_makes_a_view_the_tasks_own";
    if !views_are_made(TEST) {
        return;
    }
    isolated(TEST, || {
        let base = allocate(3 * PAGE);
        store(base + PAGE, 1);
        let how = Remap {
            size: 3 * PAGE,
            ..ANYWHERE
        };
        let (view, ..) = remap(base, how).expect("a view");
        protect(view, 3 * PAGE, VM_PROT_READ);
        let writable = VM_PROT_DEFAULT | VM_PROT_COPY;
        // The page in the middle alone.
        assert_eq!(protected(view + PAGE, 8, writable), Ok(()));
        assert_eq!(load(view + PAGE), 1);
        store(view + PAGE, 2);
        assert_eq!((load(base + PAGE), load(view + PAGE)), (1, 2));
        store(base, 3);
        store(base + 2 * PAGE, 4);
        assert_eq!((load(view), load(view + 2 * PAGE)), (3, 4));
        let (.., info) = recursed(view).expect("a region");
        assert_eq!({ info.protection }, VM_PROT_READ);
        // Memory of one's own is protected in its place.
        let own = allocate(PAGE);
        store(own, 5);
        assert_eq!(protected(own, PAGE, VM_PROT_READ | VM_PROT_COPY), Ok(()));
        assert_eq!(load(own), 5);
        release(own, PAGE);
        // Where something is missing, nothing is replaced.
        release(view + 2 * PAGE, PAGE);
        let hole = protected(view, 3 * PAGE, writable);
        assert_eq!(hole, Err(KernReturn::INVALID_ADDRESS));
        store(base, 6);
        assert_eq!(load(view), 6);
        release(base, 3 * PAGE);
        release(view, 2 * PAGE);
    });
}

#[test]
fn no_write_is_lost_while_a_view_becomes_the_tasks_own() {
    const TEST: &str = "copies::no_write_is_lost_while_a_view_becomes_the_tasks_own";
    if !views_are_made(TEST) {
        return;
    }
    isolated(TEST, || {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let base = allocate(PAGE);
        std::thread::scope(|scope| {
            let _stop = SetWhenDropped(&stop);
            let writer = scope.spawn(|| {
                // SAFETY: mapped above, aligned, and used as this alone.
                let word = unsafe { &*(base as *const AtomicU64) };
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    assert_eq!(word.fetch_add(1, Ordering::Relaxed) + 1, count);
                }
                count
            });
            for _ in 0..50 {
                let (view, ..) = remap(base, ANYWHERE).expect("a view");
                let writable = VM_PROT_DEFAULT | VM_PROT_COPY;
                assert_eq!(protected(base, PAGE, writable), Ok(()));
                release(view, PAGE);
            }
            stop.store(true, Ordering::Relaxed);
            let count = writer.join().expect("each write is there");
            assert_eq!(load(base), count);
        });
        release(base, PAGE);
    });
}

/// The stack that the call itself writes to would be lost.
#[test]
fn a_copy_does_not_replace_the_own_stack() {
    const TEST: &str = "copies::a_copy_does_not_replace_the_own_stack";
    if KERNEL == Kernel::Xnu {
        report_skipped(TEST, "XNU copies a stack in its place");
        return;
    }
    isolated(TEST, || {
        let mut word = 7_u64;
        let here = &raw mut word as u64;
        let place = |at, size| Remap {
            at,
            size,
            flags: VM_FLAGS_OVERWRITE,
            ..COPY
        };
        let refused = Err(KernReturn::NOT_SUPPORTED);
        assert_eq!(remap(here, place(here, 8)), refused);
        let other = allocate(PAGE);
        assert_eq!(remap(other, place(here, 8)), refused);
        // SAFETY: a local variable.
        assert_eq!(unsafe { (&raw const word).read_volatile() }, 7);
        release(other, PAGE);
    });
}

#[test]
fn code_that_is_not_checked_is_for_reading_only() {
    let base = allocate(PAGE);
    store(base, 9);
    let flags = VM_FLAGS_ANYWHERE | VM_FLAGS_RESILIENT_CODESIGN;
    let how = Remap { flags, ..COPY };
    let (copy, present, most) = remap(base, how).expect("a copy");
    assert_eq!((load(copy), present, most), (9, VM_PROT_READ, VM_PROT_READ));
    let (.., info) = match recursed(copy) {
        Err(KernReturn::NOT_SUPPORTED) => return,
        told => told.expect("a region"),
    };
    assert_eq!({ info.protection }, VM_PROT_READ);
    store(base, 10);
    release(base, PAGE);
    release(copy, PAGE);
}
