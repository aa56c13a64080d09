//! A mutual exclusion lock over the system's futexes.
#![allow(unsafe_code)]

use crate::host::sync::{AtomicU32, Ordering, spin_loop};
use crate::host::{futex, gettid};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// Tries before a thread waits. The holder is in the middle of some hundred instructions; a few tries are cheaper than two system calls,
/// and few enough to cost nothing where the holder waits for this CPU. A checker that tries all interleavings needs no second one.
const TRIES: u32 = if cfg!(loom) { 1 } else { 64 };

/// Number of times that the calling thread took a lock.
#[cfg(test)]
pub(crate) fn taken() -> u32 {
    TAKEN.with(core::cell::Cell::get)
}

#[cfg(test)]
thread_local! {
    static TAKEN: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

/// A mutual exclusion lock that allocates nothing and knows nothing of poisoning: no code under it can panic half-way in a way
/// that matters more than the panic itself.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Lock<T> {
    word: AtomicU32,
    /// Thread that holds it, by the system's identifier; kept in debug builds only.
    owner: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only by the thread that moved the word from FREE to HELD or CONTENDED.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            word: AtomicU32::new(FREE),
            owner: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        if self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slowly();
        }
        if cfg!(debug_assertions) {
            self.owner.store(gettid(), Ordering::Relaxed);
        }
        #[cfg(test)]
        TAKEN.with(|taken| taken.set(taken.get() + 1));
        Guard { lock: self }
    }

    /// Asserts, in debug builds, that the calling thread does not hold this lock: before each wait and each copy of user memory.
    pub(crate) fn assert_not_held(&self) {
        debug_assert_ne!(
            self.owner.load(Ordering::Relaxed),
            gettid(),
            "the kernel's lock is held across a wait or a copy of user memory"
        );
    }

    fn lock_slowly(&self) {
        for _ in 0..TRIES {
            spin_loop();
            if self
                .word
                .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                return;
            }
        }
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            futex::wait(&self.word, CONTENDED, None);
        }
    }
}

/// The lock, held.
#[derive(Debug)]
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a guard exists only while its thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            self.lock.owner.store(0, Ordering::Relaxed);
        }
        if self.lock.word.swap(FREE, Ordering::Release) == CONTENDED {
            futex::wake(&self.lock.word, 1);
        }
    }
}
