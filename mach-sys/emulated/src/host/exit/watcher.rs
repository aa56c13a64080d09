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
/// Time from the announced end of a thread to the first look: it is about to be gone then.
const FIRST_LOOK: Duration = Duration::from_micros(50);
/// The longest time between two looks at a thread that is about to be gone.
const LAST_LOOK: Duration = Duration::from_millis(5);
/// Time between two looks while threads end in a row. Each announces its end without waking the watching thread then.
const ROW: Duration = Duration::from_micros(500);

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
    let process = thread::getpid();
    let mut last_scan = Instant::now();
    let mut pause = Pause::Sleep;
    let (mut main_left, mut ended) = (false, false);
    loop {
        // Before the look at what it announces.
        let told = watch_word::told();
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
        let look = look_at_all(process, scan);
        if asked {
            watch_word::looked();
        }
        if scan && !main_left {
            main_left = last::main_has_left();
        }
        if main_left && (look.freed != 0 || scan) && !ended && last::only_servers_are_left() {
            ended = true;
            last::end_process();
        }
        pause = pause.after(look);
        let at_most = |time: Duration| tick().map_or(time, |due| due.min(time));
        match pause {
            Pause::Sleep => {
                if watch_word::sleep(told, at_most(SCAN)) {
                    pause = Pause::Nap(FIRST_LOOK);
                    watch_word::nap(watch_word::told(), FIRST_LOOK);
                }
            }
            Pause::Nap(time) => watch_word::nap(told, at_most(time)),
        }
    }
}

/// The watching thread's wait between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// Until the end of a thread wakes it.
    Sleep,
    /// For this time.
    Nap(Duration),
}

impl Pause {
    /// Returns the wait after a look that followed this one.
    fn after(self, look: Look) -> Self {
        match (look.freed, look.pending, self) {
            // Threads may end in a row.
            (1.., _, _) => Self::Nap(ROW),
            (0, true, Self::Sleep) => Self::Nap(FIRST_LOOK),
            (0, true, Self::Nap(time)) => Self::Nap((time * 2).min(LAST_LOOK)),
            (0, false, _) => Self::Sleep,
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
    /// Number of slots that were freed.
    freed: u32,
    /// A thread is about to be gone.
    pending: bool,
}

/// Looks at the threads of this process that announced their end, or cannot; at all of them when `scan` is set.
fn look_at_all(process: u32, scan: bool) -> Look {
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
            look.freed += u32::from(scan && free_if_gone(keys, slot, seen, process));
            continue;
        }
        let exiting = header.exiting.load(Ordering::Acquire);
        let worth_a_look = exiting || scan || !header.announces.load(Ordering::Acquire);
        if worth_a_look && free_if_gone(keys, slot, seen, process) {
            look.freed += 1;
        } else if exiting {
            look.pending = true;
        }
    }
    look
}

/// Frees the slot of a thread that is gone. A key that any thread looked up meanwhile is left alone.
fn free_if_gone(keys: &Keys, slot: Slot, seen: Seen, process: u32) -> bool {
    let Some(seen) = keys.unmark(seen) else {
        return false;
    };
    if !is_gone(process, seen.identity()) || !keys.begin_to_free(seen) {
        return false;
    }
    owner::release(slot, seen.identity());
    keys.free(seen);
    true
}

/// Returns whether the system has no such thread any more. A main thread that ended before the process stays as a zombie: that counts.
fn is_gone(process: u32, identity: Identity) -> bool {
    let tid = identity.tid();
    match thread::exists_in(process, tid) {
        Some(false) => return true,
        None if task_stat::is_missing(tid) => return true,
        _ => {}
    }
    tid == process && task_stat::read(tid).is_some_and(|stat| matches!(stat.state, b'Z' | b'X'))
}
