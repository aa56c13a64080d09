//! Which process a right belongs to: the child of a fork has a name space of its own, without the parent's rights.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Forks that led to this process since rights were first used, as far as `pthread_atfork` tells: `_Fork`, `vfork` and a raw `clone`
/// are not seen.
static FORKS: AtomicU32 = AtomicU32::new(0);
static IS_HOOKED: AtomicBool = AtomicBool::new(false);

/// The process that a right was made in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(u32);

impl Process {
    /// The calling process. The first call may allocate: it registers the handler that a fork runs in the child.
    pub(super) fn current() -> Self {
        if !IS_HOOKED.load(Ordering::Acquire) {
            hook();
        }
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this is still that process. In its child the name is another right's, or none's.
    pub(super) fn is_current(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}

/// Two threads may both register the handler: a fork that counts twice is as good. Without memory for it, rights behave in a child as
/// plain names do.
#[cold]
fn hook() {
    // SAFETY: the handler is a function for as long as the process lives, and calls what a child of a fork may call: it touches atomics.
    let error = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    IS_HOOKED.store(error == 0, Ordering::Release);
}

unsafe extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    super::owned::forget_all();
}
