//! The installation in a route's record. The server reads it without a lock; the thread that closes the route takes it out.
#![allow(unsafe_code)]

use crate::registration::install::Installation;
use core::fmt;
use core::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// A place for an installation.
///
/// The thread that takes the installation out waits for its readers; readers never wait. A read is short: a few kernel calls, and no user
/// code.
#[derive(Default)]
pub(crate) struct Installed {
    /// A pointer from a box, which this value owns, or null.
    installation: AtomicPtr<Installation>,
    /// Number of threads that read the installation now.
    readers: AtomicU32,
}

impl Installed {
    /// Puts an installation in, and returns the one before.
    pub(crate) fn put(&self, installation: Box<Installation>) -> Option<Box<Installation>> {
        self.replace(Box::into_raw(installation))
    }

    /// Takes the installation out, and waits for the threads that read it.
    pub(crate) fn take(&self) -> Option<Box<Installation>> {
        self.replace(ptr::null_mut())
    }

    /// Puts a pointer in, waits for the threads that read the old one, and returns that.
    fn replace(&self, new: *mut Installation) -> Option<Box<Installation>> {
        // Sequentially consistent, as in `look`: either the reader's count is seen here, or the reader sees the new pointer.
        let old = self.installation.swap(new, Ordering::SeqCst);
        if old.is_null() {
            return None;
        }
        while self.readers.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
        // SAFETY: every pointer in here came from `Box::into_raw`, and the swap gave this one to this thread alone. A thread that read it
        // before the swap was counted then, and is done; a thread that is counted after the swap reads the new pointer.
        Some(unsafe { Box::from_raw(old) })
    }

    /// Calls `look` with the installation; returns `None` if there is none.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Installation) -> R) -> Option<R> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        let _leave = Leave(&self.readers);
        let installation = self.installation.load(Ordering::SeqCst);
        // SAFETY: null, or from a box. The pointer was in place after this reader was counted, so that a thread that takes it out waits for
        // `_leave` before it frees it; until then only shared references to it exist.
        let installation = unsafe { installation.as_ref() };
        installation.map(look)
    }
}

// An `AtomicPtr` is `Send` and `Sync` whatever it points to. Several threads read the installation, and one may drop it that another put in.
const _: fn() = || {
    fn shareable<T: Send + Sync>() {}
    shareable::<Installation>();
};

/// Counts a reader out when dropped.
struct Leave<'a>(&'a AtomicU32);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let empty = self.installation.load(Ordering::Relaxed).is_null();
        f.debug_struct("Installed")
            .field("empty", &empty)
            .finish_non_exhaustive()
    }
}
