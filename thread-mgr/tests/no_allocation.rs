//! A thread's exit frees memory and allocates none: the allocator's own destructors may have run before.
#![allow(unsafe_code)]

mod support;

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use support::{forget_references, isolated, trimming};
use test_support::counting::Counting;
use test_support::instructions::undefined;
use thread_mgr::Normalization;

/// Counts one thread's allocations and frees.
#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Keys whose destructors run right before and right after the manager's in each pass: they are made before and after its key.
static BEFORE: AtomicUsize = AtomicUsize::new(0);
static AFTER: AtomicUsize = AtomicUsize::new(0);
static LAST_PASSES: AtomicU32 = AtomicU32::new(0);
static ASKED_FOR: AtomicU64 = AtomicU64::new(u64::MAX);
static GIVEN_BACK: AtomicU64 = AtomicU64::new(0);

unsafe fn again(key: &AtomicUsize, pass: usize) {
    let key = key.load(Ordering::Relaxed) as libc::pthread_key_t;
    // SAFETY: the key was made; the value is a number.
    unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(pass + 1)) };
}

unsafe extern "C" fn before(value: *mut libc::c_void) {
    match value as usize {
        4 => {
            ALLOCATOR.reset();
            LAST_PASSES.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: a key of this test's.
        pass => unsafe { again(&BEFORE, pass) },
    }
}

unsafe extern "C" fn after(value: *mut libc::c_void) {
    match value as usize {
        4 => {
            ASKED_FOR.store(ALLOCATOR.allocated(), Ordering::Relaxed);
            GIVEN_BACK.store(ALLOCATOR.freed(), Ordering::Relaxed);
            LAST_PASSES.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: a key of this test's.
        pass => unsafe { again(&AFTER, pass) },
    }
}

fn make_key(place: &AtomicUsize, destructor: unsafe extern "C" fn(*mut libc::c_void)) {
    let mut key = 0;
    // SAFETY: the key goes to a local variable.
    let error = unsafe { libc::pthread_key_create(&mut key, Some(destructor)) };
    assert_eq!(error, 0);
    place.store(key as usize, Ordering::Relaxed);
}

#[test]
fn the_last_pass_allocates_nothing() {
    isolated("the_last_pass_allocates_nothing", || {
        make_key(&BEFORE, before);
        let manager = trimming();
        make_key(&AFTER, after);
        assert!(BEFORE.load(Ordering::Relaxed) < AFTER.load(Ordering::Relaxed));
        // Including the very first thread.
        for round in 1..=3 {
            let handle = manager
                .spawn(|| {
                    // SAFETY: keys of this test's.
                    unsafe {
                        again(&BEFORE, 0);
                        again(&AFTER, 0);
                    }
                    undefined();
                    forget_references(2);
                    ALLOCATOR.count_this_thread();
                })
                .expect("a thread");
            let report = handle.join().expect("a thread").report.expect("a report");
            assert_eq!(report.normalization, Some(Normalization::Dropped(2)));
            assert_eq!(LAST_PASSES.load(Ordering::Relaxed), 2 * round);
            assert_eq!(ASKED_FOR.load(Ordering::Relaxed), 0, "round {round}");
            assert_ne!(GIVEN_BACK.load(Ordering::Relaxed), 0, "nothing was counted");
        }
    });
}
