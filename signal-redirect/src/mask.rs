//! Masks, which hold redirects off while a thread must not be diverted.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A counter that holds redirects off for one thread. Store it where both the thread and the code that redirects it can reach it, and
/// not in a thread-local, whose first use may allocate.
///
/// Only the thread itself calls [`hold`](Self::hold), [`abandon`](Self::abandon) and the guard's methods. Other code calls
/// [`refuse_if_held`](Self::refuse_if_held) while the thread is stopped, so that the result stays true until it resumes the thread.
///
/// ```
/// use signal_redirect::RedirectMask;
///
/// static MASK: RedirectMask = RedirectMask::new();
///
/// // On the thread:
/// let held = MASK.hold();
/// // On the server, while the thread is stopped:
/// assert!(MASK.refuse_if_held());
/// // On the thread: a redirect was refused meanwhile, so request it again.
/// assert!(held.release());
/// ```
#[doc(alias("sigprocmask", "pthread_sigmask"))]
#[derive(Debug, Default)]
pub struct RedirectMask {
    depth: AtomicU32,
    pending: AtomicBool,
}

impl RedirectMask {
    /// Creates a mask without holds.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            depth: AtomicU32::new(0),
            pending: AtomicBool::new(false),
        }
    }

    /// Holds redirects off until the guard is released or dropped. Holds nest. Async-signal-safe.
    pub fn hold(&self) -> Held<'_> {
        // Acquire: the holder's later accesses are not moved before this.
        self.depth.fetch_add(1, Ordering::Acquire);
        Held {
            mask: self,
            not_send: PhantomData,
        }
    }

    /// Returns `true` if the thread holds redirects off, and records that a redirect was refused: the outermost [`Held::release`]
    /// returns `true` then. [`is_held`](Self::is_held) records nothing.
    #[must_use = "if it is true, the thread must not be redirected now"]
    pub fn refuse_if_held(&self) -> bool {
        let held = self.is_held();
        if held {
            self.pending.store(true, Ordering::Release);
        }
        held
    }

    /// Returns `true` if the thread holds redirects off.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.depth.load(Ordering::Acquire) != 0
    }

    /// Clears all holds after a non-local exit skipped their guards (R27). Returns `true` if a redirect was refused meanwhile.
    /// Only the thread itself calls it.
    pub fn abandon(&self) -> bool {
        self.depth.store(0, Ordering::Release);
        self.pending.swap(false, Ordering::AcqRel)
    }

    fn end_hold(&self) -> bool {
        // Release: the holder's earlier accesses are not moved after this. Checked: a guard may outlive an `abandon`.
        let before = self
            .depth
            .fetch_update(Ordering::Release, Ordering::Relaxed, |depth| {
                depth.checked_sub(1)
            });
        before == Ok(1) && self.pending.swap(false, Ordering::AcqRel)
    }
}

/// A guard that holds redirects off until it is released or dropped; [`RedirectMask::hold`] returns it. A guard that is forgotten, or skipped
/// by a non-local exit, holds until [`RedirectMask::abandon`].
#[derive(Debug)]
#[must_use = "dropping it lets redirects in again"]
pub struct Held<'m> {
    mask: &'m RedirectMask,
    /// Makes the guard stay on its thread.
    not_send: PhantomData<*const ()>,
}

impl Held<'_> {
    /// Ends this hold. Returns `true` if it was the outermost and a redirect was refused meanwhile: request that redirect again.
    pub fn release(self) -> bool {
        let mask = self.mask;
        core::mem::forget(self);
        mask.end_hold()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let was_refused = self.mask.end_hold();
        if was_refused {
            // A dropped guard has no result: the next release reports the refusal.
            self.mask.pending.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_nest_and_only_the_outermost_release_reports() {
        let mask = RedirectMask::new();
        assert!(!mask.refuse_if_held());
        let outer = mask.hold();
        let inner = mask.hold();
        assert!(mask.refuse_if_held());
        assert!(!inner.release());
        assert!(mask.is_held());
        assert!(outer.release());
        assert!(!mask.refuse_if_held());
        assert!(!mask.hold().release(), "none was refused this time");
    }

    #[test]
    fn a_dropped_guard_leaves_the_refusal_for_the_next_release() {
        let mask = RedirectMask::new();
        let held = mask.hold();
        assert!(mask.refuse_if_held());
        drop(held);
        assert!(!mask.is_held());
        assert!(mask.hold().release());
    }

    #[test]
    fn r27_abandon_after_a_throw_past_guards_clears_all_holds() {
        let mask = RedirectMask::new();
        core::mem::forget(mask.hold());
        core::mem::forget(mask.hold());
        assert!(mask.refuse_if_held());
        let late = mask.hold();
        assert!(mask.abandon());
        assert!(!mask.is_held());
        assert!(!late.release(), "a late guard changes nothing");
        assert!(!mask.is_held());
        assert!(!mask.abandon());
    }
}
