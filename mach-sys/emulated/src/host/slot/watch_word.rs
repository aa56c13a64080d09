//! Wakes the watching thread, and waits for it.

use crate::host::sys::futex;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

/// Changes when the watching thread has a reason to look, the announced end of a thread for example.
static WORD: AtomicU32 = AtomicU32::new(0);

/// True if the watching thread should look at all threads, also at those that announce their end.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Number of looks at all threads that were requested.
static LOOKED: AtomicU32 = AtomicU32::new(0);

/// Time that one wait for a look takes at most, before the watching thread is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// Waits for one look that may pass before it is given up: ten seconds of a machine that is very loaded.
const WAITS: u32 = 2000;

/// Makes the watching thread look now.
pub(crate) fn hurry() {
    WORD.fetch_add(1, Ordering::AcqRel);
    futex::wake(&WORD, 1);
}

/// Returns the word that the watching thread waits on.
pub(in crate::host) fn word() -> &'static AtomicU32 {
    &WORD
}

/// Makes the watching thread look at all threads, and waits until it has done so from beginning to end. Returns `false` if it did not within
/// ten seconds.
pub(in crate::host) fn wait_for_look() -> bool {
    let before = LOOKED.load(Ordering::Acquire);
    for _ in 0..WAITS {
        ASKED.store(true, Ordering::Release);
        hurry();
        let looked = LOOKED.load(Ordering::Acquire);
        // The first one may have begun earlier.
        if looked.wrapping_sub(before) >= 2 {
            return true;
        }
        futex::wait(&LOOKED, looked, Some(ASK_AGAIN));
    }
    false
}

/// Returns whether a thread waits for a look, which must be followed by [`looked`].
pub(in crate::host) fn is_asked() -> bool {
    ASKED.swap(false, Ordering::AcqRel)
}

/// Tells the waiting threads that the watching thread has looked at all threads.
pub(in crate::host) fn looked() {
    LOOKED.fetch_add(1, Ordering::AcqRel);
    futex::wake(&LOOKED, u32::MAX);
}
