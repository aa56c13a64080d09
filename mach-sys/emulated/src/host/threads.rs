//! Threads that make kernel calls: their registration, and what makes them ready for faults.
#![allow(unsafe_code)]

use super::exit::key;
use super::fault::previous;
use super::slot::inside::{self, InKernel};
use super::slot::owner::{self, Caller};
use super::slot::region::{self, Slot, SlotId};
use super::slot::{origin, place};
use super::sys::altstack::{self, Stack};
use super::sys::clock;
use super::sys::mask::{self, How, Mask, SYNCHRONOUS_MASK};
use super::sys::thread::{gettid, thread_pointer};
use core::sync::atomic::Ordering;

/// Every slot is taken: the thread's kernel calls fail, and its faults go to the signal fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all slots for threads are taken")]
pub(crate) struct Exhausted;

/// Returns whether the calling thread [registered](register).
#[inline]
pub(crate) fn is_registered() -> bool {
    inside::is_registered()
}

/// Registers the calling thread, once: a slot, an alternate stack if it has none, the five signals unblocked, its end announced.
pub(crate) fn register() -> Result<SlotId, Exhausted> {
    match inside::slot() {
        Some(slot) => Ok(slot.id()),
        None => register_now(),
    }
}

#[cold]
fn register_now() -> Result<SlotId, Exhausted> {
    let slot = find_or_wait(gettid())?;
    {
        // A signal handler that makes a kernel call registers the thread, too: none runs from here on until it is registered.
        let _inside = InKernel::on(slot.header());
        if inside::slot().is_none() {
            claim(slot);
        }
    }
    if altstack::registered().is_disabled() {
        lend(slot);
    }
    prepare();
    Ok(slot.id())
}

/// Makes a slot that was found by the calling thread's identifier the calling thread's.
fn claim(slot: Slot) {
    owner::adopt(slot, Caller::Unregistered);
    let header = slot.header();
    let word_at = inside::note(slot.id(), header.owner());
    header.thread_pointer.set(thread_pointer());
    let now = clock::ticks_since_boot();
    header.registered.store(now, Ordering::Relaxed);
    header.word_at.store(word_at, Ordering::Release);
    // SAFETY: no arguments.
    let this = unsafe { libc::pthread_self() };
    header.pthread.store(this, Ordering::Release);
    header
        .announces
        .store(key::arm(slot.id()), Ordering::Release);
    header.note_serving(inside::is_serving());
}

fn find_or_wait(tid: u32) -> Result<Slot, Exhausted> {
    place::find_or_claim(tid, place::IN_CALL).ok_or_else(|| {
        region::note_exhausted();
        Exhausted
    })
}

/// Registers the lent stack. Returns whether it is registered.
fn lend(slot: Slot) -> bool {
    // SAFETY: the lent part of the thread's own slot, which lives until the thread is gone. A refusal (the thread runs on an
    // alternate stack just now) leaves the thread with what it has.
    let lent = unsafe { altstack::register(&slot.lent_stack()) }.is_ok();
    slot.header().has_lent.fetch_or(lent, Ordering::AcqRel);
    lent
}

/// Unblocks the five signals, since a blocked one kills, and applies the policy about handlers that were installed later.
fn prepare() {
    // In a group of calls none is blocked.
    if !inside::is_grouped() {
        mask::change(How::Unblock, SYNCHRONOUS_MASK);
    }
    previous::look();
}

/// The calling thread's alternate signal stack and signal mask, which making it ready for faults may change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arranged {
    stack: Stack,
    blocked: Mask,
}

impl Arranged {
    /// Reads the calling thread's alternate signal stack and signal mask.
    pub(crate) fn now() -> Self {
        Self {
            stack: altstack::registered(),
            blocked: mask::change(How::Block, 0),
        }
    }

    /// Makes the calling thread ready for faults: the lent stack, and the five signals unblocked. A stack of the thread's own does not
    /// do: the component that registered it may unmap it on another thread, as Rust's runtime does at `exit`.
    pub(crate) fn make_ready(self, slot: SlotId) -> Changed {
        let slot = Slot::of(slot);
        let lent = slot.filter(|slot| lend(*slot));
        prepare();
        if let Some(slot) = slot {
            slot.header().readied.fetch_add(1, Ordering::AcqRel);
        }
        Changed {
            before: self,
            slot,
            lent: lent.is_some(),
        }
    }

    /// Changes nothing: the thread could not be registered.
    pub(crate) fn keep(self) -> Changed {
        Changed {
            before: self,
            slot: None,
            lent: false,
        }
    }
}

/// The changes that made a thread ready for faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed {
    before: Arranged,
    /// The thread's slot, if it is ready.
    slot: Option<Slot>,
    /// True if the slot's lent stack was registered.
    lent: bool,
}

impl Changed {
    /// Undoes it on the calling thread, and nothing else: what the thread arranged meanwhile stays.
    pub(crate) fn undo(self) {
        if let Some(slot) = self.slot {
            slot.header().readied.fetch_sub(1, Ordering::AcqRel);
        }
        if let Some(slot) = self.slot.filter(|_| self.lent) {
            let lent = slot.lent_stack();
            if !self.before.stack.is_same(&lent) && altstack::registered().is_same(&lent) {
                // SAFETY: what was registered before: none, or a stack that its owner keeps. A refusal (the thread runs on its
                // alternate stack just now) leaves the thread with what it has.
                if unsafe { altstack::register(&self.before.stack) }.is_ok() {
                    slot.header().has_lent.store(false, Ordering::Release);
                }
            }
        }
        let blocked = self.before.blocked & SYNCHRONOUS_MASK;
        if blocked != 0 && !inside::is_serving() {
            // In a group of calls none of them may be blocked, nor on a server's thread.
            inside::end_group();
            mask::change(How::Block, blocked);
        }
    }
}

/// Returns the calling thread's identifier: never the same for two threads of a process. The system's own, which may come back, for a thread
/// that could not be registered.
pub(crate) fn id() -> u64 {
    inside::identity().map_or_else(|| u64::from(gettid()), |identity| identity.bits())
}

/// Returns the identifier of the thread that has a slot.
pub(crate) fn id_of(slot: SlotId) -> u64 {
    Slot::of(slot).map_or(0, |slot| slot.header().owner().bits())
}

/// Returns whether the thread that has a slot is the process's first.
pub(crate) fn is_main(slot: SlotId) -> bool {
    Slot::of(slot).map(|slot| slot.header().owner().tid()) == origin::process()
}

/// Returns the slot of a registered thread.
pub(crate) fn of_pthread(thread: libc::pthread_t) -> Option<SlotId> {
    region::keys()?
        .taken()
        .filter_map(|seen| Slot::of(region::from_index(seen.index())?))
        .find(|slot| {
            let header = slot.header();
            header.pthread.load(Ordering::Acquire) == thread
                && !header.exiting.load(Ordering::Relaxed)
        })
        .map(Slot::id)
}
