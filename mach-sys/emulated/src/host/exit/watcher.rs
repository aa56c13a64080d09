//! The watching thread: finds out which threads are gone.

use super::{deadly, last};
use crate::host::slot::identity::Identity;
use crate::host::slot::inside::InKernel;
use crate::host::slot::keys::{Keys, Seen};
use crate::host::slot::origin;
use crate::host::slot::owner;
use crate::host::slot::region::{self, Slot};
use crate::host::slot::watch_word;
use crate::host::sys::mask::{self, ALL_MASK, How, Mask};
use crate::host::sys::pthread::{self, Start, Thread};
use crate::host::sys::{futex, stack, task_stat, thread};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// Time between two scans for the ends of threads that cannot announce them.
const SCAN: Duration = Duration::from_millis(250);
/// First wait between two looks at a thread that is about to be gone.
const FIRST_LOOK: Duration = Duration::from_micros(50);
const LAST_LOOK: Duration = Duration::from_millis(5);

/// Bytes of stack that the watching thread has for its own, many times what it takes.
const STACK: usize = 256 * 1024;

/// 1 from the moment that the watching thread runs, 0 before.
static WATCHING: AtomicU32 = AtomicU32::new(0);
/// True once it must end.
static STOPPING: AtomicBool = AtomicBool::new(false);
/// The watching thread. Locked at a start and at a stop only.
static THREAD: Mutex<Option<Thread>> = Mutex::new(None);

/// A function that the watching thread calls in each round.
static TICK: OnceLock<fn() -> Option<Duration>> = OnceLock::new();

/// Sets the function that the watching thread calls in each round. It returns the time until it is to be called again.
pub(in crate::host) fn set_tick(tick: fn() -> Option<Duration>) {
    TICK.get_or_init(|| tick);
}

/// Starts the watching thread, and waits until it has begun: no allocation of a thread's beginning falls between a fault and its answer
/// then. `outer` is the signal mask of the emulation's starter.
pub(in crate::host) fn start(outer: Mask) -> io::Result<()> {
    last::note_outer(outer);
    let start = Start {
        name: c"mach-sys",
        stack_size: Some(stack::size_for(STACK)),
        run: || watch(),
    };
    let thread = {
        // The watcher inherits the mask, so that no signal of the process's is ever delivered to it.
        let _blocked = InKernel::enter();
        pthread::start(&start)?
    };
    while WATCHING.load(Ordering::Acquire) == 0 {
        futex::wait(&WATCHING, 0, None);
    }
    *watching() = Some(thread);
    Ok(())
}

/// Ends the watching thread, and waits until it is gone.
pub(in crate::host) fn stop() {
    if let Some(thread) = watching().take() {
        STOPPING.store(true, Ordering::Release);
        watch_word::hurry();
        thread.join();
        STOPPING.store(false, Ordering::Relaxed);
        WATCHING.store(0, Ordering::Relaxed);
    }
}

fn watching() -> MutexGuard<'static, Option<Thread>> {
    THREAD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the watching thread. It takes no signal at all: a signal sent to the process is another thread's, and the five are blocked
/// too, as this thread has no fault that could be served.
fn watch() {
    mask::change(How::Block, ALL_MASK);
    origin::note_watching_thread();
    WATCHING.store(1, Ordering::Release);
    futex::wake(&WATCHING, u32::MAX);
    let word = watch_word::word();
    let mut pause = SCAN;
    let mut last_scan = Instant::now();
    let (mut main_left, mut ended) = (false, false);
    loop {
        // Before the look at what it announces.
        let announced = word.load(Ordering::Acquire);
        watch_word::wait_if_paused();
        if STOPPING.load(Ordering::Acquire) {
            return;
        }
        // Also threads that should announce their end are looked for now and then: not every end runs destructors.
        let asked = watch_word::is_asked();
        let scan = asked || last_scan.elapsed() >= SCAN;
        if scan {
            last_scan = Instant::now();
            deadly::act_upon_pending();
        }
        let look = look_at_all(scan);
        if asked {
            watch_word::looked();
        }
        if look.freed {
            pause = FIRST_LOOK;
        }
        if scan && !main_left {
            main_left = last::main_has_left();
        }
        if main_left && (look.freed || scan) && !ended && last::only_servers_are_left() {
            ended = true;
            last::end_process();
        }
        pause = match look.pending {
            true => (pause * 2).clamp(FIRST_LOOK, LAST_LOOK),
            false => SCAN,
        };
        let wait = tick().map_or(pause, |due| due.min(pause));
        if futex::wait(word, announced, Some(wait)) == futex::Wait::Changed
            || word.load(Ordering::Acquire) != announced
        {
            pause = FIRST_LOOK;
        }
    }
}

/// Does what is due.
fn tick() -> Option<Duration> {
    (TICK.get()?)()
}

/// Result of a look at all slots.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    /// A slot was freed.
    freed: bool,
    /// A thread is about to be gone.
    pending: bool,
}

/// Looks at the threads that announced their end, or cannot; at all of them when `scan` is set.
fn look_at_all(scan: bool) -> Look {
    let mut look = Look::default();
    let Some(keys) = region::keys() else {
        return look;
    };
    for seen in keys.taken() {
        let Some(slot) = region::from_index(seen.index()).and_then(Slot::of) else {
            continue;
        };
        let header = slot.header();
        if header.owner() != seen.identity() {
            // Claimed this moment: its thread is writing the record. Or it never needed one, and is gone.
            look.freed |= scan && free_if_gone(keys, slot, seen);
            continue;
        }
        let exiting = header.exiting.load(Ordering::Acquire);
        let worth_a_look = exiting || scan || !header.announces.load(Ordering::Acquire);
        if worth_a_look && free_if_gone(keys, slot, seen) {
            look.freed = true;
        } else if exiting {
            look.pending = true;
        }
    }
    look
}

/// Frees the slot of a thread that is gone. A key that any thread looked up meanwhile is left alone.
fn free_if_gone(keys: &Keys, slot: Slot, seen: Seen) -> bool {
    let Some(seen) = keys.unmark(seen) else {
        return false;
    };
    if !is_gone(seen.identity()) || !keys.begin_to_free(seen) {
        return false;
    }
    owner::release(slot, seen.identity());
    keys.free(seen);
    true
}

/// Returns whether the system has no such thread any more. A main thread that ended before the process stays as a zombie: that counts.
fn is_gone(identity: Identity) -> bool {
    let tid = identity.tid();
    match thread::exists(tid) {
        Some(false) => return true,
        None if task_stat::is_missing(tid) => return true,
        _ => {}
    }
    tid == thread::getpid()
        && task_stat::read(tid).is_some_and(|stat| matches!(stat.state, b'Z' | b'X'))
}
