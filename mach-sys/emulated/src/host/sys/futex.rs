//! Waiting on a word of memory, and waking the threads that wait.
#![allow(unsafe_code)]

use super::call::call;
use core::sync::atomic::AtomicU32;
use core::time::Duration;

/// Result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Another thread woke this one, or the system did for no reason.
    Woken,
    /// The word had another value already.
    Changed,
    /// The time was over.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// Waits while `word` has the value `expected`.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Wait {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let timeout_at = timeout
        .as_ref()
        .map_or(0, |timeout| core::ptr::from_ref(timeout) as usize);
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let arguments = [
        word.as_ptr() as usize,
        operation as usize,
        expected as usize,
        timeout_at,
        0,
        0,
    ];
    // SAFETY: the word outlives the call, as does the timeout.
    match unsafe { call(libc::SYS_futex, arguments) } as i32 {
        error if error == -libc::EAGAIN => Wait::Changed,
        error if error == -libc::ETIMEDOUT => Wait::TimedOut,
        error if error == -libc::EINTR => Wait::Interrupted,
        _ => Wait::Woken,
    }
}

/// Wakes up to `count` threads that wait on `word`.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    let count = count.min(i32::MAX as u32);
    let arguments = [
        word.as_ptr() as usize,
        operation as usize,
        count as usize,
        0,
        0,
        0,
    ];
    // SAFETY: only the word's address is used.
    unsafe { call(libc::SYS_futex, arguments) };
}
