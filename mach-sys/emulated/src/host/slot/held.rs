//! Signals of the five that are sent to a thread while it is in the kernel or in its fault handler.
//!
//! They are held back until it has left, as on XNU while a thread is in the kernel: a handler that ran on top might fault, make a
//! kernel call or jump out, and would find the kernel's lock held, or leave an exception's delivery half done. The signal is raised
//! again, with its own siginfo, and blocked in the interrupted code, which puts another mask in force when it leaves.
#![allow(unsafe_code)]

use super::header::Header;
use crate::host::sys::mask::{self, How, Mask, SYNCHRONOUS_MASK};
use crate::host::sys::thread::{gettid, queue_signal};
use core::sync::atomic::{Ordering, compiler_fence};

/// Holds a signal back. Returns it as a mask: the interrupted code is to go on with it blocked.
///
/// # Safety
/// `info` is the address of the kernel's siginfo, the header is the calling thread's, and the signal has a handler.
pub(in crate::host) unsafe fn hold_back(header: &Header, signal: i32, info: usize) -> Mask {
    let bit = mask::bit(signal);
    // Blocked before it is raised: it must not arrive here, and no other on top of this.
    mask::change(How::Block, SYNCHRONOUS_MASK);
    // SAFETY: the caller's promise; the signal comes through the entry again.
    unsafe { queue_signal(gettid(), signal, info) };
    if header.depth.load(Ordering::Relaxed) != 0 {
        let held = header.held.load(Ordering::Relaxed);
        header.held.store(held | bit, Ordering::Relaxed);
    }
    bit
}

/// Takes what was held back in the kernel, which the calling thread has left: signals that are to be unblocked.
pub(super) fn take(header: &Header) -> Mask {
    let held = header.held.load(Ordering::Relaxed);
    if held != 0 {
        header.held.store(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }
    held
}
