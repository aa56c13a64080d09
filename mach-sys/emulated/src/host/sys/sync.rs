//! Atomics and what a spinning thread says to the processor. The protocols without a lock take them from here, so that `tests/models` can
//! run the same files over those of a concurrency checker.

pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
