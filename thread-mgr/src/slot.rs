//! A place for one value that one thread leaves for another.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, Ordering};

const EMPTY: u8 = 0;
const BUSY: u8 = 1;
const FULL: u8 = 2;
const TAKEN: u8 = 3;

/// Filled once, emptied once. No lock: a lock may be made by its first use, and the end of a thread allocates nothing.
pub(crate) struct Slot<T> {
    state: AtomicU8,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is touched only by the thread that moved the state from EMPTY to BUSY, until it stores FULL, and then only by the one that moved it
// from FULL to TAKEN; each happens at most once, and the second sees what the first wrote. What is shared is thus a value that moves
// from thread to thread.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU8::new(EMPTY),
            value: UnsafeCell::new(None),
        }
    }

    /// Leaves a value; the first one stays.
    pub(crate) fn put(&self, value: T) {
        if self.advance(EMPTY, BUSY) {
            // SAFETY: only one thread ever moves the state to BUSY, and none looks before FULL.
            unsafe { *self.value.get() = Some(value) };
            self.state.store(FULL, Ordering::Release);
        }
    }

    /// Takes the value, if it was left and not taken.
    pub(crate) fn take(&self) -> Option<T> {
        if !self.advance(FULL, TAKEN) {
            return None;
        }
        // SAFETY: only one thread ever moves the state to TAKEN, and none writes after FULL.
        unsafe { (*self.value.get()).take() }
    }

    fn advance(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_once_and_the_first_one_stays() {
        let slot = Slot::new();
        assert_eq!(slot.take(), None);
        slot.put(String::from("first"));
        slot.put(String::from("second"));
        assert_eq!(slot.take().as_deref(), Some("first"));
        assert_eq!(slot.take(), None);
        slot.put(String::from("third"));
        assert_eq!(slot.take(), None);
    }

    #[test]
    fn what_nobody_takes_is_dropped_with_the_slot() {
        let value = std::sync::Arc::new(());
        let slot = Slot::new();
        slot.put(std::sync::Arc::clone(&value));
        drop(slot);
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }

    #[test]
    fn of_many_takers_one_has_the_value() {
        for _ in 0..200 {
            let slot = Slot::new();
            let taken = core::sync::atomic::AtomicU8::new(0);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while taken.load(Ordering::Relaxed) == 0 {
                            if let Some(value) = slot.take() {
                                assert_eq!(value, [7_u64; 8]);
                                taken.fetch_add(1, Ordering::Relaxed);
                            }
                            std::thread::yield_now();
                        }
                    });
                }
                slot.put([7_u64; 8]);
            });
            assert_eq!(taken.load(Ordering::Relaxed), 1);
        }
    }
}
