//! Second views and copies of memory (`mach_vm_remap`).

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::types::*;
use mach_sys::vm::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use test_support::emulator::is_emulated;
use test_support::isolated::{isolated, report_skipped};

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
        "views::a_range_with_a_hole_is_refused_and_nothing_is_mapped",
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
    isolated("views::a_view_is_where_it_is_asked_for", || {
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
    isolated(
        "views::no_write_of_another_thread_is_lost_meanwhile",
        || {
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
        },
    );
}

/// Threads that start, end, map and unmap, and ask for views at the same time: each answer is a success or an error, and nothing hangs.
#[test]
fn views_are_made_while_threads_come_and_go() {
    if !views_are_made("views_are_made_while_threads_come_and_go") {
        return;
    }
    isolated("views::views_are_made_while_threads_come_and_go", || {
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
        "views::a_thread_that_makes_a_view_may_be_suspended_meanwhile",
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
