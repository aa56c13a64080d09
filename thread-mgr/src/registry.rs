//! The threads that are managed now.

use mach_sys::types::mach_port_name_t;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A managed thread, as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The 64-bit identifier.
    pub id: u64,
    /// The name of its kernel port: a number, valid as long as the thread lives.
    pub port: mach_port_name_t,
    /// The name it was given.
    pub name: Option<String>,
    /// Whether the manager started it.
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
