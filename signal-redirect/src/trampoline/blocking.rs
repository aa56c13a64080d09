//! What is called in a handler's place to block signals while it runs.
#![allow(unsafe_code)]

use core::ffi::c_int;

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::system;

use crate::frame::{HEADER_SIZE, word};

/// A handler with the tag, which is in the fourth argument register.
type Tagged = unsafe extern "C" fn(c_int, *mut siginfo_t, *mut ucontext_t, u64);

/// The address of what blocks signals around a handler.
pub(crate) fn address() -> u64 {
    let blocking: Tagged = blocking;
    blocking as *const () as u64
}

/// Blocks the signals that the frame's header says, calls its handler, and restores the interrupted mask with the handler's edits of
/// `uc_sigmask`. It uses no thread-local storage, and touches nothing but the frame.
///
/// # Safety
/// Called by the trampoline, for a frame whose header has a handler to call.
unsafe extern "C" fn blocking(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
    tag: u64,
) {
    // SAFETY: the trampoline hands over the frame's own structures; the machine context follows the header.
    let (handler, blocked) = unsafe {
        let header = ((*context).uc_mcontext - HEADER_SIZE) as *const u64;
        (
            header.add(word::BLOCKING_HANDLER).read(),
            header.add(word::BLOCKED).read() as u32,
        )
    };
    let mut before = system::block_signals(blocked);
    // SAFETY: as above; the address is that of an `Entry`, whose contract covers the call.
    unsafe {
        (*context).uc_sigmask = before.signals();
        core::mem::transmute::<u64, Tagged>(handler)(signal, info, context, tag);
        before.set_signals((*context).uc_sigmask);
    }
    before.restore();
}

/// Sets the calling thread's signal mask to that of the interrupted code, `uc_sigmask`, with the handler's edits. A handler that
/// leaves by a jump calls it before, if its signals were blocked ([`Redirect::block_signals`](crate::Redirect::block_signals)): one that
/// returns need not. It uses no thread-local storage, and is async-signal-safe.
///
/// # Safety
/// `context` is what the calling handler was given, and the handler has not returned.
#[doc(alias("siglongjmp", "sigprocmask"))]
pub unsafe fn restore_signal_mask(context: *const ucontext_t) {
    // SAFETY: the caller's promise.
    system::set_blocked_signals(unsafe { (*context).uc_sigmask });
}
