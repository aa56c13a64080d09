//! The record of signals that are held back.
#![allow(unsafe_code)]

use crate::host::sys::mask::{self, Mask, SYNCHRONOUS};
use crate::host::sys::thread::{gettid, queue_signal};
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// Words of a siginfo that the kernel uses, and of one as it is handed over.
const USED: usize = 6;
const WORDS: usize = 16;

/// The signals that are held back. The thread itself and its own signal handlers look here: program order is all that matters.
#[derive(Debug)]
#[repr(C)]
pub(in crate::host) struct HeldBack {
    /// Those that are kept: a mask.
    kept: AtomicU64,
    infos: [Cell<[u64; USED]>; SYNCHRONOUS.len()],
    /// Those that are pending and blocked in a fault handler that was on its way in or out: a mask.
    pub(super) blocked: AtomicU64,
}

impl HeldBack {
    /// Forgets all of them: their thread ends.
    pub(super) fn forget(&self) {
        self.kept.store(0, Ordering::Relaxed);
        self.blocked.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        compiler_fence(Ordering::SeqCst);
        self.kept.load(Ordering::Relaxed) == 0
    }

    /// Keeps a signal, if it is not kept already.
    ///
    /// # Safety
    /// `info` is the address of the kernel's siginfo.
    pub(super) unsafe fn keep(&self, signal: i32, info: usize) {
        let bit: Mask = mask::bit(signal);
        let (Some(place), 0) = (mask::index(signal), self.kept.load(Ordering::Relaxed) & bit)
        else {
            return;
        };
        // SAFETY: the caller's promise: a siginfo has that many words.
        self.infos[place].set(unsafe { (info as *const [u64; USED]).read_unaligned() });
        compiler_fence(Ordering::SeqCst);
        self.kept.fetch_or(bit, Ordering::Relaxed);
    }

    /// Raises again what is kept, of those that are not blocked afterwards one: its own way through the entry raises the next. All at
    /// once would need an alternate stack with room for all their frames. In a fault handler the five are blocked.
    pub(super) fn raise(&self, blocked_afterwards: Mask) {
        for (signal, info) in SYNCHRONOUS.into_iter().zip(&self.infos) {
            let bit = mask::bit(signal);
            if self.kept.load(Ordering::Relaxed) & bit == 0 {
                continue;
            }
            self.kept.fetch_and(!bit, Ordering::Relaxed);
            let mut whole = [0_u64; WORDS];
            whole[..USED].copy_from_slice(&info.get());
            // SAFETY: the kernel's siginfo, with zeroes behind what it uses; the signal had a handler, and comes through the
            // entry again.
            let outcome = unsafe { queue_signal(gettid(), signal, whole.as_ptr() as usize) };
            if outcome == 0 && blocked_afterwards & bit == 0 {
                return;
            }
        }
    }
}
