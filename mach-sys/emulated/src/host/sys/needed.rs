//! System calls without which no fault can be served: tried at the start, so that a sandbox that refuses one is told by its name.
#![allow(unsafe_code)]

use super::call::call;
use super::mask::Mask;
use std::io;

/// Tries each needed call in a form that changes nothing. Fails with the name of the first that the system refuses, and its error.
/// `rt_sigaction` is tried by installing the handlers, and `rt_sigreturn` cannot be tried.
pub(in crate::host) fn try_all() -> Result<(), (&'static str, io::Error)> {
    const WAKE_PRIVATE: usize = 1 | 128;
    let word = 0_u32;
    let word_at = core::ptr::from_ref(&word) as usize;
    let calls: [(&str, libc::c_long, [usize; 6]); 5] = [
        ("gettid", libc::SYS_gettid, [0; 6]),
        ("getpid", libc::SYS_getpid, [0; 6]),
        (
            "rt_sigprocmask",
            libc::SYS_rt_sigprocmask,
            [0, 0, 0, size_of::<Mask>(), 0, 0],
        ),
        ("sigaltstack", libc::SYS_sigaltstack, [0; 6]),
        (
            "futex",
            libc::SYS_futex,
            [word_at, WAKE_PRIVATE, 0, 0, 0, 0],
        ),
    ];
    for (name, number, arguments) in calls {
        // SAFETY: questions, the one about signals and stacks with nothing to read or write, and a wake of nobody.
        let result = unsafe { call(number, arguments) };
        if result < 0 {
            return Err((name, io::Error::from_raw_os_error(-result as i32)));
        }
    }
    Ok(())
}
