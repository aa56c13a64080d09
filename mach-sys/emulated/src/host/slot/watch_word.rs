//! Wakes the watching thread, and waits for it.

use crate::host::sys::futex;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

/// Changes when the watching thread is to look now. It waits on the word.
static WORD: AtomicU32 = AtomicU32::new(0);

/// Number of ends of threads that were announced.
static ANNOUNCED: AtomicU32 = AtomicU32::new(0);

/// True while the watching thread sleeps so long that the next announced end must wake it.
static SLEEPS: AtomicBool = AtomicBool::new(false);

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

/// Announces the end of a thread. The watching thread looks soon: it is woken if it sleeps, and not if it is about to look anyway. Where
/// threads end in a row, waking it for each would cost more than the threads.
pub(in crate::host) fn announce() {
    // Before the load, in the one order that the watching thread's store and load are in, too: see `sleep`.
    ANNOUNCED.fetch_add(1, Ordering::SeqCst);
    if SLEEPS.load(Ordering::SeqCst) && SLEEPS.swap(false, Ordering::SeqCst) {
        hurry();
    }
}

/// The requests and announcements that the watching thread had seen before a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) struct Told {
    word: u32,
    announced: u32,
}

/// Returns the requests and announcements so far. Read before a look.
pub(in crate::host) fn told() -> Told {
    Told {
        word: WORD.load(Ordering::Acquire),
        announced: ANNOUNCED.load(Ordering::Acquire),
    }
}

/// Waits on the watching thread, for `time` or until a thread [hurries](hurry) it. The announced ends of threads do not wake it.
pub(in crate::host) fn nap(told: Told, time: Duration) {
    futex::wait(&WORD, told.word, Some(time));
}

/// Waits on the watching thread, for `time` or until something happens after `told` was read: a thread hurries it, or announces its end.
/// Returns whether an end was announced.
pub(in crate::host) fn sleep(told: Told, time: Duration) -> bool {
    SLEEPS.store(true, Ordering::SeqCst);
    // Either this load sees the announcement, or that one's load sees the store above, and changes the word.
    if ANNOUNCED.load(Ordering::SeqCst) == told.announced {
        futex::wait(&WORD, told.word, Some(time));
    }
    SLEEPS.store(false, Ordering::SeqCst);
    ANNOUNCED.load(Ordering::SeqCst) != told.announced
}

/// 1 while the watching thread is to do nothing.
static PAUSE: AtomicU32 = AtomicU32::new(0);
/// 1 while it does nothing.
static PAUSED: AtomicU32 = AtomicU32::new(0);

/// Makes the watching thread do nothing, and waits until it does so. Returns `false`, and leaves it alone, if it did not within ten seconds.
pub(crate) fn pause() -> bool {
    PAUSE.store(1, Ordering::SeqCst);
    for _ in 0..WAITS {
        hurry();
        if PAUSED.load(Ordering::SeqCst) == 1 {
            return true;
        }
        futex::wait(&PAUSED, 0, Some(ASK_AGAIN));
    }
    go_on();
    false
}

/// Undoes [`pause`].
pub(crate) fn go_on() {
    PAUSE.store(0, Ordering::SeqCst);
    futex::wake(&PAUSE, u32::MAX);
    // So that the next pause does not take this one for its own.
    while PAUSED.load(Ordering::SeqCst) == 1 {
        futex::wait(&PAUSED, 1, Some(ASK_AGAIN));
    }
}

/// Called by the watching thread in each round: waits while it is to do nothing, and writes to no memory meanwhile.
pub(in crate::host) fn wait_if_paused() {
    if PAUSE.load(Ordering::SeqCst) == 0 {
        return;
    }
    PAUSED.store(1, Ordering::SeqCst);
    futex::wake(&PAUSED, u32::MAX);
    while PAUSE.load(Ordering::SeqCst) == 1 {
        futex::wait(&PAUSE, 1, None);
    }
    PAUSED.store(0, Ordering::SeqCst);
    futex::wake(&PAUSED, u32::MAX);
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
