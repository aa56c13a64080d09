//! Which thread waits for the end of which, so that threads which would wait for each other are told. The C library sees two of them
//! at best, and glibc 2.36 none.

#![allow(unsafe_code)]

use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use mach_sys::kernel::system::Origin;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A thread while it exists: `pthread_t`, which no other thread has before this one is joined.
type Thread = libc::pthread_t;

/// Waiting thread → the thread it waits for, in one process.
struct Table {
    process: Origin,
    waiting: Mutex<BTreeMap<Thread, Thread>>,
}

/// The table of the calling process. In the child of a fork the parent's is left as it is: its threads are not there, and one of them may
/// have held the lock. A table is never freed.
static TABLE: AtomicPtr<Table> = AtomicPtr::new(null_mut());

/// One thread waits for another until this is dropped.
#[must_use]
pub(crate) struct Waiting {
    waiter: Thread,
}

impl Waiting {
    /// `None` if the target waits for the waiter, directly or over others.
    pub(crate) fn begin(waiter: Thread, target: Thread) -> Option<Self> {
        let mut waiting = lock();
        let mut at = target;
        // There is no circle among those that wait, so that this ends.
        while at != waiter {
            match waiting.get(&at) {
                Some(next) => at = *next,
                None => {
                    waiting.insert(waiter, target);
                    return Some(Self { waiter });
                }
            }
        }
        None
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock().remove(&self.waiter);
    }
}

fn table() -> &'static Table {
    let mut seen = TABLE.load(Ordering::Acquire);
    loop {
        // SAFETY: null, or a table that was leaked below, before its address was published.
        let table = unsafe { seen.as_ref() };
        if let Some(table) = table.filter(|table| table.process.id() == Origin::current().id()) {
            return table;
        }
        let new = Box::into_raw(Box::new(Table {
            process: Origin::current(),
            waiting: Mutex::default(),
        }));
        match TABLE.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it is never freed.
            Ok(_) => return unsafe { &*new },
            Err(other) => {
                // SAFETY: nobody else has seen its address.
                drop(unsafe { Box::from_raw(new) });
                seen = other;
            }
        }
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<Thread, Thread>> {
    // Nothing under this lock leaves it half changed.
    table()
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_of_any_size_are_seen_and_nothing_else() {
        // Numbers that no thread has.
        let [a, b, c, d]: [Thread; 4] = [1, 2, 3, 5];
        assert!(Waiting::begin(a, a).is_none());
        let ab = Waiting::begin(a, b).expect("b waits for none");
        let bc = Waiting::begin(b, c).expect("c waits for none");
        let db = Waiting::begin(d, b).expect("no circle");
        assert!(Waiting::begin(c, a).is_none());
        assert!(Waiting::begin(c, d).is_none());
        drop(ab);
        drop(db);
        let ca = Waiting::begin(c, a).expect("a waits for none any more");
        drop((bc, ca));
        assert!(
            ![a, b, c, d]
                .iter()
                .any(|thread| lock().contains_key(thread))
        );
    }
}
