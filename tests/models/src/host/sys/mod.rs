//! What stands in for the system.

pub(crate) mod futex;

/// The checker's atomics.
pub(crate) mod sync {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}
