//! Signals that are pending for the process, and the default action.
#![allow(unsafe_code)]

use super::call::call;
use super::mask::{self, How, Mask};
use super::thread::{getpid, gettid, kill_this_process};
use core::sync::atomic::{AtomicUsize, Ordering};

/// The kernel's `struct sigaction`, of which only the handler matters here; zeroes are the default action.
#[derive(Default)]
#[repr(C)]
struct Action {
    handler: usize,
    rest: [usize; 2],
    mask: Mask,
}

/// Returns the signals that are pending for the calling thread, or for the process, and that the calling thread has blocked.
pub(in crate::host) fn pending() -> Mask {
    let mut pending: Mask = 0;
    let at = core::ptr::from_mut(&mut pending) as usize;
    // SAFETY: the kernel writes one mask, of the size given.
    unsafe { call(libc::SYS_rt_sigpending, [at, size_of::<Mask>(), 0, 0, 0, 0]) };
    pending
}

/// Returns whether a signal ends the process unless it has a handler or is ignored.
pub(in crate::host) const fn ends_the_process(signal: i32) -> bool {
    !matches!(
        signal,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
    )
}

/// Returns whether a signal has the default action.
pub(in crate::host) fn is_default(signal: i32) -> bool {
    handler(signal) == Some(libc::SIG_DFL)
}

/// Address of the emulation's handler that takes the default action in the end; 0 for none.
static DEADLY: AtomicUsize = AtomicUsize::new(0);

/// Notes the handler that takes the default action in the end; 0 for none.
pub(in crate::host) fn note_deadly(handler: usize) {
    DEADLY.store(handler, Ordering::Relaxed);
}

/// Returns whether a signal has the default action, or a handler that takes it in the end.
pub(in crate::host) fn ends_by_default(signal: i32) -> bool {
    handler(signal).is_some_and(|handler| {
        handler == libc::SIG_DFL || handler == DEADLY.load(Ordering::Relaxed)
    })
}

/// Returns the handler of a signal; `None` where the system does not say.
pub(in crate::host) fn handler(signal: i32) -> Option<usize> {
    let mut action = Action::default();
    let at = core::ptr::from_mut(&mut action) as usize;
    let arguments = [signal as usize, 0, at, size_of::<Mask>(), 0, 0];
    // SAFETY: the kernel writes one action.
    let read = unsafe { call(libc::SYS_rt_sigaction, arguments) } == 0;
    read.then_some(action.handler)
}

/// Makes the default action a signal's.
pub(in crate::host) fn reset(signal: i32) {
    let action = Action::default();
    let at = core::ptr::from_ref(&action) as usize;
    // SAFETY: the kernel reads one action, the default.
    unsafe {
        call(
            libc::SYS_rt_sigaction,
            [signal as usize, at, 0, size_of::<Mask>(), 0, 0],
        )
    };
}

/// Installs a handler with three arguments, on the alternate stack, that restarts system calls and has `blocked` blocked. Returns whether
/// the system took it.
pub(in crate::host) fn install(signal: i32, handler: usize, blocked: Mask) -> bool {
    // Through the C library, which knows the restorer that this machine needs.
    // SAFETY: zeroes are a valid value; every field that matters is filled.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // Not by `sigaddset`, which leaves the C library's own signals out.
    // SAFETY: a signal set begins with the kernel's, whatever room is behind it.
    unsafe {
        core::ptr::from_mut(&mut action.sa_mask)
            .cast::<Mask>()
            .write(blocked)
    };
    // SAFETY: the caller's handler takes three arguments.
    unsafe { libc::sigaction(signal, &action, core::ptr::null_mut()) == 0 }
}

/// Takes one pending signal that the calling thread has blocked. Returns whether it was still there.
pub(in crate::host) fn take(signal: i32) -> bool {
    let set: Mask = mask::bit(signal);
    let no_time = [0_usize; 2];
    let (set_at, time_at) = (
        core::ptr::from_ref(&set) as usize,
        core::ptr::from_ref(&no_time) as usize,
    );
    let arguments = [set_at, 0, time_at, size_of::<Mask>(), 0, 0];
    // SAFETY: the kernel reads a mask and a time, which is zero.
    unsafe { call(libc::SYS_rt_sigtimedwait, arguments) == signal as isize }
}

/// Takes a signal's default action, which ends the process, on the calling thread.
pub(in crate::host) fn end_by(signal: i32) {
    let action = Action::default();
    let action_at = core::ptr::from_ref(&action) as usize;
    let (process, thread) = (getpid() as usize, gettid() as usize);
    let signal_word = signal as usize;
    // SAFETY: the kernel reads one action, the default; dying of the signal is what this is for.
    let sent = unsafe {
        call(
            libc::SYS_rt_sigaction,
            [signal_word, action_at, 0, size_of::<Mask>(), 0, 0],
        );
        // A sandbox may refuse one of them.
        match call(libc::SYS_tgkill, [process, thread, signal_word, 0, 0, 0]) {
            ..0 => call(libc::SYS_kill, [process, signal_word, 0, 0, 0, 0]),
            sent => sent,
        }
    };
    if sent < 0 {
        // It was taken, and would be lost.
        kill_this_process();
    }
    mask::change(How::Unblock, mask::bit(signal));
}
