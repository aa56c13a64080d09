//! A thread's identity.

use core::sync::atomic::{AtomicU32, Ordering};

/// A thread's identity: an epoch in the high half, the system's identifier in the low half. The system gives an identifier out again; the
/// epoch, counted up with each thread, tells the two threads apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::host) struct Identity(u64);

impl Identity {
    /// No thread.
    pub(in crate::host) const NONE: Self = Self(0);

    /// Returns a new identity for the thread that the system calls `tid` now.
    pub(in crate::host) fn fresh(tid: u32) -> Self {
        static EPOCH: AtomicU32 = AtomicU32::new(1);
        let epoch = EPOCH.fetch_add(1, Ordering::Relaxed);
        Self(u64::from(epoch) << 32 | u64::from(tid))
    }

    pub(in crate::host) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(in crate::host) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the system's identifier.
    pub(in crate::host) const fn tid(self) -> u32 {
        self.0 as u32
    }
}
