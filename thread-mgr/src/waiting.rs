//! The table of threads that wait for others to exit, by which a join that would deadlock returns an error. The C library detects circles
//! of two threads at best, and glibc 2.36 none.

#![allow(unsafe_code)]

use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use mach_sys::kernel::system::Origin;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The identifier of a thread, which no other thread has before this one is joined.
type Thread = libc::pthread_t;

/// The waiting threads of one process.
struct Table {
    process: Origin,
    /// Each waiting thread, with the thread that it waits for.
    waiting: Mutex<BTreeMap<Thread, Thread>>,
}

impl Table {
    /// Returns whether the table is the calling process's, and not that of its parent. It stays that when the emulated kernel is stopped.
    fn is_this_process(&self) -> bool {
        self.process.id() == Origin::current().id()
    }
}

/// The table of the calling process. The child of a fork makes a new one and leaves the parent's alone: the parent's threads do not exist
/// there, and one of them may have held the lock. [`free`] frees it when the crate is stopped.
static TABLE: AtomicPtr<Table> = AtomicPtr::new(null_mut());

/// An entry of the table: one thread waits for another until this is dropped.
#[must_use]
pub(crate) struct Waiting {
    waiter: Thread,
}

impl Waiting {
    /// Records that `waiter` waits for `target`. Returns `None` if `target` is `waiter`, or waits for it, directly or through others.
    pub(crate) fn begin(waiter: Thread, target: Thread) -> Option<Self> {
        let mut waiting = lock();
        let mut at = target;
        // The table contains no circle, so this loop ends.
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

/// Returns the calling process's table; makes it at the first call.
fn table() -> &'static Table {
    let mut seen = TABLE.load(Ordering::Acquire);
    loop {
        // SAFETY: null, or a table that was leaked below, before its address was published. It is not freed while a function of this crate
        // runs.
        let table = unsafe { seen.as_ref() };
        if let Some(table) = table.filter(|table| table.is_this_process()) {
            return table;
        }
        let new = Box::into_raw(Box::new(Table {
            process: Origin::current(),
            waiting: Mutex::default(),
        }));
        match TABLE.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it is not freed while a function of this crate runs.
            Ok(_) => return unsafe { &*new },
            Err(other) => {
                // SAFETY: the address was not published, so this function still owns the table.
                drop(unsafe { Box::from_raw(new) });
                seen = other;
            }
        }
    }
}

/// Frees the calling process's table, if there is one.
///
/// # Safety
/// No other thread calls a function of this crate meanwhile, and no [`Waiting`] is left.
pub(crate) unsafe fn free() {
    let table = TABLE.load(Ordering::Acquire);
    // SAFETY: as in `table`.
    if unsafe { table.as_ref() }.is_some_and(Table::is_this_process) {
        TABLE.store(null_mut(), Ordering::Release);
        // SAFETY: it came out of a box, and nothing else refers to it (caller's promise).
        drop(unsafe { Box::from_raw(table) });
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<Thread, Thread>> {
    // No panic under this lock leaves the map half changed.
    table()
        .waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_of_any_size_are_detected_and_chains_are_not() {
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
