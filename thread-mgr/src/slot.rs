//! A place for one value that one thread leaves for another.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, Ordering};

const EMPTY: u8 = 0;
const BUSY: u8 = 1;
const FULL: u8 = 2;
const TAKEN: u8 = 3;

/// A place that is filled once and emptied once. It has no lock: the first use of a lock may allocate it, and a thread must not allocate
/// while it exits.
pub(crate) struct Slot<T> {
    state: AtomicU8,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: only the thread that moved the state from EMPTY to BUSY touches the value, until it stores FULL, and then only the thread that
// moved it from FULL to TAKEN. Each happens at most once, and the second thread sees the writes of the first. So the value only moves from
// one thread to another.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU8::new(EMPTY),
            value: UnsafeCell::new(None),
        }
    }

    /// Stores a value. If there was one before, that one stays, and `value` is dropped.
    pub(crate) fn put(&self, value: T) {
        if self.advance(EMPTY, BUSY) {
            // SAFETY: only one thread ever moves the state to BUSY, and none reads before FULL.
            unsafe { *self.value.get() = Some(value) };
            self.state.store(FULL, Ordering::Release);
        }
    }

    /// Takes the value; returns `None` if none was stored, or it was taken before.
    pub(crate) fn take(&self) -> Option<T> {
        if !self.advance(FULL, TAKEN) {
            return None;
        }
        // SAFETY: only one thread ever moves the state to TAKEN, and none writes after FULL.
        unsafe { (*self.value.get()).take() }
    }

    /// Moves the state from `from` to `to`; returns whether it did.
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
    fn an_untaken_value_is_dropped_with_the_slot() {
        let value = std::sync::Arc::new(());
        let slot = Slot::new();
        slot.put(std::sync::Arc::clone(&value));
        drop(slot);
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }

    #[test]
    fn only_one_of_many_takers_gets_the_value() {
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
