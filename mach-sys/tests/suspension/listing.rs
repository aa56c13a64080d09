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
fn threads() -> Vec<Name> {
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
        for flavor in [0, 2, TASK_DYLD_INFO, 22, 99] {
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
