//! A thread's `/proc/self/task/…/status`, read without allocation.

use super::mask::{Mask, bit};
use super::proc_file::read_file;
use std::io::Write;

/// Returns whether a thread of this process has a signal blocked; `None` where the system does not say.
pub(in crate::host) fn blocks(tid: u32, signal: i32) -> Option<bool> {
    Some(mask_in(tid, b"SigBlk:")? & bit(signal) != 0)
}

/// Returns the signals that are pending for a thread of this process alone; `None` where the system does not say.
pub(in crate::host) fn pending(tid: u32) -> Option<Mask> {
    mask_in(tid, b"SigPnd:")
}

fn mask_in(tid: u32, line: &[u8]) -> Option<Mask> {
    let mut path = [0; 64];
    let mut rest = &mut path[..];
    write!(rest, "/proc/self/task/{tid}/status").ok()?;
    // A line for each supplementary group's list, and a name, come before.
    let mut text = [0; 2048];
    let length = read_file(&path, &mut text);
    parse(text.get(..length)?, line)
}

/// Returns whether a thread of this process waits for signals in `sigwait` and its like; `false` where the system does not say.
pub(in crate::host) fn waits_for_signals(tid: u32) -> bool {
    let mut path = [0; 64];
    let mut rest = &mut path[..];
    let mut text = [0; 32];
    let length = match write!(rest, "/proc/self/task/{tid}/syscall") {
        Ok(()) => read_file(&path, &mut text),
        Err(_) => 0,
    };
    // The number of the system call, then its arguments.
    let number = text[..length].split(|byte| *byte == b' ').next();
    number.and_then(|number| core::str::from_utf8(number).ok()?.parse().ok())
        == Some(libc::SYS_rt_sigtimedwait)
}

fn parse(status: &[u8], name: &[u8]) -> Option<Mask> {
    let mut lines = status.split(|byte| *byte == b'\n');
    let mask = lines.find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(core::str::from_utf8(mask.trim_ascii()).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{blocks, parse};
    use crate::host::sys::mask::{self, How, bit};
    use crate::host::sys::thread::gettid;

    #[test]
    fn the_line_is_found_and_read() {
        assert_eq!(
            parse(
                b"Name:\tx\nSigPnd:\t1\nSigBlk:\t0000000000000200\nSigIgn:\t1\n",
                b"SigBlk:"
            ),
            Some(0x200)
        );
        assert_eq!(parse(b"Name:\tx\n", b"SigBlk:"), None);
        assert_eq!(parse(b"SigBlk:\tzz\n", b"SigBlk:"), None);
    }

    #[test]
    fn the_calling_thread_is_told_apart_by_what_it_blocks() {
        let told = std::path::Path::new("/proc/self/task").exists();
        let before = mask::change(How::Block, bit(libc::SIGUSR2));
        let blocked = blocks(gettid(), libc::SIGUSR2);
        mask::change(How::Set, before & !bit(libc::SIGUSR2));
        let unblocked = blocks(gettid(), libc::SIGUSR2);
        mask::change(How::Set, before);
        assert_eq!(
            (blocked, unblocked),
            (told.then_some(true), told.then_some(false))
        );
        assert_eq!(blocks(u32::MAX, libc::SIGUSR2), None);
    }
}
