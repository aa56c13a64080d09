//! The end of threads.
//!
//! The emulation's own end-of-thread work — the one deallocation of the thread's name, the death of its port — happens when the
//! host thread is past its last destructor (G4.1). A thread-specific key, which re-arms itself until the last pass of destructors,
//! announces the end; a thread of the emulation's own watches until the host has no such thread any more, then says so.
#![allow(unsafe_code)]

use super::futex;
use super::signals;
use super::slot::{self, SlotId};
use super::sys;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use std::io::Write;
use std::sync::OnceLock;
use std::time::Instant;

/// Passes that the C library makes over the destructors (`PTHREAD_DESTRUCTOR_ITERATIONS`).
const PASSES: usize = 4;

/// The key, plus one; 0 before it was made.
static KEY: AtomicUsize = AtomicUsize::new(0);

/// Changes when the watcher has a reason to look, the announced end of a thread for example: its wait word.
static ANNOUNCED: AtomicU32 = AtomicU32::new(0);

/// Makes the key.
pub(super) fn make_key() -> Result<(), i32> {
    let mut key = 0;
    // SAFETY: the key goes to a local variable; the destructor is a function for as long as the process lives.
    match unsafe { libc::pthread_key_create(&mut key, Some(destructor)) } {
        0 => {
            KEY.store(key as usize + 1, Ordering::Release);
            Ok(())
        }
        error => Err(error),
    }
}

/// What the key's value says: which slot, and which pass.
fn value(slot: SlotId, pass: usize) -> *const c_void {
    ((slot.index() * PASSES + pass) + 1) as *const c_void
}

/// Arms the calling thread's announcement.
pub(super) fn arm(slot: SlotId) -> bool {
    set(value(slot, 0))
}

fn set(value: *const c_void) -> bool {
    let Some(key) = KEY.load(Ordering::Acquire).checked_sub(1) else {
        return false;
    };
    // SAFETY: the key was made and is never deleted; its value is a number, not a pointer.
    unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, value) == 0 }
}

/// Runs in each pass until the last, and there announces the end. Other libraries' destructors of that pass may still run after
/// it: the thread is served until it is gone.
unsafe extern "C" fn destructor(value_now: *mut c_void) {
    let number = value_now as usize - 1;
    let Some(slot) = slot::from_index(number / PASSES) else {
        return;
    };
    let pass = number % PASSES;
    if pass + 1 < PASSES {
        set(value(slot, pass + 1));
        return;
    }
    slot::header(slot).exiting.store(true, Ordering::Release);
    hurry();
}

/// Makes the watcher look now.
pub(super) fn hurry() {
    ANNOUNCED.fetch_add(1, Ordering::AcqRel);
    futex::wake(&ANNOUNCED, 1);
}

/// How often threads that cannot announce their end are looked for.
const SCAN: Duration = Duration::from_millis(250);
/// Between two looks at a thread that is about to be gone.
const FIRST_LOOK: Duration = Duration::from_micros(50);
const LAST_LOOK: Duration = Duration::from_millis(5);

/// The layers above: an `fn(SlotId)`, told of each thread that is gone.
static HOOK: OnceLock<fn(SlotId)> = OnceLock::new();

pub(super) fn set_hook(ended: fn(SlotId)) {
    HOOK.get_or_init(|| ended);
}

/// The thread that had a slot is gone.
pub(super) fn settle(slot: SlotId) {
    if let Some(ended) = HOOK.get() {
        ended(slot);
    }
}

/// Whether the watching thread has begun: 1 from then on.
static WATCHING: AtomicU32 = AtomicU32::new(0);

/// Waits until the watching thread has begun. What Rust's runtime does at a thread's beginning, allocations among it, is over then,
/// and does not fall between somebody's fault and its answer.
pub(super) fn wait_for_watcher() {
    while WATCHING.load(Ordering::Acquire) == 0 {
        futex::wait(&WATCHING, 0, None);
    }
}

/// The watching thread's life.
pub(super) fn watch() -> ! {
    signals::block_for_good();
    WATCHING.store(1, Ordering::Release);
    futex::wake(&WATCHING, u32::MAX);
    let mut pause = SCAN;
    let mut last_scan = Instant::now();
    loop {
        let announced = ANNOUNCED.load(Ordering::Acquire);
        // Also threads that should announce their end are looked for now and then: not every end runs destructors.
        let scan = last_scan.elapsed() >= SCAN;
        if scan {
            last_scan = Instant::now();
        }
        let mut pending = false;
        for slot in slot::taken() {
            let tid = slot::tid(slot);
            if tid == 0 {
                // Claimed this moment; its thread is writing the record.
                continue;
            }
            let exiting = slot::header(slot).exiting.load(Ordering::Acquire);
            if (exiting || scan || !slot::announces(slot)) && is_gone(tid) {
                settle(slot);
                slot::free(slot);
                pause = FIRST_LOOK;
            } else if exiting {
                pending = true;
            }
        }
        pause = match pending {
            true => (pause * 2).clamp(FIRST_LOOK, LAST_LOOK),
            false => SCAN,
        };
        if futex::wait(&ANNOUNCED, announced, Some(pause)) == futex::Wait::Changed
            || ANNOUNCED.load(Ordering::Acquire) != announced
        {
            pause = FIRST_LOOK;
        }
    }
}

/// Whether the host has no such thread any more. A main thread that ended before the process stays as a zombie: that counts.
fn is_gone(tid: u32) -> bool {
    !sys::thread_exists(tid) || tid == std::process::id() && is_zombie(tid)
}

/// Asks without allocating: the watcher works while others may rely on nobody doing so.
fn is_zombie(tid: u32) -> bool {
    let mut path = [0; 64];
    let mut rest = &mut path[..];
    // The buffer holds the longest path and the zero that ends it.
    if write!(rest, "/proc/self/task/{tid}/stat").is_err() {
        return false;
    }
    let mut stat = [0; 256];
    let length = sys::read_file(&path, &mut stat);
    // The state follows the name, which stands in parentheses and may contain anything.
    let Some(end) = stat[..length].iter().rposition(|byte| *byte == b')') else {
        return false;
    };
    matches!(stat.get(end + 2), Some(b'Z' | b'X'))
}
