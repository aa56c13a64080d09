//! The memory to which a key of thread-specific data leads, and whose it is.
//!
//! A thread can vanish without running its destructors: by a bare system call, or ended by the kernel. Its value of the key stays where the C
//! library keeps it, with the thread's stack, and a new thread gets both (glibc). So a place says whose it is, is asked that before
//! anything else of it is touched, and is kept for another thread where its own has vanished, never freed.
#![allow(unsafe_code)]

use core::cell::{Cell, UnsafeCell};
use core::ptr::{null_mut, without_provenance_mut};
use mach_sys::kernel::system::{self, Origin};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A place for a thread's value. Aligned so that its address is even.
#[derive(Debug)]
#[repr(align(8))]
pub(crate) struct Place<T> {
    /// The owner's 64-bit identifier, which no other thread has or will have. 0: vacant.
    owner: AtomicU64,
    /// The process that the owner was in. In the child of a fork its thread has another identifier.
    process: AtomicU32,
    value: UnsafeCell<Option<T>>,
    /// The next vacant place.
    next: Cell<*mut Self>,
}

impl<T> Place<T> {
    /// Returns a place that holds the calling thread's value: a vacant one, or a new one.
    pub(crate) fn of_this_thread(value: T, vacant: &Vacant<T>) -> *mut Self {
        let place = vacant.take().unwrap_or_else(|| {
            Box::into_raw(Box::new(Self {
                owner: AtomicU64::new(0),
                process: AtomicU32::new(0),
                value: UnsafeCell::new(None),
                next: Cell::new(null_mut()),
            }))
        });
        // SAFETY: the place came out of a box, and belongs to nobody: a thread to which a stale value leads looks at the owner only, which is
        // atomic.
        unsafe {
            *(*place).value.get() = Some(value);
            (*place)
                .process
                .store(Origin::current().id(), Ordering::Relaxed);
            (*place).owner.store(system::thread_id(), Ordering::Release);
        }
        place
    }

    /// Returns whether the place is the calling thread's, and not that of a thread that vanished.
    ///
    /// # Safety
    /// The place is not freed: the key leads to it.
    pub(crate) unsafe fn is_own(place: *const Self) -> bool {
        // SAFETY: the caller's promise; both fields are atomic.
        let (owner, process) = unsafe { (&(*place).owner, &(*place).process) };
        owner.load(Ordering::Acquire) == system::thread_id()
            // The C library clears what other threads left in the child of a fork.
            || process.load(Ordering::Relaxed) != Origin::current().id()
    }

    /// Returns the value.
    ///
    /// # Safety
    /// The place is the calling thread's, and the reference is not used after the value was taken out.
    pub(crate) unsafe fn value<'p>(place: *const Self) -> Option<&'p T> {
        // SAFETY: the caller's promise: nothing else refers to the value mutably.
        unsafe { (*(*place).value.get()).as_ref() }
    }

    /// Frees the place, and returns its value.
    ///
    /// # Safety
    /// The place is the calling thread's, and the key does not lead to it any more.
    pub(crate) unsafe fn free(place: *mut Self) -> Option<T> {
        // SAFETY: the place came out of a box, and the caller is the only one that has it.
        unsafe { Box::from_raw(place) }.value.into_inner()
    }

    /// Takes the value of a thread that vanished, and keeps the place for another one.
    ///
    /// # Safety
    /// The place's thread is gone, and this is called once for it.
    pub(crate) unsafe fn vacate(place: *mut Self, vacant: &Vacant<T>) -> Option<T> {
        // SAFETY: the caller's promise. Whoever a stale value leads here looks at the owner only.
        let value = unsafe {
            (*place).owner.store(0, Ordering::Release);
            (*(*place).value.get()).take()
        };
        let mut first = vacant.lock();
        // SAFETY: a vacant place's link belongs to the list, whose lock is held.
        unsafe { (*place).next.set(first.0) };
        *first = First(place);
        value
    }
}

/// Places whose threads vanished, linked by themselves: the server's thread adds to it, and allocates nothing.
#[derive(Debug)]
pub(crate) struct Vacant<T>(Mutex<First<T>>);

#[derive(Debug)]
struct First<T>(*mut Place<T>);

// SAFETY: a vacant place holds no value.
unsafe impl<T> Send for First<T> {}

impl<T> Vacant<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(First(null_mut())))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, First<T>> {
        // No panic under this lock leaves the list half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<*mut Place<T>> {
        let mut first = self.lock();
        let place = first.0;
        if place.is_null() {
            return None;
        }
        // SAFETY: a vacant place's link belongs to the list, whose lock is held.
        *first = First(unsafe { (*place).next.replace(null_mut()) });
        Some(place)
    }

    /// Frees all vacant places.
    ///
    /// # Safety
    /// No value of any thread leads to one any more: the key was deleted.
    pub(crate) unsafe fn free(&self) {
        while let Some(place) = self.take() {
            // SAFETY: the place came out of a box, and nothing else leads to it (caller's promise).
            drop(unsafe { Box::from_raw(place) });
        }
    }
}

/// Returns the key's value that is a number and not a place: odd, or null for 0.
pub(crate) const fn number<T>(number: u32) -> *mut Place<T> {
    match number {
        0 => null_mut(),
        number => without_provenance_mut((number as usize) << 1 | 1),
    }
}

/// Returns the number that a value of the key is; `None` if it is null or a place.
pub(crate) fn as_number<T>(value: *mut Place<T>) -> Option<u32> {
    let address = value.addr();
    (address & 1 != 0).then_some((address >> 1) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_threads_and_is_used_again_when_that_vanished() {
        let vacant = Vacant::new();
        let place = Place::of_this_thread(5, &vacant);
        // SAFETY: the place is this thread's, and is not freed before the end.
        unsafe {
            assert!(Place::is_own(place));
            assert_eq!(Place::value(place), Some(&5));
            let address = place.expose_provenance();
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let place = core::ptr::with_exposed_provenance_mut::<Place<i32>>(address);
                    assert!(!Place::is_own(place));
                });
            });
            // As if this thread had vanished.
            assert_eq!(Place::vacate(place, &vacant), Some(5));
            assert!(!Place::is_own(place), "nobody's");
            assert_eq!(Place::of_this_thread(6, &vacant), place);
            assert!(Place::is_own(place));
            assert_eq!(Place::vacate(place, &vacant), Some(6));
            vacant.free();
            let place = Place::of_this_thread(7, &vacant);
            assert_eq!(Place::free(place), Some(7));
        }
    }

    #[test]
    fn numbers_are_no_places() {
        assert!(number::<u8>(0).is_null());
        for pass in 1..=4 {
            assert_eq!(as_number(number::<u8>(pass)), Some(pass));
        }
        let vacant = Vacant::new();
        let place = Place::of_this_thread(7_u8, &vacant);
        assert_eq!(as_number(place), None);
        // SAFETY: nothing else has the place.
        assert_eq!(unsafe { Place::free(place) }, Some(7));
    }
}
