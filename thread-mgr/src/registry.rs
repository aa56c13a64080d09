//! The threads that are managed now.

use mach_sys::rights::Name;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Describes a managed thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The 64-bit identifier, which is never used again while the system runs.
    #[doc(alias = "pthread_threadid_np")]
    pub id: u64,
    /// The name of its kernel port, which holds no reference: valid as long as the thread lives.
    #[doc(alias = "pthread_mach_thread_np")]
    pub port: Name,
    /// The name that it was given ([`ThreadBuilder::name`](crate::ThreadBuilder::name)).
    pub name: Option<String>,
    /// Whether the manager started it; otherwise it was attached.
    pub spawned: bool,
}

/// The managed threads, by their 64-bit identifiers, which are never used again while the system runs; names are.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    threads: Mutex<BTreeMap<u64, ThreadInfo>>,
}

impl Registry {
    pub(crate) fn insert(&self, info: ThreadInfo) {
        self.lock().insert(info.id, info);
    }

    pub(crate) fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    pub(crate) fn list(&self) -> Vec<ThreadInfo> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, ThreadInfo>> {
        // Nothing under this lock leaves it half changed.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
