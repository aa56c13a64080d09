//! Signals of the five that are sent to a thread while it is in the kernel or in its fault handler.
//!
//! They are held back until it has left, as on XNU while a thread is in the kernel: a handler that ran on top might fault, make a
//! kernel call or jump out, and would find the kernel's lock held, or leave an exception's delivery half done. The signal is kept in the
//! thread's record, once as a pending one would be, and raised again with its own siginfo when the thread leaves. It is not left
//! blocked and pending meanwhile: a probed copy of bad memory would kill.
#![allow(unsafe_code)]

use super::header::Header;
use crate::host::sys::mask::{self, How, Mask, SYNCHRONOUS_MASK};
use crate::host::sys::thread::{gettid, queue_signal};
use core::sync::atomic::Ordering;

/// Holds a signal back until the thread has left the kernel, or the fault handler that was interrupted.
///
/// # Safety
/// `info` is the address of the kernel's siginfo; the header is the calling thread's.
pub(in crate::host) unsafe fn keep(header: &Header, signal: i32, info: usize) {
    // SAFETY: the caller's promise.
    unsafe { header.held_back.keep(signal, info) };
}

/// Holds a signal back in a fault handler that is on its way in or out, and may not look at what is kept any more. Returns the signal as a
/// mask: the interrupted code is to go on with it blocked.
///
/// # Safety
/// The safety requirements of [`keep`] apply, and the signal has a handler.
pub(in crate::host) unsafe fn leave_pending(header: &Header, signal: i32, info: usize) -> Mask {
    // Blocked before it is raised: it must not arrive here, and no other on top of this.
    mask::change(How::Block, SYNCHRONOUS_MASK);
    // SAFETY: the caller's promise; the signal comes through the entry again.
    unsafe { queue_signal(gettid(), signal, info) };
    let bit = mask::bit(signal);
    header.held_back.blocked.fetch_or(bit, Ordering::Relaxed);
    bit
}

/// Receives, in a fault handler that has begun and is marked as such, the signals left pending on its way in, which are then kept.
pub(in crate::host) fn begin_to_keep(header: &Header) {
    let blocked = &header.held_back.blocked;
    if blocked.load(Ordering::Relaxed) != 0 {
        mask::change(How::Unblock, blocked.swap(0, Ordering::Relaxed));
    }
}

/// Raises the kept signals in a fault handler that is about to leave and is no longer marked. They arrive after it has left, in code with this mask.
/// Leaves the five blocked if there is something.
pub(in crate::host) fn raise_at_return(header: &Header, afterwards: impl FnOnce() -> Mask) {
    if !header.is_in_kernel() && !header.held_back.is_empty() {
        mask::change(How::Block, SYNCHRONOUS_MASK);
        header.held_back.raise(afterwards());
    }
}

/// Raises the kept signals after the calling thread has left the kernel.
pub(super) fn raise_now(header: &Header) {
    if !header.held_back.is_empty() {
        // The first that is not blocked arrives at once. None of the five is blocked for it: the handler of another signal that ran then
        // could not fault.
        let blocked = mask::change(How::Block, 0);
        header.held_back.raise(blocked);
    }
}
