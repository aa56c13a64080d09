//! A lock without the standard library, which is open in the child of a fork.
#![allow(unsafe_code)]

use crate::clock;
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, Ordering};
use mach_sys::kernel::system::Origin;

/// The state of a lock that no thread holds.
const OPEN: u64 = 0;
/// The bit set beside the holder's process number, so that no process number makes [`OPEN`].
const HELD: u64 = 1 << 32;

/// A lock that guards a value of one process. It is held for a few kernel calls, and never while user code runs. It is not taken between an
/// exception and its answer.
///
/// In the child of a fork the value is leaked and replaced by the default, and the lock is open: the names in the value belong to the parent.
pub(crate) struct Lock<T> {
    holder: AtomicU64,
    value: UnsafeCell<Owned<T>>,
}

struct Owned<T> {
    /// The process that the value belongs to; `None` until the lock is first taken.
    origin: Option<Origin>,
    value: T,
}

// SAFETY: only one thread at a time touches the value: see `Lock::lock`.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T: Default> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            holder: AtomicU64::new(OPEN),
            value: UnsafeCell::new(Owned {
                origin: None,
                value,
            }),
        }
    }

    /// Waits until the calling thread holds the lock.
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        let origin = Origin::current();
        let mine = HELD | u64::from(origin.id());
        let mut spins = 0_u32;
        loop {
            let holder = self.holder.load(Ordering::Relaxed);
            // A holder in another process does not exist here: the lock counts as open.
            let free = holder != mine;
            if free
                && self
                    .holder
                    .compare_exchange(holder, mine, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                break;
            }
            spins = spins.wrapping_add(1);
            if spins % 64 == 0 {
                clock::yield_now();
            } else {
                spin_loop();
            }
        }
        // SAFETY: the exchange gave the lock to this thread. `holder` names this process until `Locked` is dropped, and no other thread of it
        // leaves the loop until then. Another process has a copy of the memory, or it waits for this one (`vfork`) and counts as the same.
        let owned = unsafe { &mut *self.value.get() };
        if owned
            .origin
            .replace(origin)
            .is_some_and(|before| before != origin)
        {
            // Another thread of the parent may have been changing the value at the fork: it is not read.
            // SAFETY: valid for writes, as above; the old value is leaked.
            unsafe { (&raw mut owned.value).write(T::default()) };
        }
        Locked { lock: self }
    }
}

/// A held lock. Dropping it opens the lock.
pub(crate) struct Locked<'l, T> {
    lock: &'l Lock<T>,
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock.
        unsafe { &(*self.lock.value.get()).value }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread holds the lock, and `self` is borrowed mutably.
        unsafe { &mut (*self.lock.value.get()).value }
    }
}

impl<T> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        self.lock.holder.store(OPEN, Ordering::Release);
    }
}

const _: () = assert!(!mem::needs_drop::<Origin>());
