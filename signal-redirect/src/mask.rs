//! Holding redirects off: a thread says that it must not be diverted now.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// One thread's mask. It lives where both the thread and the code that redirects it can see it, and is no thread-local, whose first
/// use may allocate.
///
/// Only the thread itself holds and releases; others ask ([`refuses`](Self::refuses)) while the thread is stopped, so that what
/// they read stays true until they resume it.
#[derive(Debug, Default)]
pub struct Mask {
    depth: AtomicU32,
    pending: AtomicBool,
}

impl Mask {
    /// A mask that lets redirects in.
    pub const fn new() -> Self {
        Self {
            depth: AtomicU32::new(0),
            pending: AtomicBool::new(false),
        }
    }

    /// Keeps redirects out until the guard is dropped. Nests; async-signal-safe.
    pub fn hold(&self) -> Held<'_> {
        // Acquire: what the holder does next is not moved before this.
        self.depth.fetch_add(1, Ordering::Acquire);
        Held {
            mask: self,
            not_send: PhantomData,
        }
    }

    /// Whether the thread holds redirects off; if so, remembers the request.
    pub fn refuses(&self) -> bool {
        let held = self.is_held();
        if held {
            self.pending.store(true, Ordering::Release);
        }
        held
    }

    /// Whether the thread holds redirects off.
    pub fn is_held(&self) -> bool {
        self.depth.load(Ordering::Acquire) != 0
    }

    /// Clears all holds after a non-local exit skipped their guards (R27). Called by the
    /// thread itself. Returns whether a redirect was refused meanwhile.
    pub fn abandon(&self) -> bool {
        self.depth.store(0, Ordering::Release);
        self.pending.swap(false, Ordering::AcqRel)
    }

    fn let_go(&self) -> bool {
        // Release: what the holder did is not moved behind this. Checked: a guard may outlive an `abandon`.
        let before = self
            .depth
            .fetch_update(Ordering::Release, Ordering::Relaxed, |depth| {
                depth.checked_sub(1)
            });
        before == Ok(1) && self.pending.swap(false, Ordering::AcqRel)
    }
}

/// Keeps a [`Mask`] held. A guard that is forgotten holds until [`Mask::abandon`].
#[derive(Debug)]
#[must_use = "dropping it lets redirects in again"]
pub struct Held<'m> {
    mask: &'m Mask,
    /// The thread that holds is the one that releases.
    not_send: PhantomData<*const ()>,
}

impl Held<'_> {
    /// Releases; `true` if this was the outermost hold and a redirect was refused meanwhile: ask for it again.
    pub fn release(self) -> bool {
        let mask = self.mask;
        core::mem::forget(self);
        mask.let_go()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let was_asked = self.mask.let_go();
        if was_asked {
            // A guard that is only dropped leaves the request to the next look.
            self.mask.pending.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_nest_and_only_the_outermost_release_reports() {
        let mask = Mask::new();
        assert!(!mask.refuses());
        let outer = mask.hold();
        let inner = mask.hold();
        assert!(mask.refuses());
        assert!(!inner.release());
        assert!(mask.is_held());
        assert!(outer.release());
        assert!(!mask.refuses());
        assert!(!mask.hold().release(), "none was refused this time");
    }

    #[test]
    fn a_dropped_guard_leaves_the_request_for_the_next() {
        let mask = Mask::new();
        let held = mask.hold();
        assert!(mask.refuses());
        drop(held);
        assert!(!mask.is_held());
        assert!(mask.hold().release());
    }

    #[test]
    fn r27_a_throw_past_guards_leaves_nothing_held() {
        let mask = Mask::new();
        core::mem::forget(mask.hold());
        core::mem::forget(mask.hold());
        assert!(mask.refuses());
        let late = mask.hold();
        assert!(mask.abandon());
        assert!(!mask.is_held());
        assert!(!late.release(), "a late guard changes nothing");
        assert!(!mask.is_held());
        assert!(!mask.abandon());
    }
}
