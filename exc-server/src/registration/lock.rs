//! A lock without the standard library, which the child of a fork finds open.
#![allow(unsafe_code)]

use crate::clock;
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, Ordering};
use mach_sys::kernel::system::Origin;

/// No thread has it.
const OPEN: u64 = 0;
/// Set beside the process of the thread that has it: no process's number makes [`OPEN`].
const HELD: u64 = 1 << 32;

/// Guards a value of one process. Held for a few kernel calls, and never while other code runs; not for a thread's way from an
/// exception to its answer.
///
/// A value that the parent of a fork made is forgotten in the child, together with the lock on it: what it names is the parent's.
pub(crate) struct Lock<T> {
    holder: AtomicU64,
    value: UnsafeCell<Owned<T>>,
}

struct Owned<T> {
    /// `None` until it is first locked.
    origin: Option<Origin>,
    value: T,
}

// SAFETY: the value is touched by one thread at a time: see `Lock::lock`.
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

    /// Waits until the calling thread has it.
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        let origin = Origin::current();
        let mine = HELD | u64::from(origin.id());
        let mut spins = 0_u32;
        loop {
            let holder = self.holder.load(Ordering::Relaxed);
            // A thread of another process is not here to give it back.
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
        // SAFETY: the exchange gave the lock to this thread: `holder` says that a thread of this process has it, until `Locked` is dropped,
        // and no other thread gets past the loop until then. The memory of another process is a copy, or that process waits for this
        // one (`vfork`) and counts as the same.
        let owned = unsafe { &mut *self.value.get() };
        if owned
            .origin
            .replace(origin)
            .is_some_and(|before| before != origin)
        {
            // Another thread of the parent may have been changing it: nothing in it is looked at.
            // SAFETY: valid for writes, as above; what is overwritten is forgotten.
            unsafe { (&raw mut owned.value).write(T::default()) };
        }
        Locked { lock: self }
    }
}

/// The lock, held.
pub(crate) struct Locked<'l, T> {
    lock: &'l Lock<T>,
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this thread has the lock.
        unsafe { &(*self.lock.value.get()).value }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread has the lock, and `self` is borrowed mutably.
        unsafe { &mut (*self.lock.value.get()).value }
    }
}

impl<T> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        self.lock.holder.store(OPEN, Ordering::Release);
    }
}

const _: () = assert!(!mem::needs_drop::<Origin>());
