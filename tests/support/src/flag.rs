//! Tells the threads of a scope to stop, also when a check of the test fails: the scope waits for them.

use core::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag when it is dropped.
#[derive(Debug)]
pub struct SetWhenDropped<'a>(pub &'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
