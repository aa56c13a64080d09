//! A thread's `/proc/self/task/…/status`, read without allocation.

use super::mask::{self, ALL_MASK, How, Mask, bit};
use super::proc_file::read_file;
use super::thread::gettid;
use core::sync::atomic::{AtomicI32, Ordering};
use std::io::Write;

/// The real-time signals, with those that C libraries keep to themselves.
const REAL_TIME: Mask = !0 << 31;

/// The number that the system adds to that of a real-time signal here.
static ADDED: AtomicI32 = AtomicI32::new(0);

/// Finds out by which numbers the system tells real-time signals: a processor's emulator keeps the first ones of the host, and shows the host's
/// files. The signal has a handler: it may be delivered meanwhile.
pub(in crate::host) fn find_numbers(signal: i32) {
    let looked = |mask| {
        mask::change(How::Set, mask);
        told(gettid(), b"SigBlk:").unwrap_or(0) & REAL_TIME
    };
    let before = mask::change(How::Block, ALL_MASK);
    let blocked = looked(ALL_MASK) & !looked(ALL_MASK & !bit(signal));
    mask::change(How::Set, before);
    if blocked.is_power_of_two() {
        let number = blocked.trailing_zeros() as i32 + 1;
        ADDED.store(number - signal, Ordering::Relaxed);
    }
}

/// Returns a mask by the numbers of this process, where the system adds this to those of the real-time signals.
fn by_own_numbers(told: Mask, added: i32) -> Mask {
    let real_time = told & REAL_TIME;
    let moved = match added {
        0.. => real_time.checked_shr(added.unsigned_abs()),
        _ => real_time.checked_shl(added.unsigned_abs()),
    };
    told & !REAL_TIME | moved.unwrap_or(0) & REAL_TIME
}

/// Returns whether a thread of this process has a signal blocked; `None` where the system does not say.
pub(in crate::host) fn blocks(tid: u32, signal: i32) -> Option<bool> {
    Some(mask_in(tid, b"SigBlk:")? & bit(signal) != 0)
}

/// Returns the signals that are pending for a thread of this process alone; `None` where the system does not say.
pub(in crate::host) fn pending(tid: u32) -> Option<Mask> {
    mask_in(tid, b"SigPnd:")
}

fn mask_in(tid: u32, line: &[u8]) -> Option<Mask> {
    told(tid, line).map(|told| by_own_numbers(told, ADDED.load(Ordering::Relaxed)))
}

/// Returns a mask as the system tells it.
fn told(tid: u32, line: &[u8]) -> Option<Mask> {
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
    use super::{blocks, by_own_numbers, find_numbers, parse};
    use crate::host::sys::mask::{self, ALL_MASK, How, bit};
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
    fn real_time_signals_have_the_numbers_of_this_process() {
        let (usr1, all) = (bit(libc::SIGUSR1), !0 << 31);
        for (told, added, own) in [
            (bit(50) | usr1, 0, bit(50) | usr1),
            (bit(52) | usr1, 2, bit(50) | usr1),
            (bit(48) | usr1, -2, bit(50) | usr1),
            (bit(33) | bit(64), 2, bit(62)),
            (bit(33) | bit(64), -2, bit(35)),
            (all, 64, 0),
            (all, i32::MIN, 0),
        ] {
            assert_eq!(by_own_numbers(told, added), own, "{told:#x} {added}");
        }
    }

    #[test]
    fn the_calling_thread_is_told_apart_by_what_it_blocks() {
        let told = std::path::Path::new("/proc/self/task").exists();
        // Nothing sends this one.
        find_numbers(58);
        for signal in [libc::SIGUSR2, 40, 50, 51, 52, 60] {
            let before = mask::change(How::Block, bit(signal));
            let blocked = blocks(gettid(), signal);
            mask::change(How::Set, ALL_MASK & !bit(signal));
            let unblocked = blocks(gettid(), signal);
            mask::change(How::Set, before);
            assert_eq!(
                (blocked, unblocked),
                (told.then_some(true), told.then_some(false)),
                "{signal}"
            );
        }
        assert_eq!(blocks(u32::MAX, libc::SIGUSR2), None);
    }
}
