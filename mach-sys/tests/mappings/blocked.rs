//! Memory that cannot be read, on a thread that has the signals of bad memory blocked.

use crate::support::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use std::os::fd::AsRawFd;
use test_support::emulator::is_emulated;
use test_support::isolated::{isolated, report_partly, report_skipped};

/// Maps a file of one page privately, and as much beyond its end, which cannot be read.
fn map_beyond_end() -> u64 {
    let path = std::env::temp_dir().join(format!("mach-sys-blocked-{}", std::process::id()));
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .expect("a file");
    file.set_len(PAGE).expect("a page");
    std::fs::remove_file(&path).expect("made above");
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
    let size = 2 * PAGE as usize;
    // SAFETY: a new mapping.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            protection,
            flags,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(base, libc::MAP_FAILED);
    base as u64
}

#[test]
fn memory_beyond_a_files_end_is_an_error_though_its_signal_is_blocked() {
    const TEST: &str =
        "blocked::memory_beyond_a_files_end_is_an_error_though_its_signal_is_blocked";
    if KERNEL == Kernel::Xnu {
        report_skipped(TEST, "XNU copies pages, not bytes");
        return;
    }
    isolated(TEST, || {
        let (base, to) = (map_beyond_end(), allocate(2 * PAGE));
        store(to, 7);
        // SAFETY: all zeroes are a valid set, which is filled; this thread alone is concerned.
        unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&mut all);
            assert_eq!(
                libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut()),
                0
            );
        }
        let how = Remap {
            size: 2 * PAGE,
            ..ANYWHERE
        };
        if is_emulated() {
            report_partly(TEST, "the emulator's own threads cannot be stopped");
        } else {
            let view = remap(base, how).map(|_| ());
            assert_eq!(view, Err(KernReturn::INVALID_ADDRESS), "a view");
        }
        let (mut data, mut count, mut copied) = (0, 0, 0);
        // SAFETY: the memory is the test's, and the results go to local variables.
        let calls = unsafe {
            [
                ("a copy", remap(base, Remap { copy: 1, ..how }).map(|_| ())),
                (
                    "read",
                    answer(kernel::mach_vm_read(
                        task_self(),
                        base,
                        2 * PAGE,
                        &mut data,
                        &mut count,
                    )),
                ),
                (
                    "read_overwrite",
                    answer(kernel::mach_vm_read_overwrite(
                        task_self(),
                        base,
                        2 * PAGE,
                        to,
                        &mut copied,
                    )),
                ),
                (
                    "write",
                    answer(kernel::mach_vm_write(
                        task_self(),
                        to,
                        base as usize,
                        2 * PAGE as u32,
                    )),
                ),
                (
                    "copy from it",
                    answer(kernel::mach_vm_copy(task_self(), base, 2 * PAGE, to)),
                ),
                (
                    "copy to it",
                    answer(kernel::mach_vm_copy(task_self(), to, 2 * PAGE, base)),
                ),
            ]
        };
        for (call, found) in calls {
            assert_eq!(found, Err(KernReturn::INVALID_ADDRESS), "{call}");
        }
        assert_eq!((load(to), load(base), count, copied), (7, 0, 0, 0));
    });
}
