//! An allocator that counts.
#![allow(unsafe_code)]

use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// The system's allocator, with counters. A test program makes it its global allocator:
///
/// ```
/// use test_support::counting::Counting;
///
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting::new();
///
/// ALLOCATOR.settle();
/// let before = ALLOCATOR.requests();
/// drop(Box::new(7));
/// assert_eq!(ALLOCATOR.requests() - before, 2);
/// ```
#[derive(Debug)]
pub struct Counting {
    allocated: AtomicU64,
    freed: AtomicU64,
    /// The thread that is counted (`pthread_self`); 0 counts all.
    thread: AtomicUsize,
}

impl Counting {
    /// Makes an allocator that counts the requests of all threads.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            allocated: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            thread: AtomicUsize::new(0),
        }
    }

    /// Counts the calling thread's requests only, from 0.
    pub fn count_this_thread(&self) {
        self.thread.store(this_thread(), Ordering::SeqCst);
        self.reset();
    }

    /// Counts from 0.
    pub fn reset(&self) {
        self.allocated.store(0, Ordering::SeqCst);
        self.freed.store(0, Ordering::SeqCst);
    }

    /// Returns how often memory was asked for; a reallocation is one request.
    pub fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::SeqCst)
    }

    /// Returns how often memory was given back.
    pub fn freed(&self) -> u64 {
        self.freed.load(Ordering::SeqCst)
    }

    /// Returns the number of all requests.
    pub fn requests(&self) -> u64 {
        self.allocated() + self.freed()
    }

    /// Waits until nothing is requested for a while: threads that have just started, and the test harness's own, have business first.
    ///
    /// # Panics
    /// If something is requested all the time, for twenty seconds.
    pub fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let before = self.requests();
            std::thread::sleep(Duration::from_millis(100));
            if self.requests() == before {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "something allocates all the time"
            );
        }
    }

    fn count(&self, counter: &AtomicU64) {
        let thread = self.thread.load(Ordering::Relaxed);
        if thread == 0 || thread == this_thread() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Default for Counting {
    fn default() -> Self {
        Self::new()
    }
}

fn this_thread() -> usize {
    // SAFETY: asking for the own identifier has no preconditions.
    unsafe { libc::pthread_self() as usize }
}

// SAFETY: passes everything on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(&self.allocated);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.count(&self.freed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(&self.allocated);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
