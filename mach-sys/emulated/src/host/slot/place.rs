//! A thread's place among the slots, with a bounded wait: the places of threads that are gone come back when the watching thread looks.

use super::region::{self, Slot};
use super::watch_word;
use crate::host::sys::futex;
use core::sync::atomic::AtomicU32;
use core::time::Duration;

/// Looks of the watching thread that a kernel call waits for while all places are taken.
pub(in crate::host) const IN_CALL: u32 = 100;
/// The same for a fault of a thread that has no place.
pub(in crate::host) const IN_FAULT: u32 = 20;

/// Time between two looks: a thread that was joined a moment ago may still be there.
const PAUSE: Duration = Duration::from_millis(1);

/// Returns the slot of the calling thread, whose identifier is `tid`; claims one if it has none. If all are taken, waits for as many
/// `looks` of the watching thread, each followed by a short pause. `None` if all are taken even then.
pub(in crate::host) fn find_or_claim(tid: u32, looks: u32) -> Option<Slot> {
    let keys = region::keys()?;
    let mut left = looks;
    loop {
        if let Some(index) = keys.find_or_claim(tid) {
            return region::from_index(index).and_then(Slot::of);
        }
        if left == 0 || !watch_word::wait_for_look() {
            return None;
        }
        left -= 1;
        pause();
    }
}

fn pause() {
    /// A word that no thread changes or wakes.
    static WORD: AtomicU32 = AtomicU32::new(0);
    futex::wait(&WORD, 0, Some(PAUSE));
}
