//! The function that the trampoline calls in place of a handler to block signals while the handler runs.
#![allow(unsafe_code)]

use core::ffi::c_int;

use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::system;

use crate::frame::{CONTEXT_AT, word};

/// The type of a handler with the tag, which is in the fourth argument register.
type Tagged = unsafe extern "C" fn(c_int, *mut siginfo_t, *mut ucontext_t, u64);

/// Returns the address of [`blocking`].
pub(crate) fn address() -> u64 {
    let blocking: Tagged = blocking;
    blocking as *const () as u64
}

/// Blocks the signals in the frame's header, calls the handler in the header, and restores the interrupted mask with the handler's
/// edits of `uc_sigmask`. It uses no thread-local storage, and accesses only the frame.
///
/// # Safety
/// The trampoline calls it, for a frame with a handler to call in its header.
unsafe extern "C" fn blocking(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
    tag: u64,
) {
    // SAFETY: the trampoline passes the frame's own structures; the header lies before the machine context.
    let (handler, blocked) = unsafe {
        let header = ((*context).uc_mcontext - CONTEXT_AT) as *const u64;
        (
            header.add(word::BLOCKING_HANDLER).read(),
            header.add(word::BLOCKED).read() as u32,
        )
    };
    let mut before = system::block_signals(blocked);
    // SAFETY: as above; the address is that of an `Entry`, and the contract of `Entry::new` covers the call.
    unsafe {
        (*context).uc_sigmask = before.signals();
        core::mem::transmute::<u64, Tagged>(handler)(signal, info, context, tag);
        before.set_signals((*context).uc_sigmask);
    }
    before.restore();
}

/// Sets the calling thread's signal mask to `uc_sigmask`: that of the interrupted code, with the handler's edits.
///
/// A handler that leaves by a jump calls it first, if its signals were blocked
/// ([`Redirect::block_signals`](crate::Redirect::block_signals)). A handler that returns need not. It uses no thread-local storage,
/// and is async-signal-safe.
///
/// # Safety
/// `context` is the calling handler's third argument, and the handler has not returned.
#[doc(alias("siglongjmp", "sigprocmask"))]
pub unsafe fn restore_signal_mask(context: *const ucontext_t) {
    // SAFETY: the caller's promise.
    system::set_blocked_signals(unsafe { (*context).uc_sigmask });
}
