//! Threads that are ended within a call.

use crate::support::*;
use mach_sys::host::HOST_BASIC_INFO;
use mach_sys::info::{TASK_VM_INFO, THREAD_BASIC_INFO};
use mach_sys::kernel::{self, Config, Generation, KERNEL, Kernel, system::task_self};
use mach_sys::types::*;
use mach_sys::vm::*;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use test_support::emulator::is_emulated;
use test_support::isolated::{isolated, report_skipped};
use test_support::wait::wait_for;

/// A call with the names of the calling thread and the host, and memory of its own.
type Call = fn(mach_port_name_t, mach_port_name_t, u64);

fn open_files() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").expect("the open files");
    files.count()
}

const CALLS: [(&str, Call); 9] = [
    ("region", |_, _, base| {
        let (mut at, mut size, mut object, mut count) = (base, 0, 0, 9);
        let mut info = [0; 9];
        // SAFETY: room for as many words as the count says.
        unsafe {
            kernel::mach_vm_region(
                task_self(),
                &mut at,
                &mut size,
                VM_REGION_BASIC_INFO_64,
                info.as_mut_ptr(),
                &mut count,
                &mut object,
            )
        };
    }),
    ("region_recurse", |_, _, base| {
        let _ = recursed_with(task_self(), base, VM_REGION_SUBMAP_INFO_COUNT_64);
    }),
    ("a copy", |_, _, base| {
        if let Ok((copy, ..)) = remap(base, COPY) {
            release(copy, PAGE);
        }
    }),
    ("a view", |_, _, base| {
        if let Ok((view, ..)) = remap(base, ANYWHERE) {
            release(view, PAGE);
        }
    }),
    ("task_info", |_, _, _| {
        let (mut info, mut count) = ([0; 100], 100);
        // SAFETY: room for as many words as the count says.
        unsafe { kernel::task_info(task_self(), TASK_VM_INFO, info.as_mut_ptr(), &mut count) };
    }),
    ("thread_info", |thread, _, _| {
        let (mut info, mut count) = ([0; 32], 32);
        // SAFETY: room for as many words as the count says.
        unsafe { kernel::thread_info(thread, THREAD_BASIC_INFO, info.as_mut_ptr(), &mut count) };
    }),
    ("host_info", |_, host, _| {
        let (mut info, mut count) = ([0; 32], 32);
        // SAFETY: room for as many words as the count says.
        unsafe { kernel::host_info(host, HOST_BASIC_INFO, info.as_mut_ptr(), &mut count) };
    }),
    ("host_statistics", |_, host, _| {
        let (mut info, mut count) = ([0; 32], 32);
        let flavor = mach_sys::host::HOST_VM_INFO;
        // SAFETY: room for as many words as the count says.
        unsafe { kernel::host_statistics(host, flavor, info.as_mut_ptr(), &mut count) };
    }),
    ("task_threads", |_, _, _| {
        let (mut names, mut count) = (std::ptr::null_mut(), 0);
        // SAFETY: the results go to local variables, and the array is released.
        unsafe {
            kernel::task_threads(task_self(), &mut names, &mut count);
            kernel::mach_vm_deallocate(task_self(), names as u64, u64::from(count) * 4);
        }
    }),
];

/// Their files are the emulation's: XNU's calls have none. A thread is ended when it has closed them.
#[test]
fn a_thread_that_is_ended_within_a_call_leaves_no_file_open() {
    const TEST: &str = "ended::a_thread_that_is_ended_within_a_call_leaves_no_file_open";
    static NAME: AtomicU32 = AtomicU32::new(0);
    if KERNEL == Kernel::Xnu {
        report_skipped(TEST, "XNU's calls open no file");
        return;
    }
    if is_emulated() {
        report_skipped(TEST, "the emulator's own threads cannot be stopped");
        return;
    }
    isolated(TEST, || {
        let mut config = Config::default();
        config.generation = Generation::MacOs11;
        kernel::configure(config).expect("started");
        // SAFETY: no arguments.
        let host = unsafe { kernel::mach_host_self() };
        let before = open_files();
        for round in 0..20 {
            for (name, call) in CALLS {
                NAME.store(0, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let base = allocate(PAGE);
                    // SAFETY: no arguments.
                    let thread = unsafe { kernel::mach_thread_self() };
                    NAME.store(thread, Ordering::SeqCst);
                    loop {
                        call(thread, host, base);
                    }
                });
                wait_for("the thread says its name", || {
                    NAME.load(Ordering::SeqCst) != 0
                });
                std::thread::sleep(Duration::from_micros(300 + 170 * (round % 7)));
                let thread = NAME.load(Ordering::SeqCst);
                // SAFETY: no pointers.
                let code = unsafe { kernel::thread_terminate(thread) };
                assert_eq!(answer(code), Ok(()), "{name}");
                // The watching thread may have one open for a moment.
                wait_for(name, || open_files() == before);
            }
        }
    });
}
