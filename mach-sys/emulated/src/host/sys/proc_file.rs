//! Reading files of `/proc` without allocation.
#![allow(unsafe_code)]

use super::call::{call, page_size};
use std::io::Write;

/// Returns whether the system says that there is no such file. A refusal of the question says nothing. The path ends with a zero.
pub(super) fn is_missing_file(path: &[u8; 64]) -> bool {
    let arguments = [
        libc::AT_FDCWD as usize,
        path.as_ptr() as usize,
        libc::F_OK as usize,
        0,
        0,
        0,
    ];
    // SAFETY: the path is shorter than its buffer, whose rest is zero.
    let answer = unsafe { call(libc::SYS_faccessat, arguments) };
    answer == -(libc::ENOENT as isize)
}

/// Returns a thread's name and a zero; empty where the system does not say.
pub(in crate::host) fn thread_name(tid: u32) -> [u8; 16] {
    let mut name = [0; 16];
    let mut path = [0; 64];
    let mut rest = &mut path[..];
    if write!(rest, "/proc/self/task/{tid}/comm").is_ok() {
        let length = read_file(&path, &mut name[..15]);
        if let Some(end) = name[..length].iter().rposition(|byte| *byte == b'\n') {
            name[end..].fill(0);
        }
    }
    name
}

/// Returns the process's size and what of it is resident, in bytes; `None` where the system does not say.
pub(in crate::host) fn memory() -> Option<[u64; 2]> {
    let mut path = [0; 64];
    let name = b"/proc/self/statm";
    path[..name.len()].copy_from_slice(name);
    let mut text = [0; 128];
    let length = read_file(&path, &mut text);
    let mut pages = text.get(..length)?.split(|byte| *byte == b' ');
    let mut next = || -> Option<u64> {
        let pages: u64 = core::str::from_utf8(pages.next()?).ok()?.parse().ok()?;
        pages.checked_mul(page_size() as u64)
    };
    Some([next()?, next()?])
}

/// Reads the beginning of a file into `into` and returns its length in bytes; 0 if it cannot be read. The path ends with a zero.
pub(super) fn read_file(path: &[u8; 64], into: &mut [u8]) -> usize {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let open = [
        libc::AT_FDCWD as usize,
        path.as_ptr() as usize,
        flags,
        0,
        0,
        0,
    ];
    // SAFETY: the path is shorter than its buffer, whose rest is zero.
    let file = unsafe { call(libc::SYS_openat, open) };
    if file < 0 {
        return 0;
    }
    let file = file as usize;
    let at = into.as_mut_ptr() as usize;
    // SAFETY: the kernel writes into the slice; the file was opened here.
    let length = unsafe {
        let length = call(libc::SYS_read, [file, at, into.len(), 0, 0, 0]);
        call(libc::SYS_close, [file, 0, 0, 0, 0, 0]);
        length
    };
    usize::try_from(length).unwrap_or(0)
}
