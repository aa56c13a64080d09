//! Which thread waits for the end of which, so that threads which would wait for each other are told. The C library sees two of them
//! at best, and glibc 2.36 none.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A thread while it exists: `pthread_t`, which no other thread has before this one is joined.
type Thread = libc::pthread_t;

/// Waiting thread → the thread it waits for.
static WAITING: Mutex<BTreeMap<Thread, Thread>> = Mutex::new(BTreeMap::new());

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

fn lock() -> MutexGuard<'static, BTreeMap<Thread, Thread>> {
    // Nothing under this lock leaves it half changed.
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
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
