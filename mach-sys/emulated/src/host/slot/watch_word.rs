//! Wakes the watching thread.

use crate::host::sys::futex;
use core::sync::atomic::{AtomicU32, Ordering};

/// Changes when the watching thread has a reason to look, the announced end of a thread for example.
static WORD: AtomicU32 = AtomicU32::new(0);

/// Makes the watching thread look now.
pub(in crate::host) fn hurry() {
    WORD.fetch_add(1, Ordering::AcqRel);
    futex::wake(&WORD, 1);
}

/// Returns the word that the watching thread waits on.
pub(in crate::host) fn word() -> &'static AtomicU32 {
    &WORD
}
