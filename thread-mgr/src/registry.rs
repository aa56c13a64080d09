//! The registry of the threads that are managed now.

use mach_sys::rights::Name;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A description of a managed thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The thread's 64-bit identifier, which is never reused while the system runs.
    #[doc(alias = "pthread_threadid_np")]
    pub id: u64,
    /// The name of the thread's kernel port. It holds no reference, and is valid as long as the thread lives.
    #[doc(alias = "pthread_mach_thread_np")]
    pub port: Name,
    /// The name given with [`ThreadBuilder::name`](crate::ThreadBuilder::name).
    pub name: Option<String>,
    /// `true` if the manager started the thread, `false` if it was attached.
    pub spawned: bool,
}

/// A managed thread, with its [`Place`](crate::place::Place).
#[derive(Debug)]
struct Entry {
    info: ThreadInfo,
    /// The address of the thread's key value. 0 before it is there, and once it was taken.
    left: usize,
}

#[derive(Debug, Default)]
struct Threads {
    /// Keeps its memory when threads leave: with few threads a tree would take and give back a node for each.
    by_id: HashMap<u64, Entry>,
    /// Number of entries whose `left` is not 0.
    watched: usize,
    /// The server checks once a second for threads that are gone.
    watching: bool,
    /// Number of attachments until the next check for threads that are gone.
    until_look: u32,
}

/// Number of attachments between two checks for threads that are gone. The server also checks once a second.
const OFTEN: u32 = 64;

/// The managed threads, by 64-bit identifier: identifiers are never reused while the system runs, port names are.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    threads: Mutex<Threads>,
}

impl Registry {
    pub(crate) fn insert(&self, info: ThreadInfo) {
        self.lock().by_id.insert(info.id, Entry { info, left: 0 });
    }

    pub(crate) fn remove(&self, id: u64) {
        let mut threads = self.lock();
        let removed = threads.by_id.remove(&id);
        if removed.is_some_and(|entry| entry.left != 0) {
            threads.watched -= 1;
        }
    }

    /// Stores the address of a thread's key value for [`take_gone`](Self::take_gone). Returns whether a check for threads that
    /// are gone is due.
    pub(crate) fn leave(&self, id: u64, left: usize) -> bool {
        let mut threads = self.lock();
        let mut spawned = false;
        if let Some(entry) = threads.by_id.get_mut(&id) {
            entry.left = left;
            spawned = entry.info.spawned;
            threads.watched += 1;
        }
        let begins = !core::mem::replace(&mut threads.watching, true);
        if spawned {
            // Each shuts itself down, as a rule: once a second is often enough.
            return begins;
        }
        let look = begins || threads.until_look == 0;
        threads.until_look = threads.until_look.checked_sub(1).unwrap_or(OFTEN);
        look
    }

    /// Takes the address of the key value of a thread that is gone, each once. Returns `None` if no such thread is gone.
    pub(crate) fn take_gone(&self, is_gone: impl Fn(Name) -> bool) -> Option<usize> {
        let mut threads = self.lock();
        let mut watched = threads.by_id.values_mut().filter(|entry| entry.left != 0);
        let gone = watched.find(|entry| is_gone(entry.info.port))?;
        let left = core::mem::take(&mut gone.left);
        threads.watched -= 1;
        Some(left)
    }

    /// Returns whether the server goes on to check once a second: there are threads that may vanish. If not, the next one wakes it.
    pub(crate) fn keep_watching(&self) -> bool {
        let mut threads = self.lock();
        threads.watching = threads.watched != 0;
        threads.watching
    }

    pub(crate) fn list(&self) -> Vec<ThreadInfo> {
        let mut threads: Vec<_> = {
            let threads = self.lock();
            let entries = threads.by_id.values();
            entries.map(|entry| entry.info.clone()).collect()
        };
        threads.sort_unstable_by_key(|thread| thread.id);
        threads
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        // No panic under this lock leaves the map half changed.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(id: u64) -> ThreadInfo {
        ThreadInfo {
            id,
            port: Name::new(id as u32).expect("a name"),
            name: None,
            spawned: false,
        }
    }

    #[test]
    fn the_key_value_of_a_gone_thread_is_taken_once() {
        let registry = Registry::default();
        for id in 1..=3 {
            registry.insert(thread(id));
        }
        assert!(!registry.keep_watching());
        assert!(registry.leave(2, 0x20), "the first");
        assert!(!registry.leave(3, 0x30));
        assert_eq!(registry.take_gone(|_| false), None);
        assert_eq!(registry.take_gone(|name| name.raw() == 1), None);
        assert_eq!(registry.take_gone(|name| name.raw() == 2), Some(0x20));
        assert_eq!(registry.take_gone(|name| name.raw() == 2), None);
        registry.remove(2);
        assert!(registry.keep_watching());
        registry.remove(3);
        registry.insert(thread(3));
        assert!(!registry.leave(3, 0x30), "the server watches still");
        registry.remove(3);
        assert!(!registry.keep_watching());
        registry.insert(thread(3));
        assert!(registry.leave(3, 0x30), "it has stopped");
        registry.remove(3);
        assert!(!registry.keep_watching());
        assert_eq!(registry.take_gone(|_| true), None);
        assert_eq!(registry.list(), [thread(1)]);
    }

    #[test]
    fn a_check_is_due_regularly_while_threads_are_attached() {
        let registry = Registry::default();
        let looks = (1..=1000).filter(|id| {
            registry.insert(thread(*id));
            registry.leave(*id, 8)
        });
        assert!((10..20).contains(&looks.count()));
    }
}
