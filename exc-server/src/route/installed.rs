//! An installation's place in a route's record: looked at by the server without a lock, taken out by the thread that closes the route.
#![allow(unsafe_code)]

use crate::registration::install::Installation;
use core::fmt;
use core::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Holds an installation, or none.
///
/// The thread that takes it out waits for those that look at it; they never wait. A look is short: a few kernel calls, and no code of the
/// user's.
#[derive(Default)]
pub(crate) struct Installed {
    /// A box's, or null. Owned.
    installation: AtomicPtr<Installation>,
    readers: AtomicU32,
}

impl Installed {
    /// Puts one in; returns the one before.
    pub(crate) fn put(&self, installation: Box<Installation>) -> Option<Box<Installation>> {
        self.replace(Box::into_raw(installation))
    }

    /// Takes it out, and waits for the threads that look at it.
    pub(crate) fn take(&self) -> Option<Box<Installation>> {
        self.replace(ptr::null_mut())
    }

    fn replace(&self, new: *mut Installation) -> Option<Box<Installation>> {
        // Sequentially consistent, as in `look`: either the reader's count is seen here, or the reader sees the new pointer.
        let old = self.installation.swap(new, Ordering::SeqCst);
        if old.is_null() {
            return None;
        }
        while self.readers.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
        // SAFETY: every pointer in here came from `Box::into_raw`, and the swap gave this one to this thread alone. A thread that read it before
        // the swap was counted then, and has left; a thread that is counted after it reads the new one.
        Some(unsafe { Box::from_raw(old) })
    }

    /// Looks at it.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Installation) -> R) -> Option<R> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        let _leave = Leave(&self.readers);
        let installation = self.installation.load(Ordering::SeqCst);
        // SAFETY: null, or a box's. It was in place after this reader was counted, so a thread that takes it out waits for `_leave`
        // before it frees it; until then only shared references to it exist.
        let installation = unsafe { installation.as_ref() };
        installation.map(look)
    }
}

// The pointer says nothing of what it leads to, which several threads look at, and which another one drops than put it in.
const _: fn() = || {
    fn shareable<T: Send + Sync>() {}
    shareable::<Installation>();
};

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
