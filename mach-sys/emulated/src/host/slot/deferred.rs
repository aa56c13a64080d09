//! Signals of the five that are sent to a thread while it is in the kernel or in its fault handler.
//!
//! They wait until it has left it, as they do on XNU while a thread is in the kernel: a handler that ran on top might fault, make a
//! kernel call or jump out, and would find the kernel's lock held, or leave an exception's delivery half done.
#![allow(unsafe_code)]

use super::header::{Header, RawInfo};
use crate::host::sys::mask::{self, How, SYNCHRONOUS};
use crate::host::sys::thread::{gettid, queue_signal};
use core::sync::atomic::Ordering;

/// Defers a sent signal. Returns `false` if it is none of the five.
///
/// # Safety
/// `info` is the address of the kernel's siginfo, and the header the calling thread's.
pub(in crate::host) unsafe fn put_off(header: &Header, signal: i32, info: usize) -> bool {
    let Some(index) = mask::index(signal) else {
        return false;
    };
    let bit = 1 << index;
    // One of a kind: the kernel merges signals that are pending, too.
    if header.deferred.load(Ordering::Relaxed) & bit == 0 {
        // SAFETY: a siginfo of the kernel's has 128 bytes.
        header.deferred_info[index].set(unsafe { (info as *const RawInfo).read_unaligned() });
        header.deferred.fetch_or(bit, Ordering::Relaxed);
    }
    true
}

/// Raises the calling thread's deferred signals, each with its own siginfo. They are blocked on return, and arrive when a mask is set
/// that lets them through. Returns them as a mask.
pub(in crate::host) fn raise(header: &Header) -> mask::Mask {
    if header.deferred.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    // Blocked before they are taken: none can be deferred anew meanwhile.
    let mut signals = 0;
    for (index, signal) in SYNCHRONOUS.into_iter().enumerate() {
        if header.deferred.load(Ordering::Relaxed) & 1 << index != 0 {
            signals |= mask::bit(signal);
        }
    }
    mask::change(How::Block, signals);
    for (index, signal) in SYNCHRONOUS.into_iter().enumerate() {
        if signals & mask::bit(signal) != 0 {
            header.deferred.fetch_and(!(1 << index), Ordering::Relaxed);
            let info = header.deferred_info[index].as_ptr() as usize;
            // SAFETY: the siginfo is the kernel's, copied whole; the signal has a handler, and comes through the entry again.
            unsafe { queue_signal(gettid(), signal, info) };
        }
    }
    signals
}
