//! The kernel's lock: one thread at a time has it, and no thread waits for ever.

use crate::run::Model;
use crate::the_lock::Lock;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "lock: two threads, twice each",
        preemptions: 4,
        body: || each_counts(2, 2),
    },
    Model {
        name: "lock: three threads",
        preemptions: 3,
        body: || each_counts(3, 1),
    },
];

/// Threads that take the lock and count. loom's cell tells whether two are there at a time; a thread that waits for ever is a deadlock.
fn each_counts(threads: u32, times: u32) {
    let lock = Arc::new(Lock::new(UnsafeCell::new(0)));
    let count = move |lock: &Lock<UnsafeCell<u32>>| {
        for _ in 0..times {
            let guard = lock.lock();
            guard.with_mut(|count| {
                // SAFETY: the lock is held; loom checks that it is.
                unsafe { *count += 1 }
            });
        }
    };
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let lock = Arc::clone(&lock);
            thread::spawn(move || count(&lock))
        })
        .collect();
    count(&lock);
    for other in others {
        other.join().expect("it ends");
    }
    let counted = lock.lock().with(|count| {
        // SAFETY: as above.
        unsafe { *count }
    });
    assert_eq!(counted, threads * times);
}
