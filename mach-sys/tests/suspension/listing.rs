//! Threads that made no kernel call, the list of a task's threads, and what threads and tasks tell of themselves.

use crate::spin::{self, Spin};
use crate::support::{Name, get, own_name, resume, suspend, thread};
use mach_sys::info::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::pod::{self, Pod};
use mach_sys::port::MACH_PORT_RIGHT_SEND;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use test_support::isolated::{isolated, report_partly};

/// A thread that computes and has made no kernel call.
fn unknown() -> (Arc<Spin>, std::thread::JoinHandle<()>) {
    let spin = Arc::new(Spin::default());
    let handle = std::thread::spawn({
        let spin = Arc::clone(&spin);
        move || spin::run(&spin, None)
    });
    spin.wait_for_rounds();
    (spin, handle)
}

fn port_of(handle: &std::thread::JoinHandle<()>) -> Name {
    let pthread = system::Pthread::from_raw(handle.as_pthread_t() as usize);
    // SAFETY: the thread was not joined.
    unsafe { system::thread_port(pthread) }
}

fn references(name: Name) -> u32 {
    let mut count = 0;
    let task = system::task_self();
    // SAFETY: a local variable.
    let code = unsafe { kernel::mach_port_get_refs(task, name, MACH_PORT_RIGHT_SEND, &mut count) };
    assert_eq!(code, 0);
    count
}

#[test]
fn d1_2_a_thread_that_made_no_kernel_call_has_a_name_and_is_suspended() {
    isolated(
        "listing::d1_2_a_thread_that_made_no_kernel_call_has_a_name_and_is_suspended",
        || {
            let (spin, handle) = unknown();
            let name = port_of(&handle);
            assert_ne!(name, 0);
            assert_eq!(port_of(&handle), name, "always the same");
            // D1.3: one reference, the thread's own; the question adds none.
            assert_eq!(references(name), 1);
            assert_eq!(suspend(name), KernReturn::SUCCESS);
            assert!(get(name).is_ok());
            assert_eq!(resume(name), KernReturn::SUCCESS);
            spin.wait_for_rounds();
            spin.end();
            handle.join().expect("it went on");
        },
    );
}

/// Lists the threads, and releases the array.
pub(crate) fn threads() -> Vec<Name> {
    let mut names = core::ptr::null_mut();
    let mut count = 0;
    // SAFETY: local variables; the array has that many names, and is released once.
    unsafe {
        let code = kernel::task_threads(system::task_self(), &mut names, &mut count);
        assert_eq!(KernReturn::new(code), KernReturn::SUCCESS);
        let list = core::slice::from_raw_parts(names, count as usize).to_vec();
        let size = u64::from(count) * 4;
        assert_eq!(
            kernel::mach_vm_deallocate(system::task_self(), names as u64, size),
            0
        );
        list
    }
}

#[test]
fn d1_4_task_threads_lists_each_thread_once_with_one_reference() {
    isolated(
        "listing::d1_4_task_threads_lists_each_thread_once_with_one_reference",
        || {
            let own = own_name();
            let before = references(own);
            let unknown: Vec<_> = (0..5).map(|_| unknown()).collect();
            let (known, handle) = thread(std::thread::park);
            let list = threads();
            assert!(list.contains(&own) && list.contains(&known));
            assert_eq!(references(own), before + 1);
            // The main thread, this one, one that is known, five that are not.
            assert_eq!(list.len(), 8, "{list:x?}");
            let mut sorted = list.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), list.len(), "each once");
            for (_, handle) in &unknown {
                assert!(list.contains(&port_of(handle)));
            }
            assert_eq!(threads(), list);
            assert_eq!(references(own), before + 2);
            for (spin, handle) in unknown {
                spin.end();
                handle.join().expect("it ended");
            }
            handle.thread().unpark();
            handle.join().expect("it ended");
        },
    );
}

#[test]
fn d1_4_bad_tasks_have_their_codes() {
    isolated("listing::d1_4_bad_tasks_have_their_codes", || {
        let table = [
            (0, KernReturn::SEND_INVALID_DEST),
            (0xdead03, KernReturn::SEND_INVALID_DEST),
            (own_name(), KernReturn::INVALID_ARGUMENT),
        ];
        for (task, code) in table {
            let (mut names, mut count) = (core::ptr::null_mut(), 0);
            // SAFETY: local variables.
            let listed = unsafe { kernel::task_threads(task, &mut names, &mut count) };
            assert_eq!(KernReturn::new(listed), code, "{task:#x}");
            let told = task_told::<mach_task_basic_info>(task, MACH_TASK_BASIC_INFO);
            assert_eq!(told, Err(code), "{task:#x}");
        }
    });
}

fn words<T: Pod>() -> u32 {
    (size_of::<T>() / 4) as u32
}

fn told<T: Pod>(call: impl FnOnce(*mut i32, *mut u32) -> i32, room: u32) -> Result<T, KernReturn> {
    let mut value = pod::zeroed::<T>();
    let mut count = room;
    let code = call(core::ptr::from_mut(&mut value).cast(), &mut count);
    match KernReturn::new(code) {
        KernReturn::SUCCESS => {
            assert_eq!(count, words::<T>());
            Ok(value)
        }
        error => Err(error),
    }
}

fn thread_told<T: Pod>(thread: Name, flavor: u32) -> Result<T, KernReturn> {
    // SAFETY: room for the words that the count says.
    told(
        |to, count| unsafe { kernel::thread_info(thread, flavor, to, count) },
        words::<T>(),
    )
}

fn task_told<T: Pod>(task: Name, flavor: u32) -> Result<T, KernReturn> {
    // SAFETY: room for the words that the count says.
    told(
        |to, count| unsafe { kernel::task_info(task, flavor, to, count) },
        words::<T>(),
    )
}

#[test]
fn thread_info_tells_what_a_thread_is_and_does() {
    isolated(
        "listing::thread_info_tells_what_a_thread_is_and_does",
        || {
            let spin = Arc::new(Spin::default());
            let id = Arc::new(std::sync::atomic::AtomicU64::new(0));
            let (name, handle) = thread({
                let (spin, id) = (Arc::clone(&spin), Arc::clone(&id));
                move || {
                    // SAFETY: a name that ends with a zero.
                    unsafe { libc::prctl(libc::PR_SET_NAME, c"spinning".as_ptr()) };
                    id.store(system::thread_id(), std::sync::atomic::Ordering::SeqCst);
                    spin::run(&spin, None);
                }
            });
            spin.wait_for_rounds();
            test_support::wait::wait_for("30 ms of time", || {
                let basic: thread_basic_info = thread_told(name, THREAD_BASIC_INFO).expect("told");
                basic.user_time.seconds > 0 || basic.user_time.microseconds >= 30_000
            });
            for suspensions in 1..=2 {
                assert_eq!(suspend(name), KernReturn::SUCCESS);
                let basic: thread_basic_info = thread_told(name, THREAD_BASIC_INFO).expect("told");
                assert_eq!(basic.suspend_count, suspensions);
                assert_eq!(basic.policy, POLICY_TIMESHARE);
            }
            test_support::wait::wait_for("it to be stopped", || {
                let basic: thread_basic_info = thread_told(name, THREAD_BASIC_INFO).expect("told");
                basic.run_state == TH_STATE_STOPPED
            });
            let identifier: thread_identifier_info =
                thread_told(name, THREAD_IDENTIFIER_INFO).expect("told");
            assert_eq!(
                { identifier.thread_id },
                id.load(std::sync::atomic::Ordering::SeqCst)
            );
            assert_eq!({ identifier.thread_handle }, handle.as_pthread_t());
            let extended: thread_extended_info =
                thread_told(name, THREAD_EXTENDED_INFO).expect("told");
            assert!({ extended.pth_user_time } >= 30_000_000);
            assert_eq!({ extended.pth_run_state }, TH_STATE_STOPPED);
            let pth_name = extended.pth_name;
            assert_eq!(&pth_name[..9], b"spinning\0");
            // Too little room, and flavors that there are not.
            let little = told::<thread_basic_info>(
                // SAFETY: room for the words that the count says.
                |to, count| unsafe { kernel::thread_info(name, THREAD_BASIC_INFO, to, count) },
                9,
            );
            assert_eq!(little, Err(KernReturn::INVALID_ARGUMENT));
            for flavor in [0, 1, 2, 6, 99] {
                let unknown = thread_told::<thread_extended_info>(name, flavor);
                assert_eq!(unknown, Err(KernReturn::INVALID_ARGUMENT), "{flavor}");
            }
            assert_eq!(
                (resume(name), resume(name)),
                (KernReturn::SUCCESS, KernReturn::SUCCESS)
            );
            spin.end();
            handle.join().expect("it went on");
        },
    );
}

/// Asks for at most so many words of what `TASK_VM_INFO` tells, and returns them with the count that came.
fn vm_info(flavor: u32, room: u32) -> Result<(task_vm_info, u32), KernReturn> {
    let (mut info, mut count) = (task_vm_info::default(), room);
    // SAFETY: the structure has room for the most words that are asked for.
    let code = unsafe {
        let to = (&raw mut info).cast();
        kernel::task_info(system::task_self(), flavor, to, &mut count)
    };
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok((info, count)),
        error => Err(error),
    }
}

#[test]
fn task_vm_info_gives_as_many_words_as_a_revision_has_and_adds_up() {
    const NAME: &str = "listing::task_vm_info_gives_as_many_words_as_a_revision_has_and_adds_up";
    isolated(NAME, || {
        for (room, words) in [
            (36, 36),
            (37, 36),
            (38, 38),
            (41, 38),
            (42, 42),
            (83, 42),
            (84, 84),
            (86, 86),
            (87, 87),
            (88, 87),
            (89, 89),
            (92, 89),
            (93, 93),
        ] {
            for flavor in [TASK_VM_INFO, TASK_VM_INFO_PURGEABLE] {
                let (info, count) = vm_info(flavor, room).expect("told");
                assert_eq!(count, words, "room for {room}");
                // Nothing is written behind them.
                let told = &pod::bytes_of(&info)[4 * words as usize..];
                assert!(told.iter().all(|byte| *byte == 0), "room for {room}");
            }
        }
        assert_eq!(vm_info(TASK_VM_INFO, 35), Err(KernReturn::INVALID_ARGUMENT));
        let before = vm_info(TASK_VM_INFO, 93).expect("told").0;
        let mut memory = vec![1_u8; 32 << 20];
        memory[1 << 20] = 2;
        let after = vm_info(TASK_VM_INFO, 93).expect("told").0;
        let more = 30 << 20;
        assert!({ after.internal } >= before.internal + more);
        assert!({ after.phys_footprint } >= before.phys_footprint + more);
        assert!({ after.external } < before.external + more);
        assert_eq!(after.internal + after.external, { after.resident_size });
        assert!({ after.resident_size_peak } >= after.resident_size);
        assert!({ after.virtual_size } > after.resident_size);
        assert_eq!(after.page_size as usize, system::page_size());
        assert!({ after.region_count } > 10);
        let (lowest, highest) = (after.min_address, after.max_address);
        for at in [memory.as_ptr() as u64, &raw const after as u64] {
            assert!(
                (lowest..highest).contains(&at),
                "{at:#x} of {lowest:#x}..{highest:#x}"
            );
        }
    });
}

#[test]
fn task_info_tells_times_events_and_flags() {
    const NAME: &str = "listing::task_info_tells_times_events_and_flags";
    isolated(NAME, || {
        let task = system::task_self();
        let flags: task_flags_info = task_told(task, TASK_FLAGS_INFO).expect("told");
        assert_eq!(flags.flags, TF_LP64 | TF_64B_DATA);
        let events: task_events_info = task_told(task, TASK_EVENTS_INFO).expect("told");
        assert!(events.faults > 0 && events.pageins <= events.faults);
        let basic: task_basic_info_64 = task_told(task, TASK_BASIC_INFO).expect("told");
        let small: task_basic_info_32 = task_told(task, TASK_BASIC_INFO_32).expect("told");
        let most: task_basic_info_32 = task_told(task, TASK_BASIC2_INFO_32).expect("told");
        // Another question in between may have taken a little memory.
        let close = |one: u32, other: u64| u64::from(one).abs_diff(other) < 1 << 20;
        assert!(close(small.resident_size, basic.resident_size));
        assert!(close(
            small.virtual_size,
            basic.virtual_size & u64::from(u32::MAX)
        ));
        assert!(most.resident_size + (1 << 20) > small.resident_size);
        if test_support::emulator::is_emulated() {
            return report_partly(NAME, "an emulator's process has times of its own");
        }
        assert!(events.csw > 0);
        let (spin, handle) = unknown();
        test_support::wait::wait_for("60 ms of time", || {
            let times: task_absolutetime_info =
                task_told(task, TASK_ABSOLUTETIME_INFO).expect("told");
            assert!({ times.total_user } >= times.threads_user);
            assert!({ times.total_system } >= times.threads_system);
            times.threads_user >= 60_000_000
        });
        spin.end();
        handle.join().expect("it ended");
        test_support::wait::wait_for("its time among that of all, and not of the living", || {
            let times: task_absolutetime_info =
                task_told(task, TASK_ABSOLUTETIME_INFO).expect("told");
            times.total_user >= times.threads_user + 40_000_000
        });
    });
}

#[test]
fn task_info_tells_what_the_process_uses() {
    const NAME: &str = "listing::task_info_tells_what_the_process_uses";
    isolated(NAME, || {
        let task = system::task_self();
        let before: mach_task_basic_info = task_told(task, MACH_TASK_BASIC_INFO).expect("told");
        let mut memory = vec![1_u8; 64 << 20];
        memory[1 << 20] = 2;
        let after: mach_task_basic_info = task_told(task, MACH_TASK_BASIC_INFO).expect("told");
        let (was, is, most) = (
            before.resident_size,
            after.resident_size,
            after.resident_size_max,
        );
        assert!(is >= was + (60 << 20) && most >= is, "{was} {is} {most}");
        assert!({ after.virtual_size } > is);
        assert_eq!({ after.suspend_count }, 0);
        drop(memory);
        let basic: task_basic_info_64 = task_told(task, TASK_BASIC_INFO).expect("told");
        assert!({ basic.virtual_size } > 0 && { basic.resident_size } > 0);
        // There is no dyld, and what is not told is no flavor.
        for flavor in [0, TASK_DYLD_INFO, 99] {
            let unknown = task_told::<mach_task_basic_info>(task, flavor);
            assert_eq!(unknown, Err(KernReturn::INVALID_ARGUMENT), "{flavor}");
        }
        if test_support::emulator::is_emulated() {
            return report_partly(NAME, "an emulator's process has times of its own");
        }
        // The times of a thread that lives are in one flavor, and when it has ended in the other.
        let (spin, handle) = unknown();
        let micros =
            |time: time_value_t| i64::from(time.seconds) * 1_000_000 + i64::from(time.microseconds);
        test_support::wait::wait_for("60 ms of time", || {
            let times: task_thread_times_info =
                task_told(task, TASK_THREAD_TIMES_INFO).expect("told");
            micros(times.user_time) >= 60_000
        });
        spin.end();
        handle.join().expect("it ended");
        test_support::wait::wait_for("its time among those of the ended", || {
            let ended: mach_task_basic_info = task_told(task, MACH_TASK_BASIC_INFO).expect("told");
            micros(ended.user_time) >= 40_000
        });
    });
}
