//! Descriptions of regions.

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::types::*;
use mach_sys::vm::*;
use std::sync::atomic::{AtomicBool, Ordering};
use test_support::isolated::isolated;

#[test]
fn a_regions_pages_are_counted() {
    if !pages_are_told("a_regions_pages_are_counted") {
        return;
    }
    // No neighbour may grow meanwhile.
    isolated("regions::a_regions_pages_are_counted", || {
        let base = allocate(16 * PAGE);
        // Neighbours of another kind, so that the region is its own.
        protect(base, PAGE, VM_PROT_NONE);
        protect(base + 15 * PAGE, PAGE, VM_PROT_NONE);
        let (at, size, info) = recursed(base + 3 * PAGE).expect("a region");
        assert_eq!((at, size), (base + PAGE, 14 * PAGE));
        assert_eq!(
            ({ info.pages_resident }, { info.protection }),
            (0, VM_PROT_DEFAULT)
        );
        assert_eq!((info.external_pager, { info.is_submap }), (0, 0));
        for index in 0..5 {
            store(base + (1 + index) * PAGE, 1);
        }
        let (.., info) = recursed(base + PAGE).expect("a region");
        assert!(
            { info.pages_resident } >= 5 && { info.pages_dirtied } >= 5,
            "{info:?}"
        );
        assert_eq!((info.share_mode, { info.ref_count }), (SM_PRIVATE, 1));
        // What is shared says so.
        let (view, ..) = remap(
            base + PAGE,
            Remap {
                size: 14 * PAGE,
                ..ANYWHERE
            },
        )
        .expect("a view");
        let (.., first) = recursed(base + PAGE).expect("a region");
        let (.., second) = recursed(view).expect("a region");
        assert_eq!({ first.object_id_full }, { second.object_id_full });
        assert!(first.share_mode != SM_PRIVATE && { second.ref_count } > 1);
        release(view, 14 * PAGE);
        // The next one above an address without memory.
        release(base + PAGE, 14 * PAGE);
        let (at, ..) = recursed(base + PAGE).expect("a region");
        assert_eq!(at, base + 15 * PAGE);
        release(base, PAGE);
        release(base + 15 * PAGE, PAGE);
    });
}

#[test]
fn a_regions_description_has_the_version_that_there_is_room_for() {
    if !pages_are_told("a_regions_description_has_the_version_that_there_is_room_for") {
        return;
    }
    let base = allocate(PAGE);
    for (room, expected) in [
        (12, 12),
        (15, 12),
        (16, 16),
        (17, 17),
        (18, 17),
        (19, 19),
        (64, 19),
    ] {
        let count = recursed_with(task_self(), base, room).map(|(_, _, count, _)| count);
        assert_eq!(count, Ok(expected), "{room}");
    }
    for room in [0, 11] {
        assert_eq!(
            recursed_with(task_self(), base, room).map(|_| ()),
            Err(KernReturn::INVALID_ARGUMENT)
        );
    }
    let above = recursed_with(task_self(), u64::MAX, 19).map(|_| ());
    assert_eq!(above, Err(KernReturn::INVALID_ADDRESS));
    for bad in [MACH_PORT_NULL, ABSENT] {
        assert_eq!(
            recursed_with(bad, base, 19).map(|_| ()),
            Err(KernReturn::SEND_INVALID_DEST)
        );
    }
    let thread = ThreadRight::current().expect("a thread");
    let wrong = recursed_with(thread.name().raw(), base, 19).map(|_| ());
    assert_eq!(wrong, Err(KernReturn::INVALID_ARGUMENT));
    release(base, PAGE);
}

#[test]
fn the_pages_of_a_region_have_two_more_flavors() {
    if !pages_are_told("the_pages_of_a_region_have_two_more_flavors") {
        return;
    }
    let base = allocate(PAGE);
    store(base, 1);
    let told = |flavor, room| {
        let (mut address, mut size, mut object, mut count) = (base, 0, 7, room);
        let mut words = [0_u32; 16];
        // SAFETY: there are more words than the count says, and the other results go to local variables.
        answer(unsafe {
            kernel::mach_vm_region(
                task_self(),
                &mut address,
                &mut size,
                flavor,
                words.as_mut_ptr().cast(),
                &mut count,
                &mut object,
            )
        })?;
        assert!(address <= base && address + size > base && object == MACH_PORT_NULL);
        Ok((count, words))
    };
    let (count, words) = told(VM_REGION_EXTENDED_INFO, 16).expect("a region");
    assert_eq!(
        (count, words[0]),
        (VM_REGION_EXTENDED_INFO_COUNT, VM_PROT_DEFAULT as u32)
    );
    assert!(words[2] >= 1, "resident");
    let (count, words) = told(VM_REGION_TOP_INFO, 5).expect("a region");
    assert!(count == VM_REGION_TOP_INFO_COUNT && words[2] + words[3] >= 1);
    for (flavor, room) in [
        (VM_REGION_EXTENDED_INFO, 8),
        (VM_REGION_TOP_INFO, 4),
        (14, 16),
        (-1, 16),
    ] {
        assert_eq!(
            told(flavor, room).map(|_| ()),
            Err(KernReturn::INVALID_ARGUMENT)
        );
    }
    release(base, PAGE);
}

/// As WebKit does: from the lowest region to the highest, with another thread that maps and unmaps.
#[test]
fn all_regions_are_walked_while_others_come_and_go() {
    if !pages_are_told("all_regions_are_walked_while_others_come_and_go") {
        return;
    }
    isolated(
        "regions::all_regions_are_walked_while_others_come_and_go",
        || {
            let stop = std::sync::Arc::new(AtomicBool::new(false));
            let until = stop.clone();
            let other = std::thread::spawn(move || {
                while !until.load(Ordering::Relaxed) {
                    let base = allocate(8 * PAGE);
                    protect(base + PAGE, PAGE, VM_PROT_READ);
                    release(base, 8 * PAGE);
                }
            });
            for _ in 0..10 {
                let (mut at, mut regions) = (0, 0);
                loop {
                    match recursed(at) {
                        Ok((start, size, _)) => {
                            assert!(size > 0 && start + (size - 1) >= at);
                            (at, regions) = (start.saturating_add(size), regions + 1);
                        }
                        Err(error) => {
                            assert_eq!(error, KernReturn::INVALID_ADDRESS);
                            break;
                        }
                    }
                }
                assert!(regions > 10);
            }
            stop.store(true, Ordering::Relaxed);
            other.join().expect("the thread's assertions");
        },
    );
}
