//! Regions, second views and copies of the own memory (`mach/mach_vm.h`, `mach/vm_region.h`).
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::types::*;
use mach_sys::vm::*;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use test_support::emulator::is_emulated;
use test_support::isolated::{isolated, report_skipped};

type Answer<T = ()> = Result<T, KernReturn>;

/// A name beyond the largest table (C0.7).
const ABSENT: mach_port_name_t = 0x4_b000 << 8 | 3;
/// A multiple of every system's page size.
const PAGE: u64 = 0x1_0000;

fn answer(code: kern_return_t) -> Answer {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

fn allocate(size: u64) -> u64 {
    let mut address = 0;
    // SAFETY: the result goes to a local variable.
    let code =
        unsafe { kernel::mach_vm_allocate(task_self(), &mut address, size, VM_FLAGS_ANYWHERE) };
    assert_eq!(answer(code), Ok(()));
    address
}

fn release(address: u64, size: u64) {
    // SAFETY: the tests release what they mapped.
    let code = unsafe { kernel::mach_vm_deallocate(task_self(), address, size) };
    assert_eq!(answer(code), Ok(()));
}

fn protect(address: u64, size: u64, protection: vm_prot_t) {
    // SAFETY: the tests protect what they mapped.
    let code = unsafe { kernel::mach_vm_protect(task_self(), address, size, 0, protection) };
    assert_eq!(answer(code), Ok(()));
}

fn store(address: u64, value: u64) {
    // SAFETY: the tests write to what they mapped.
    unsafe { (address as *mut u64).write_volatile(value) };
}

fn load(address: u64) -> u64 {
    // SAFETY: the tests read what they mapped.
    unsafe { (address as *const u64).read_volatile() }
}

/// Arguments of `mach_vm_remap`.
#[derive(Clone, Copy)]
struct Remap {
    at: u64,
    size: u64,
    mask: u64,
    flags: i32,
    copy: boolean_t,
    inheritance: vm_inherit_t,
}

const ANYWHERE: Remap = Remap {
    at: 0,
    size: PAGE,
    mask: 0,
    flags: VM_FLAGS_ANYWHERE,
    copy: 0,
    inheritance: VM_INHERIT_NONE,
};

const COPY: Remap = Remap {
    copy: 1,
    ..ANYWHERE
};

/// Address, present and maximal protection of a new mapping.
type Remapped = (u64, vm_prot_t, vm_prot_t);

fn remap_of(tasks: [mach_port_name_t; 2], source: u64, how: Remap) -> Answer<Remapped> {
    let (mut address, mut current, mut maximum) = (how.at, -1, -1);
    // SAFETY: the results go to local variables; the memory is the test's.
    let code = unsafe {
        kernel::mach_vm_remap(
            tasks[0],
            &mut address,
            how.size,
            how.mask,
            how.flags,
            tasks[1],
            source,
            how.copy,
            &mut current,
            &mut maximum,
            how.inheritance,
        )
    };
    answer(code).map(|()| (address, current, maximum))
}

fn remap(source: u64, how: Remap) -> Answer<Remapped> {
    remap_of([task_self(); 2], source, how)
}

const SHOWN: [vm_prot_t; 2] = [VM_PROT_DEFAULT, VM_PROT_ALL];

/// Returns whether second views can be made; says so if they cannot.
fn views_are_made(test: &str) -> bool {
    let made = !is_emulated();
    if !made {
        report_skipped(test, "the emulator's own threads cannot be stopped");
    }
    made
}

#[test]
fn what_is_written_in_one_view_is_read_in_the_other() {
    if !views_are_made("what_is_written_in_one_view_is_read_in_the_other") {
        return;
    }
    let base = allocate(3 * PAGE);
    store(base, 1);
    store(base + 2 * PAGE, 3);
    let (view, current, maximum) = remap(
        base,
        Remap {
            size: 3 * PAGE,
            ..ANYWHERE
        },
    )
    .expect("a view");
    assert_ne!(view, base);
    assert_eq!([current, maximum], SHOWN);
    assert_eq!(
        (load(view), load(view + PAGE), load(view + 2 * PAGE)),
        (1, 0, 3)
    );
    store(view + PAGE, 7);
    store(base + 8, 9);
    assert_eq!((load(base + PAGE), load(view + 8)), (7, 9));
    // A third view, of memory that is shared by now.
    let (third, ..) = remap(view + PAGE, ANYWHERE).expect("a view");
    assert_eq!(load(third), 7);
    // Each lives without the others.
    release(base, 3 * PAGE);
    store(third, 8);
    assert_eq!(load(view + PAGE), 8);
    release(view, 3 * PAGE);
    assert_eq!(load(third), 8);
    release(third, PAGE);
}

/// As JavaScriptCore and .NET map code: the first view is executable, the second writable.
#[test]
fn two_views_have_protections_of_their_own() {
    if !views_are_made("two_views_have_protections_of_their_own") {
        return;
    }
    let base = allocate(PAGE);
    store(base, 5);
    protect(base, PAGE, VM_PROT_READ | VM_PROT_EXECUTE);
    let (view, current, _) = remap(base, ANYWHERE).expect("a view");
    assert_eq!(current, VM_PROT_READ | VM_PROT_EXECUTE);
    protect(view, PAGE, VM_PROT_DEFAULT);
    store(view, 6);
    assert_eq!(load(base), 6);
    release(base, PAGE);
    release(view, PAGE);
}

#[test]
fn a_copy_is_one() {
    let base = allocate(2 * PAGE);
    store(base, 1);
    protect(base + PAGE, PAGE, VM_PROT_READ);
    let (copy, current, _) = remap(
        base,
        Remap {
            size: 2 * PAGE,
            ..COPY
        },
    )
    .expect("a copy");
    // What all of it permits.
    assert_eq!(current, VM_PROT_READ);
    store(base, 2);
    assert_eq!(load(copy), 1);
    store(copy, 3);
    assert_eq!(load(base), 2);
    release(copy, 2 * PAGE);
    release(base, 2 * PAGE);
}

#[test]
fn a_range_with_a_hole_is_refused_and_nothing_is_mapped() {
    isolated(
        "a_range_with_a_hole_is_refused_and_nothing_is_mapped",
        || {
            let base = allocate(3 * PAGE);
            release(base + PAGE, PAGE);
            for how in [ANYWHERE, COPY] {
                let how = Remap {
                    size: 3 * PAGE,
                    ..how
                };
                assert_eq!(remap(base, how), Err(KernReturn::INVALID_ADDRESS));
                assert_eq!(remap(base + PAGE, how), Err(KernReturn::INVALID_ADDRESS));
                assert_eq!(remap(0, how), Err(KernReturn::INVALID_ADDRESS));
            }
            release(base, PAGE);
            release(base + 2 * PAGE, PAGE);
        },
    );
}

#[test]
fn arguments_are_checked_in_the_kernels_order() {
    let base = allocate(PAGE);
    let bad = |how: Remap| remap(base, how);
    let refused = Err(KernReturn::INVALID_ARGUMENT);
    assert_eq!(
        bad(Remap {
            size: 0,
            ..ANYWHERE
        }),
        refused
    );
    assert_eq!(
        bad(Remap {
            inheritance: 3,
            ..ANYWHERE
        }),
        refused
    );
    assert_eq!(
        bad(Remap {
            inheritance: u32::MAX,
            ..COPY
        }),
        refused
    );
    // Flags of `mach_vm_allocate` alone, a tag, and bits that mean nothing.
    for flag in [
        VM_FLAGS_PURGABLE,
        VM_FLAGS_NO_CACHE,
        VM_FLAGS_PERMANENT,
        7 << 24,
        1 << 9,
    ] {
        assert_eq!(
            bad(Remap {
                flags: VM_FLAGS_ANYWHERE | flag,
                ..ANYWHERE
            }),
            refused,
            "{flag:#x}"
        );
    }
    // Only of a copy.
    let resilient = VM_FLAGS_ANYWHERE | VM_FLAGS_RESILIENT_MEDIA;
    assert_eq!(
        bad(Remap {
            flags: resilient,
            ..ANYWHERE
        }),
        refused
    );
    for size in [u64::MAX, u64::MAX - PAGE, 1 << 63] {
        assert!(bad(Remap { size, ..ANYWHERE }).is_err() && bad(Remap { size, ..COPY }).is_err());
    }
    assert!(remap(u64::MAX - 7, Remap { size: PAGE, ..COPY }).is_err());
    let thread = ThreadRight::current().expect("a thread");
    for (name, target, source) in [
        (
            MACH_PORT_NULL,
            KernReturn::SEND_INVALID_DEST,
            KernReturn::INVALID_ARGUMENT,
        ),
        (
            ABSENT,
            KernReturn::SEND_INVALID_DEST,
            KernReturn::SEND_INVALID_RIGHT,
        ),
        (
            thread.name().raw(),
            KernReturn::INVALID_ARGUMENT,
            KernReturn::INVALID_ARGUMENT,
        ),
    ] {
        assert_eq!(
            remap_of([name, task_self()], base, ANYWHERE),
            Err(target),
            "{name:#x}"
        );
        assert_eq!(
            remap_of([task_self(), name], base, ANYWHERE),
            Err(source),
            "{name:#x}"
        );
    }
    release(base, PAGE);
}

#[test]
fn a_view_is_where_it_is_asked_for() {
    if !views_are_made("a_view_is_where_it_is_asked_for") {
        return;
    }
    // No other thread may take the addresses meanwhile.
    isolated("a_view_is_where_it_is_asked_for", || {
        let (source, room) = (allocate(PAGE), allocate(4 * PAGE));
        store(source, 1);
        for copy in [0, 1] {
            let fixed = Remap {
                at: room,
                flags: 0,
                copy,
                ..ANYWHERE
            };
            assert_eq!(remap(source, fixed), Err(KernReturn::NO_SPACE));
            let over = Remap {
                flags: VM_FLAGS_OVERWRITE,
                ..fixed
            };
            store(room, 4);
            store(room + PAGE, 5);
            assert_eq!(remap(source, over).map(|(address, ..)| address), Ok(room));
            // No further than the size says.
            assert_eq!((load(room), load(room + PAGE)), (1, 5));
            release(room, PAGE);
            assert_eq!(remap(source, fixed).map(|(address, ..)| address), Ok(room));
            release(room, PAGE);
            // The first byte's address goes with this flag, and the page's without.
            let within = Remap {
                at: 0,
                flags: VM_FLAGS_ANYWHERE,
                size: 8,
                copy,
                ..ANYWHERE
            };
            let (address, ..) = remap(source + 24, within).expect("a view");
            assert_eq!((address % 4096, load(address)), (0, 1));
            release(address, 8);
            let told = Remap {
                flags: VM_FLAGS_ANYWHERE | VM_FLAGS_RETURN_DATA_ADDR,
                ..within
            };
            let (address, ..) = remap(source + 24, told).expect("a view");
            assert_eq!((address % 4096, load(address - 24)), (24, 1));
            release(address, 8);
            // An address without some bits, and one with them.
            let aligned = Remap {
                mask: 0xff_ffff,
                ..within
            };
            let (address, ..) = remap(source, aligned).expect("a view");
            assert_eq!(address & 0xff_ffff, 0);
            release(address, 8);
            let at = (room | 0x10_0000) + PAGE;
            let odd = Remap {
                at,
                mask: 0xf_ffff,
                flags: VM_FLAGS_OVERWRITE,
                ..within
            };
            assert_eq!(remap(source, odd), Err(KernReturn::NO_SPACE));
            // The room for the next round.
            let mut address = room;
            // SAFETY: the result goes to a local variable.
            let code = unsafe { kernel::mach_vm_allocate(task_self(), &mut address, PAGE, 0) };
            assert_eq!((answer(code), address), (Ok(()), room));
        }
    });
}

#[test]
fn a_copy_may_replace_its_source() {
    let base = allocate(2 * PAGE);
    store(base, 1);
    store(base + PAGE, 2);
    let over = Remap {
        at: base + PAGE,
        flags: VM_FLAGS_OVERWRITE,
        ..COPY
    };
    assert_eq!(
        remap(base, over).map(|(address, ..)| address),
        Ok(base + PAGE)
    );
    assert_eq!((load(base), load(base + PAGE)), (1, 1));
    release(base, 2 * PAGE);
}

#[test]
fn memory_that_cannot_be_read_has_a_second_view_and_no_copy() {
    if !views_are_made("memory_that_cannot_be_read_has_a_second_view_and_no_copy") {
        return;
    }
    if KERNEL == Kernel::Xnu {
        report_skipped(
            "memory_that_cannot_be_read_has_a_second_view_and_no_copy",
            "XNU copies pages, not bytes",
        );
        return;
    }
    let base = allocate(PAGE);
    store(base, 5);
    protect(base, PAGE, VM_PROT_NONE);
    assert_eq!(remap(base, COPY), Err(KernReturn::PROTECTION_FAILURE));
    let (view, current, _) = remap(base, ANYWHERE).expect("a view");
    assert_eq!(current, VM_PROT_NONE);
    protect(view, PAGE, VM_PROT_DEFAULT);
    assert_eq!(load(view), 5);
    store(view, 6);
    protect(base, PAGE, VM_PROT_READ);
    assert_eq!(load(base), 6);
    release(base, PAGE);
    release(view, PAGE);
}

#[test]
fn the_own_stack_has_no_second_view() {
    if !views_are_made("the_own_stack_has_no_second_view") {
        return;
    }
    if KERNEL == Kernel::Xnu {
        report_skipped("the_own_stack_has_no_second_view", "XNU shares a stack");
        return;
    }
    let mut word = 7_u64;
    let here = &raw mut word as u64;
    assert_eq!(
        remap(
            here,
            Remap {
                size: 8,
                ..ANYWHERE
            }
        ),
        Err(KernReturn::NOT_SUPPORTED)
    );
    let (copy, ..) = remap(here & !4095, Remap { size: 4096, ..COPY }).expect("a copy");
    assert_eq!(load(copy + here % 4096), 7);
    release(copy, 4096);
    // Nor has a view of memory a place within it.
    let base = allocate(2 * PAGE);
    let within = Remap {
        at: base + 4096,
        size: 2 * PAGE,
        flags: VM_FLAGS_OVERWRITE,
        ..ANYWHERE
    };
    assert_eq!(remap(base, within), Err(KernReturn::NOT_SUPPORTED));
    release(base, 2 * PAGE);
}

/// Other threads count in memory that becomes shared meanwhile: none of their writes is lost, and each is seen in both views.
#[test]
fn no_write_of_another_thread_is_lost_meanwhile() {
    if !views_are_made("no_write_of_another_thread_is_lost_meanwhile") {
        return;
    }
    isolated("no_write_of_another_thread_is_lost_meanwhile", || {
        const THREADS: u64 = 3;
        let rounds = if is_emulated() { 3 } else { 30 };
        for _ in 0..rounds {
            let base = allocate(4 * PAGE);
            static STOP: AtomicBool = AtomicBool::new(false);
            STOP.store(false, Ordering::SeqCst);
            let writers: Vec<_> = (0..THREADS)
                .map(|index| {
                    std::thread::spawn(move || {
                        // SAFETY: a word of the memory, which outlives the thread.
                        let word = unsafe { &*((base + index * PAGE) as *const AtomicU64) };
                        let mut count = 0;
                        while !STOP.load(Ordering::Relaxed) {
                            count += 1;
                            let before = word.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(before + 1, count, "a write was lost");
                        }
                        count
                    })
                })
                .collect();
            let mut views = Vec::new();
            for _ in 0..4 {
                let how = Remap {
                    size: 4 * PAGE,
                    ..ANYWHERE
                };
                views.push(remap(base, how).expect("a view").0);
            }
            STOP.store(true, Ordering::SeqCst);
            for (index, writer) in (0_u64..).zip(writers) {
                let count = writer.join().expect("no write was lost");
                for view in views.iter().chain([&base]) {
                    assert_eq!(load(view + index * PAGE), count);
                }
            }
            for view in views.into_iter().chain([base]) {
                release(view, 4 * PAGE);
            }
        }
    });
}

/// Threads that start, end, map and unmap, and ask for views at the same time: each answer is a success or an error, and nothing hangs.
#[test]
fn views_are_made_while_threads_come_and_go() {
    if !views_are_made("views_are_made_while_threads_come_and_go") {
        return;
    }
    isolated("views_are_made_while_threads_come_and_go", || {
        let rounds = if is_emulated() { 5 } else { 40 };
        let until = std::sync::Arc::new(AtomicBool::new(false));
        let strangers: Vec<_> = (0..2)
            .map(|_| {
                let until = until.clone();
                std::thread::spawn(move || {
                    while !until.load(Ordering::Relaxed) {
                        // It makes no kernel call, and allocates.
                        let other = std::thread::spawn(|| vec![1_u8; 300_000].len());
                        assert_eq!(other.join().expect("a length"), 300_000);
                    }
                })
            })
            .collect();
        let mappers: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(move || {
                    for round in 0..rounds {
                        let base = allocate(2 * PAGE);
                        store(base, round);
                        match remap(base, ANYWHERE) {
                            Ok((view, ..)) => {
                                assert_eq!(load(view), round);
                                release(view, PAGE);
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                        release(base, 2 * PAGE);
                    }
                })
            })
            .collect();
        for mapper in mappers {
            mapper.join().expect("the thread's assertions");
        }
        until.store(true, Ordering::Relaxed);
        for stranger in strangers {
            stranger.join().expect("the thread's assertions");
        }
    });
}

/// The thread that stops the others is suspended by one of them, and the other way round: both go on.
#[test]
fn a_thread_that_makes_a_view_may_be_suspended_meanwhile() {
    if !views_are_made("a_thread_that_makes_a_view_may_be_suspended_meanwhile") {
        return;
    }
    isolated(
        "a_thread_that_makes_a_view_may_be_suspended_meanwhile",
        || {
            let rounds = if is_emulated() { 10 } else { 150 };
            let names: Vec<_> = (0..2).map(|_| AtomicU64::new(0)).collect();
            let names = &*names.leak();
            let done = &*Box::leak(Box::new(AtomicBool::new(false)));
            let mappers: Vec<_> = (0..2)
                .map(|index: usize| {
                    std::thread::spawn(move || {
                        let thread = ThreadRight::current().expect("a thread");
                        names[index].store(thread.name().raw().into(), Ordering::SeqCst);
                        for round in 0..rounds {
                            let base = allocate(PAGE);
                            store(base, round);
                            let (view, ..) = remap(base, ANYWHERE).expect("a view");
                            assert_eq!(load(view), round);
                            release(view, PAGE);
                            release(base, PAGE);
                        }
                        // The suspender's name for the thread must not go.
                        while !done.load(Ordering::SeqCst) {
                            std::thread::yield_now();
                        }
                    })
                })
                .collect();
            let suspender = std::thread::spawn(move || {
                let mut suspended = 0;
                while suspended < 2 * rounds {
                    for name in names {
                        let name = name.load(Ordering::SeqCst) as u32;
                        if name == 0 {
                            continue;
                        }
                        // SAFETY: no pointers.
                        unsafe {
                            assert_eq!(answer(kernel::thread_suspend(name)), Ok(()));
                            assert_eq!(answer(kernel::thread_resume(name)), Ok(()));
                        }
                        suspended += 1;
                    }
                }
            });
            suspender.join().expect("the thread's assertions");
            done.store(true, Ordering::SeqCst);
            for mapper in mappers {
                mapper.join().expect("the thread's assertions");
            }
        },
    );
}

#[test]
fn memory_that_the_system_writes_to_has_no_second_view() {
    if KERNEL == Kernel::Xnu {
        report_skipped(
            "memory_that_the_system_writes_to_has_no_second_view",
            "XNU has no such memory in a process",
        );
    }
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a question about a constant of the process.
        let code = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        if code == 0 {
            return;
        }
        let how = Remap {
            size: 4096,
            ..ANYWHERE
        };
        assert_eq!(remap(code, how), Err(KernReturn::NOT_SUPPORTED));
        let (copy, ..) = remap(code, Remap { copy: 1, ..how }).expect("a copy");
        assert_eq!(load(copy), load(code));
        release(copy, 4096);
    }
}

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
        "pages_are_mapped_with_a_protection_and_an_alignment",
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
                    place,
                    PAGE,
                    0,
                    [VM_PROT_DEFAULT, VM_PROT_READ],
                    1
                ),
                refused
            );
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

/// Start, size and description of a region.
type Recursed = (u64, u64, vm_region_submap_info_64);

fn recursed_with(task: mach_port_name_t, at: u64, room: u32) -> Answer<(u64, u64, u32, [u32; 64])> {
    let (mut address, mut size, mut depth, mut count) = (at, 7, 99, room);
    let mut words = [0x5a5a_5a5a_u32; 64];
    // SAFETY: there are more words than the count says, and the other results go to local variables.
    let code = unsafe {
        kernel::mach_vm_region_recurse(
            task,
            &mut address,
            &mut size,
            &mut depth,
            words.as_mut_ptr().cast(),
            &mut count,
        )
    };
    if let Err(error) = answer(code) {
        assert_eq!((address, size, words[0]), (at, 7, 0x5a5a_5a5a));
        return Err(error);
    }
    assert!(
        words[count as usize..]
            .iter()
            .all(|word| *word == 0x5a5a_5a5a)
    );
    Ok((address, size, count, words))
}

fn recursed(at: u64) -> Answer<Recursed> {
    let room = VM_REGION_SUBMAP_INFO_COUNT_64;
    let (address, size, count, words) = recursed_with(task_self(), at, room)?;
    assert_eq!(count, room);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Ok((
        address,
        size,
        mach_sys::pod::read(&bytes).expect("enough words"),
    ))
}

/// Returns whether the system tells the pages of regions; says so if it does not.
fn pages_are_told(test: &str) -> bool {
    let word = 0_u64;
    // An emulator tells its own pages.
    let told = !is_emulated() && recursed(&raw const word as u64) != Err(KernReturn::NOT_SUPPORTED);
    if !told {
        report_skipped(test, "this system does not tell the pages of regions");
    }
    told
}

#[test]
fn a_regions_pages_are_counted() {
    if !pages_are_told("a_regions_pages_are_counted") {
        return;
    }
    // No neighbour may grow meanwhile.
    isolated("a_regions_pages_are_counted", || {
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
    isolated("all_regions_are_walked_while_others_come_and_go", || {
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
    });
}

#[test]
fn the_old_names_do_the_same() {
    if !views_are_made("the_old_names_do_the_same") {
        return;
    }
    let base = allocate(PAGE);
    store(base, 1);
    let (mut address, mut current, mut maximum) = (0, 0, 0);
    // SAFETY: the results go to local variables; the memory is the test's.
    unsafe {
        let code = kernel::vm_remap(
            task_self(),
            &mut address,
            PAGE,
            0,
            VM_FLAGS_ANYWHERE,
            task_self(),
            base,
            0,
            &mut current,
            &mut maximum,
            VM_INHERIT_NONE,
        );
        assert_eq!((answer(code), load(address)), (Ok(()), 1));
        let code = kernel::vm_copy(task_self(), base, 8, address + 8);
        assert_eq!((answer(code), load(base + 8)), (Ok(()), 1));
        let mut other = 0;
        let code = kernel::vm_map(
            task_self(),
            &mut other,
            PAGE,
            0xf_ffff,
            VM_FLAGS_ANYWHERE,
            0,
            0,
            0,
            VM_PROT_DEFAULT,
            VM_PROT_ALL,
            VM_INHERIT_COPY,
        );
        assert_eq!((answer(code), other & 0xf_ffff), (Ok(()), 0));
        let mut state = 0;
        let code =
            kernel::vm_purgable_control(task_self(), other, VM_PURGABLE_GET_STATE, &mut state);
        assert_eq!(answer(code), Err(KernReturn::INVALID_ARGUMENT));
        let (mut at, mut size, mut depth, mut count) = (other, 0, 0, 11);
        let code = kernel::vm_region_recurse_64(
            task_self(),
            &mut at,
            &mut size,
            &mut depth,
            null_mut(),
            &mut count,
        );
        assert_eq!(answer(code), Err(KernReturn::INVALID_ARGUMENT));
        release(other, PAGE);
    }
    release(address, PAGE);
    release(base, PAGE);
}
