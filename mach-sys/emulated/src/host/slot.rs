//! Slots: per host thread a stack for the fault handler, and the host layer's record of the thread.
//!
//! One reserved region of size-aligned slots, of which only touched pages count:
//!
//! | from | to | |
//! |---|---|---|
//! | 0 | 4 KiB | guard page |
//! | 4 KiB | 28 KiB | *private* part: registered only while a handler runs on it |
//! | 28 KiB | 52 KiB | part *lent* to a thread that has no alternate stack of its own |
//! | 52 KiB | 64 KiB − 256 | copy area: where the kernel's frame is moved out of harm's way; in no registered range |
//! | 64 KiB − 256 | 64 KiB | header: the thread's record, found by masking the stack pointer |
//!
//! A thread that is not on its slot finds it in a table of keys by its identifier; only the thread itself enters its key, so that
//! there are no duplicates, and a key that is no longer used leaves a tombstone, so that the probes of others go on.
#![allow(unsafe_code)]

use super::previous;
use super::signals::{Blocked, SYNCHRONOUS_MASK};
use super::sys::{self, How, Mask, Stack};
use super::reservation::Reservation;
use crate::error::ReserveError;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Bytes of a slot, and its alignment.
pub(super) const SIZE: usize = 64 * 1024;
/// Bottom of the private part, on which a handler runs.
pub(super) const PRIVATE: usize = 4 * 1024;
/// Top of the private part, bottom of the lent one.
pub(super) const LENT: usize = 28 * 1024;
/// Top of the lent part, bottom of the copy area.
pub(super) const COPY: usize = 52 * 1024;
/// The header.
pub(super) const HEADER: usize = SIZE - 256;

const EMPTY: u32 = 0;
const TOMBSTONE: u32 = u32::MAX;

/// Identifies a slot: the place of a host thread in tables of the layers above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(u32);

impl SlotId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Every slot is taken: the thread's faults go to the host level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all slots for threads are taken, or this is the child of a fork")]
pub(crate) struct Exhausted;

/// A thread's record, at the end of its slot. The first two fields are read by the entry in assembly.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Header {
    /// What to register as the alternate stack on the way to a handler that was installed before.
    pub(super) restore_stack: Cell<Stack>,
    /// The signal mask on that way.
    pub(super) restore_mask: Cell<Mask>,
    /// Whether the thread is between a fault and its answer; touched by its fault handler only.
    pub(super) serving: Cell<bool>,
    /// Context of the fault that a handler was entered for last, which we were asked about before.
    pub(super) declined: Cell<usize>,
    /// A signal that waits for the end of the handler, 0 for none; its siginfo.
    pub(super) deferred: Cell<i32>,
    pub(super) deferred_info: Cell<[u64; 16]>,
    /// The thread; 0 when the slot is free.
    tid: AtomicU32,
    /// Whether the guard page is in place, which it stays.
    guarded: AtomicBool,
    /// Whether the thread has its thread-specific key armed: its end announces itself.
    announces: AtomicBool,
    /// Set in the last pass of the thread's destructors.
    pub(super) exiting: AtomicBool,
    /// `pthread_self()`, once the thread registered.
    pthread: AtomicU64,
}

const _: () = assert!(size_of::<Header>() <= SIZE - HEADER);

/// For the entry: where the region is, and the keys.
pub(super) static BASE: AtomicUsize = AtomicUsize::new(0);
pub(super) static LENGTH: AtomicUsize = AtomicUsize::new(0);
pub(super) static KEYS: AtomicUsize = AtomicUsize::new(0);
pub(super) static KEY_MASK: AtomicUsize = AtomicUsize::new(0);

/// Whether this process is the child of a fork: none of the emulation's threads are in it.
static FORKED: AtomicBool = AtomicBool::new(false);

/// In the child of a fork, from its first moment on.
pub(super) fn set_forked() {
    FORKED.store(true, Ordering::Relaxed);
}

/// Whether this process is the child of a fork of the one that the emulation was set up in.
pub(crate) fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Slots that some thread has.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Faults and registrations that found every slot taken.
static EXHAUSTED: AtomicU32 = AtomicU32::new(0);

/// Counts a fault that found every slot taken.
pub(super) fn note_exhausted() {
    EXHAUSTED.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn exhausted() -> u32 {
    EXHAUSTED.load(Ordering::Relaxed)
}

static REGION: OnceLock<Region> = OnceLock::new();

#[derive(Debug)]
struct Region {
    _memory: Reservation,
    keys: Box<[AtomicU32]>,
}

/// Reserves the region; once. The number of slots is a power of two.
pub(super) fn reserve(slots: u32) -> Result<(), ReserveError> {
    let count = slots as usize;
    let memory = Reservation::new((count + 1) * SIZE)?;
    let base = (memory.base().as_ptr() as usize).next_multiple_of(SIZE);
    let keys: Box<[AtomicU32]> = (0..count).map(|_| AtomicU32::new(EMPTY)).collect();
    let region = REGION.get_or_init(|| Region {
        _memory: memory,
        keys,
    });
    if BASE
        .compare_exchange(0, base, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok()
    {
        KEYS.store(region.keys.as_ptr() as usize, Ordering::Release);
        KEY_MASK.store(count - 1, Ordering::Release);
        // Last: with a length of 0 no address is in the region.
        LENGTH.store(count * SIZE, Ordering::Release);
    }
    Ok(())
}

fn keys() -> &'static [AtomicU32] {
    REGION.get().map_or(&[], |region| &region.keys)
}

/// The slot of an index, if there are that many.
pub(super) fn from_index(index: usize) -> Option<SlotId> {
    (index < keys().len()).then_some(SlotId(index as u32))
}

/// A slot's address.
pub(super) fn address(slot: SlotId) -> usize {
    BASE.load(Ordering::Relaxed) + slot.index() * SIZE
}

/// The slot at an address inside it.
pub(super) fn containing(address: usize) -> Option<SlotId> {
    let offset = address.wrapping_sub(BASE.load(Ordering::Relaxed));
    (offset < LENGTH.load(Ordering::Relaxed)).then_some(SlotId((offset / SIZE) as u32))
}

pub(super) fn header(slot: SlotId) -> &'static Header {
    // SAFETY: the region is never unmapped; a header lies in each slot, zeroed at first, which is a valid one; its fields are
    // atomics, or cells that only the slot's own thread touches.
    unsafe { &*((address(slot) + HEADER) as *const Header) }
}

// SAFETY: see `header`: the cells are touched by one thread only.
unsafe impl Sync for Header {}

/// The alternate stack lent by a slot.
pub(super) fn lent_stack(slot: SlotId) -> Stack {
    Stack {
        base: address(slot) + LENT,
        flags: 0,
        size: COPY - LENT,
    }
}

/// The calling thread's identifier on the host.
pub(crate) fn gettid() -> u32 {
    sys::gettid()
}

/// The calling thread's slot, for a fault that did not come through the entry's own search.
pub(super) fn of_current() -> Option<SlotId> {
    let slot = find_or_claim(sys::gettid()).ok()?;
    adopt(slot);
    Some(slot)
}

/// Finds the slot of a thread, or claims one for the calling thread. The entry does the same in assembly.
fn find_or_claim(tid: u32) -> Result<SlotId, Exhausted> {
    let keys = keys();
    'again: loop {
        let mut tombstone = None;
        for probe in 0..keys.len() {
            let index = (tid as usize + probe) & (keys.len() - 1);
            let key = keys[index].load(Ordering::Acquire);
            if key == tid {
                return Ok(SlotId(index as u32));
            }
            if key == TOMBSTONE {
                tombstone = tombstone.or(Some(index));
            } else if key == EMPTY {
                let (index, seen) = tombstone.map_or((index, EMPTY), |at| (at, TOMBSTONE));
                if claim(keys, index, seen, tid) {
                    return Ok(SlotId(index as u32));
                }
                continue 'again;
            }
        }
        match tombstone {
            Some(index) if claim(keys, index, TOMBSTONE, tid) => {
                return Ok(SlotId(index as u32));
            }
            Some(_) => {}
            None => return Err(Exhausted),
        }
    }
}

fn claim(keys: &[AtomicU32], index: usize, seen: u32, tid: u32) -> bool {
    keys[index]
        .compare_exchange(seen, tid, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok()
}

/// As [`find_or_claim`], with some patience: a thread that was joined a moment ago may still be there.
fn find_or_wait(tid: u32) -> Result<SlotId, Exhausted> {
    for _ in 0..100 {
        if let Ok(slot) = find_or_claim(tid) {
            return Ok(slot);
        }
        super::exit::hurry();
        std::thread::sleep(core::time::Duration::from_millis(1));
    }
    note_exhausted();
    Err(Exhausted)
}

/// Makes a found or claimed slot the thread's whose key it has: its guard page, its record. Called on every fault, and by
/// registrations; does nothing where everything is in place.
pub(super) fn adopt(slot: SlotId) {
    let header = header(slot);
    let Some(key) = keys().get(slot.index()) else {
        return;
    };
    let tid = key.load(Ordering::Acquire);
    if header.tid.load(Ordering::Relaxed) == tid {
        return;
    }
    if !header.guarded.swap(true, Ordering::Relaxed) {
        // SAFETY: the first page of the slot is not used by anybody. Where pages are larger than it the call fails, and there is
        // no guard.
        unsafe {
            sys::call(
                libc::SYS_mprotect,
                [address(slot), PRIVATE, libc::PROT_NONE as usize, 0, 0, 0],
            )
        };
    }
    if TAKEN.fetch_add(1, Ordering::Relaxed) as usize >= keys().len() / 2 {
        // Threads that were first seen in a fault do not announce their end: time to look for those.
        super::exit::hurry();
    }
    header.serving.set(false);
    header.declined.set(0);
    header.deferred.set(0);
    header.announces.store(false, Ordering::Relaxed);
    header.exiting.store(false, Ordering::Relaxed);
    header.pthread.store(0, Ordering::Relaxed);
    header.tid.store(tid, Ordering::Release);
}

thread_local! {
    /// The calling thread's slot plus one, once it registered; only ordinary calls look here.
    static REGISTERED: Cell<u32> = const { Cell::new(0) };
}

/// Registers the calling thread: a slot, an alternate stack if it has none, the five signals unblocked, its end announced.
pub(crate) fn register() -> Result<SlotId, Exhausted> {
    if is_forked() {
        return Err(Exhausted);
    }
    if let Some(index) = REGISTERED.with(Cell::get).checked_sub(1) {
        return Ok(SlotId(index));
    }
    let tid = gettid();
    let slot = find_or_wait(tid)?;
    let header = header(slot);
    if header.announces.load(Ordering::Acquire) && header.tid.load(Ordering::Acquire) == tid {
        // A thread registers once: this record is that of one that has just ended, whose identifier the host gave to this one
        // before the watcher looked.
        let _blocked = Blocked::new();
        super::exit::settle(slot);
        TAKEN.fetch_sub(1, Ordering::Relaxed);
        header.tid.store(0, Ordering::Relaxed);
    }
    adopt(slot);
    // SAFETY: no arguments.
    let this = unsafe { libc::pthread_self() };
    header.pthread.store(this, Ordering::Release);
    prepare(slot);
    header
        .announces
        .store(super::exit::arm(slot), Ordering::Release);
    REGISTERED.with(|registered| registered.set(slot.0 + 1));
    Ok(slot)
}

/// Makes the calling thread ready for faults: an alternate stack if it has none, so that its stack pointer may be anything, and the
/// five signals unblocked, since a blocked one kills. Once at its registration, and again for an owner who has since put back what
/// he had before.
pub(crate) fn prepare(slot: SlotId) {
    if sys::alternate_stack().flags & sys::SS_DISABLE != 0 {
        // SAFETY: the lent part of the thread's own slot, which lives until the thread is gone. A refusal (the thread runs on an
        // alternate stack just now) leaves the lending to its first fault.
        let _ = unsafe { sys::set_alternate_stack(&lent_stack(slot)) };
    }
    sys::change_mask(How::Unblock, SYNCHRONOUS_MASK);
    previous::look();
}

/// The slot of a registered thread.
pub(crate) fn of_pthread(thread: libc::pthread_t) -> Option<SlotId> {
    taken().find(|slot| {
        let header = header(*slot);
        header.pthread.load(Ordering::Acquire) == thread && !header.exiting.load(Ordering::Relaxed)
    })
}

/// The host's identifier of the thread that has a slot; 0 if none has.
pub(crate) fn tid(slot: SlotId) -> u32 {
    header(slot).tid.load(Ordering::Acquire)
}

/// Whether a thread's end announces itself; otherwise it has to be looked for.
pub(super) fn announces(slot: SlotId) -> bool {
    header(slot).announces.load(Ordering::Acquire)
}

/// All slots that some thread has.
pub(super) fn taken() -> impl Iterator<Item = SlotId> {
    keys()
        .iter()
        .enumerate()
        .filter(|(_, key)| !matches!(key.load(Ordering::Acquire), EMPTY | TOMBSTONE))
        .map(|(index, _)| SlotId(index as u32))
}

/// Gives the slot of a thread that is gone back.
pub(super) fn free(slot: SlotId) {
    TAKEN.fetch_sub(1, Ordering::Relaxed);
    header(slot).pthread.store(0, Ordering::Relaxed);
    header(slot).tid.store(0, Ordering::Release);
    if let Some(key) = keys().get(slot.index()) {
        key.store(TOMBSTONE, Ordering::Release);
    }
}
