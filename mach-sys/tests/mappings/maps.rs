//! New pages, copies of bytes, and purgeable memory.

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::types::*;
use mach_sys::vm::*;
use test_support::isolated::isolated;

fn map(
    task: mach_port_name_t,
    place: (u64, u64, i32),
    size: u64,
    object: mach_port_name_t,
    protections: [vm_prot_t; 2],
    inheritance: vm_inherit_t,
) -> Answer<u64> {
    let (mut address, mask, flags) = place;
    // SAFETY: the result goes to a local variable; what is replaced is the test's.
    let code = unsafe {
        kernel::mach_vm_map(
            task,
            &mut address,
            size,
            mask,
            flags,
            object,
            0,
            0,
            protections[0],
            protections[1],
            inheritance,
        )
    };
    answer(code).map(|()| address)
}

#[test]
fn pages_are_mapped_with_a_protection_and_an_alignment() {
    isolated(
        "maps::pages_are_mapped_with_a_protection_and_an_alignment",
        || {
            let anywhere = |mask| (0, mask, VM_FLAGS_ANYWHERE);
            let all = [VM_PROT_DEFAULT, VM_PROT_ALL];
            for mask in [0, 0xfff, 0xf_ffff, 0x3ff_ffff, 0x123_4567] {
                let base = map(
                    task_self(),
                    anywhere(mask),
                    3 * PAGE,
                    0,
                    all,
                    VM_INHERIT_COPY,
                );
                let base = base.expect("pages");
                assert_eq!(
                    (base & mask, load(base), load(base + 3 * PAGE - 8)),
                    (0, 0, 0),
                    "{mask:#x}"
                );
                store(base, 1);
                release(base, 3 * PAGE);
            }
            let base = map(
                task_self(),
                anywhere(0),
                PAGE,
                0,
                [VM_PROT_READ, VM_PROT_ALL],
                VM_INHERIT_NONE,
            );
            let base = base.expect("pages");
            let (.., info) = recursed(base).expect("a region");
            assert_eq!({ info.protection }, VM_PROT_READ);
            let occupied = map(task_self(), (base, 0, 0), PAGE, 0, all, VM_INHERIT_COPY);
            assert_eq!(occupied, Err(KernReturn::NO_SPACE));
            let over = map(
                task_self(),
                (base, 0, VM_FLAGS_OVERWRITE),
                PAGE,
                0,
                all,
                VM_INHERIT_SHARE,
            );
            assert_eq!(over, Ok(base));
            store(base, 2);
            release(base, PAGE);
            let refused = Err(KernReturn::INVALID_ARGUMENT);
            let place = anywhere(0);
            assert_eq!(map(task_self(), place, 0, 0, all, VM_INHERIT_COPY), refused);
            assert_eq!(map(task_self(), place, PAGE, 0, all, 3), refused);
            assert_eq!(
                map(
                    task_self(),
                    (0, 0, VM_FLAGS_ANYWHERE | 1 << 9),
                    PAGE,
                    0,
                    all,
                    1
                ),
                refused
            );
            assert!(map(task_self(), place, u64::MAX - PAGE, 0, all, 1).is_err());
            assert!(map(task_self(), anywhere(u64::MAX), PAGE, 0, all, 1).is_err());
            let invalid = Err(KernReturn::INVALID_OBJECT);
            assert_eq!(
                map(task_self(), place, PAGE, task_self(), all, VM_INHERIT_COPY),
                invalid
            );
            let absent = Err(KernReturn::SEND_INVALID_RIGHT);
            assert_eq!(
                map(task_self(), place, PAGE, ABSENT, all, VM_INHERIT_COPY),
                absent
            );
            for bad in [MACH_PORT_NULL, ABSENT] {
                let refused = Err(KernReturn::SEND_INVALID_DEST);
                assert_eq!(map(bad, place, PAGE, 0, all, VM_INHERIT_COPY), refused);
            }
        },
    );
}

/// As XNU's `vm_map_locate_space_anywhere` looks for room.
#[test]
fn anywhere_begins_at_the_address() {
    const ANY: i32 = VM_FLAGS_ANYWHERE;
    // No other thread may take the addresses meanwhile.
    isolated("maps::anywhere_begins_at_the_address", || {
        let at = |address: u64, mask, size| {
            let all = [VM_PROT_DEFAULT, VM_PROT_ALL];
            map(
                task_self(),
                (address, mask, ANY),
                size,
                0,
                all,
                VM_INHERIT_COPY,
            )
        };
        // Pages 1 and 4 to 6 of eight are taken.
        let base = at(0, 8 * PAGE - 1, 8 * PAGE).expect("pages");
        for (page, count) in [(0, 1), (2, 2), (7, 1)] {
            release(base + page * PAGE, count * PAGE);
        }
        let cases = [
            // From, mask, pages; the page that is found.
            (0, 0, 1, Some(0)),
            (1, 0, 1, Some(2)),
            (1, 2 * PAGE - 1, 1, Some(2)),
            (3, 0, 1, Some(3)),
            (3, 2 * PAGE - 1, 1, None),
            (1, 0, 2, Some(2)),
            (1, 0, 3, None),
            (4, 0, 1, Some(7)),
        ];
        for (page, mask, pages, expected) in cases {
            let from = base + page * PAGE + 5;
            let found = at(from, mask, pages * PAGE).expect("pages");
            store(found, 1);
            release(found, pages * PAGE);
            match expected {
                Some(page) => assert_eq!(found, base + page * PAGE, "{page} {mask} {pages}"),
                None => assert!(found > base + 6 * PAGE, "{page} {mask} {pages}"),
            }
            assert_eq!(found & mask, 0);
        }
        let copy = Remap {
            at: base + 2 * PAGE,
            ..COPY
        };
        let (found, ..) = remap(base + PAGE, copy).expect("a copy");
        assert_eq!(found, base + 2 * PAGE);
        // The call that allocates does not begin there.
        let mut address = !(PAGE - 1);
        // SAFETY: the result goes to a local variable.
        let code = unsafe { kernel::mach_vm_allocate(task_self(), &mut address, PAGE, ANY) };
        assert_eq!(answer(code), Ok(()));
        release(address, PAGE);
        // Nothing is free above all.
        assert_eq!(at(!(PAGE - 1), 0, PAGE), Err(KernReturn::NO_SPACE));
        release(base, 8 * PAGE);
    });
}

fn copied(source: u64, size: u64, destination: u64) -> Answer {
    // SAFETY: the memory is the test's, or is not there.
    answer(unsafe { kernel::mach_vm_copy(task_self(), source, size, destination) })
}

#[test]
fn bytes_are_copied_or_nothing_is() {
    let base = allocate(4 * PAGE);
    store(base, 1);
    assert_eq!(copied(base, PAGE, base + PAGE), Ok(()));
    assert_eq!(load(base + PAGE), 1);
    assert_eq!(copied(base, 0, 0), Ok(()));
    // Overlapping ranges.
    store(base + 8, 2);
    assert_eq!(copied(base, PAGE - 8, base + 8), Ok(()));
    assert_eq!((load(base + 8), load(base + 16)), (1, 2));
    protect(base + 2 * PAGE, PAGE, VM_PROT_READ);
    assert_eq!(
        copied(base, 2 * PAGE, base + PAGE),
        Err(KernReturn::PROTECTION_FAILURE)
    );
    assert_eq!(load(base + PAGE), 1);
    protect(base, PAGE, VM_PROT_NONE);
    assert_eq!(
        copied(base, 8, base + PAGE),
        Err(KernReturn::PROTECTION_FAILURE)
    );
    release(base, 4 * PAGE);
    let kept = allocate(PAGE);
    for bad in [8, u64::MAX - 7] {
        assert_eq!(copied(bad, 16, kept), Err(KernReturn::INVALID_ADDRESS));
        assert_eq!(copied(kept, 16, bad), Err(KernReturn::INVALID_ADDRESS));
    }
    release(kept, PAGE);
}

#[test]
fn no_memory_is_purgeable() {
    let control = |address, control, state: &mut i32| {
        // SAFETY: the result goes to a local variable.
        answer(unsafe { kernel::mach_vm_purgable_control(task_self(), address, control, state) })
    };
    let base = allocate(PAGE);
    store(base, 1);
    let mut state = 0;
    let refused = Err(KernReturn::INVALID_ARGUMENT);
    assert_eq!(control(base, VM_PURGABLE_GET_STATE, &mut state), refused);
    assert_eq!(control(base, VM_PURGABLE_SET_STATE, &mut state), refused);
    for operation in [3, -1, 99] {
        assert_eq!(control(8, operation, &mut state), refused);
    }
    assert_eq!(
        control(8, VM_PURGABLE_SET_STATE, &mut i32::MAX.clone()),
        refused
    );
    assert_eq!(
        control(8, VM_PURGABLE_GET_STATE, &mut state),
        Err(KernReturn::INVALID_ADDRESS)
    );
    protect(base, PAGE, VM_PROT_READ);
    assert_eq!(
        control(base, VM_PURGABLE_SET_STATE, &mut state),
        Err(KernReturn::PROTECTION_FAILURE)
    );
    assert_eq!(control(base, VM_PURGABLE_GET_STATE, &mut state), refused);
    release(base, PAGE);
}
