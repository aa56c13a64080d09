//! One place for a deferred exception: type-stable memory, and a word that says which thread may touch it.
#![allow(unsafe_code)]

use crate::clock;
use crate::request::content::{Content, Filed, Summary};
use crate::request::question::{NewState, Question};
use core::cell::UnsafeCell;
use core::fmt;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use mach_sys::exception::ExceptionType;
use mach_sys::mig::Request;

/// Nothing is in it.
const FREE: u64 = 0;
/// An exception is being put in. A thread that closes its route waits for that.
const FILLING: u64 = 1;
/// An exception waits in it.
const WAITING: u64 = 2;
/// One thread has it, to look or to answer.
const HELD: u64 = 3;
/// Held, and to be declined by the holder when it is given back.
const DOOMED: u64 = 4;

/// The low bits of a slot's word; the others are its generation.
const STATE_BITS: u32 = 3;

const fn word(generation: u64, state: u64) -> u64 {
    generation << STATE_BITS | state
}

const fn generation_of(word: u64) -> u64 {
    word >> STATE_BITS
}

const fn state_of(word: u64) -> u64 {
    word & ((1 << STATE_BITS) - 1)
}

/// A place for one deferred exception.
pub(crate) struct Slot {
    word: AtomicU64,
    /// What can be read without holding the slot. Written while it is being filled.
    route: AtomicU64,
    tag: AtomicU64,
    kind: AtomicI32,
    /// On the clock.
    since: AtomicU64,
    /// On the clock; `u64::MAX` is none.
    deadline: AtomicU64,
    content: UnsafeCell<Content>,
}

// SAFETY: `content` is touched only by the thread that moved `word` from FREE to FILLING or from WAITING to HELD, until that thread
// moves it on with release ordering; the moves are compare-exchanges with acquire ordering, so that one thread has it at a time and
// sees what the one before wrote. What is in it may be sent to other threads: asserted below.
unsafe impl Sync for Slot {}

const _: fn() = || {
    fn sendable<T: Send>() {}
    sendable::<Content>();
};

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(word(0, FREE)),
            route: AtomicU64::new(0),
            tag: AtomicU64::new(0),
            kind: AtomicI32::new(0),
            since: AtomicU64::new(0),
            deadline: AtomicU64::new(u64::MAX),
            content: UnsafeCell::new(Content::new()),
        }
    }

    fn change(&self, generation: u64, from: u64, to: u64) -> Result<(), u64> {
        // Sequentially consistent: see `Slots::claim`.
        self.word
            .compare_exchange(
                word(generation, from),
                word(generation, to),
                Ordering::SeqCst,
                Ordering::SeqCst,
            )
            .map(drop)
    }

    /// Takes the slot to put an exception in, if it is free.
    pub(crate) fn claim(&self) -> Option<Filling<'_>> {
        let now = self.word.load(Ordering::Relaxed);
        let generation = generation_of(now);
        self.change(generation, FREE, FILLING).ok()?;
        Some(Filling {
            slot: self,
            generation,
        })
    }

    /// Takes the exception of a generation, to look or to answer. `None` if it was answered. Waits while another thread looks, which
    /// runs no user code.
    pub(crate) fn hold(&self, generation: u64) -> Option<Held<'_>> {
        let mut spins = 0_u32;
        loop {
            match self.change(generation, WAITING, HELD) {
                Ok(()) => {
                    return Some(Held {
                        slot: self,
                        generation,
                    });
                }
                Err(now) if generation_of(now) != generation || state_of(now) == FREE => {
                    return None;
                }
                Err(_) => pause(&mut spins),
            }
        }
    }

    /// Takes the exception of a generation to decline it. If another thread holds it, that one declines it when it is through, unless
    /// it answers it; nothing is waited for.
    pub(crate) fn doom(&self, generation: u64) -> Option<Held<'_>> {
        loop {
            if self.change(generation, WAITING, HELD).is_ok() {
                return Some(Held {
                    slot: self,
                    generation,
                });
            }
            match self.change(generation, HELD, DOOMED) {
                // Given back between the two attempts.
                Err(now) if now == word(generation, WAITING) => {}
                Ok(()) | Err(_) => return None,
            }
        }
    }

    /// What is in it, if an exception waits in it. Waits while one is being put in.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut spins = 0_u32;
        loop {
            // Sequentially consistent: see `Slots::claim`.
            let before = self.word.load(Ordering::SeqCst);
            match state_of(before) {
                FREE => return None,
                FILLING => {
                    pause(&mut spins);
                    continue;
                }
                _ => {}
            }
            let generation = generation_of(before);
            let summary = Summary {
                generation,
                route: self.route.load(Ordering::Acquire),
                tag: self.tag.load(Ordering::Acquire),
                exception_type: ExceptionType::new(self.kind.load(Ordering::Acquire)),
                since: self.since.load(Ordering::Acquire),
                deadline: self.deadline.load(Ordering::Acquire),
            };
            // A value of a later generation would have been read after that generation's word (its stores release).
            let after = self.word.load(Ordering::Acquire);
            if generation_of(after) == generation {
                return (state_of(after) != FREE).then_some(summary);
            }
        }
    }

    /// Puts the slot back as free, for the next generation.
    fn free(&self, generation: u64) {
        self.word
            .store(word(generation.wrapping_add(1), FREE), Ordering::SeqCst);
    }
}

/// Waits a moment for a thread that is about to finish; gives it the processor now and then.
fn pause(spins: &mut u32) {
    *spins = spins.wrapping_add(1);
    if *spins % 64 == 0 {
        clock::yield_now();
    } else {
        spin_loop();
    }
}

/// A slot that is being filled. Dropping it leaves it free.
pub(crate) struct Filling<'s> {
    slot: &'s Slot,
    generation: u64,
}

impl Filling<'_> {
    /// Puts an exception in and lets it be answered. Returns its generation.
    pub(crate) fn fill(
        self,
        request: &Request<'_>,
        question: Question,
        new_state: Option<NewState<'_>>,
        filed: Filed,
    ) -> u64 {
        // SAFETY: `claim` gave this thread the slot, and it has not been moved on.
        let content = unsafe { &mut *self.slot.content.get() };
        content.fill(request, question, new_state);
        self.publish(request.exception(), filed)
    }

    /// Lets what is in it be answered.
    fn publish(self, kind: ExceptionType, filed: Filed) -> u64 {
        let (slot, generation) = (self.slot, self.generation);
        core::mem::forget(self);
        slot.route.store(filed.route, Ordering::Release);
        slot.tag.store(filed.tag, Ordering::Release);
        slot.kind.store(kind.raw(), Ordering::Release);
        slot.since.store(filed.since, Ordering::Release);
        slot.deadline.store(filed.deadline, Ordering::Release);
        slot.word.store(word(generation, WAITING), Ordering::SeqCst);
        generation
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.slot.free(self.generation);
    }
}

/// A slot that this thread has, with an exception in it. Dropping it gives it back, for others to answer.
pub(crate) struct Held<'s> {
    slot: &'s Slot,
    generation: u64,
}

impl Held<'_> {
    pub(crate) fn content(&self) -> &Content {
        // SAFETY: `hold` or `doom` gave this thread the slot, until `self` is gone.
        unsafe { &*self.slot.content.get() }
    }

    pub(crate) fn content_mut(&mut self) -> &mut Content {
        // SAFETY: as above; `self` is borrowed mutably.
        unsafe { &mut *self.slot.content.get() }
    }

    /// Leaves the slot free; what is left in it was taken out before. An answer must leave only after this: the thread that goes on
    /// because of it may need the slot again.
    pub(crate) fn free(self) {
        self.slot.free(self.generation);
        core::mem::forget(self);
    }

    /// Gives it back. `false`: it was doomed meanwhile, and is still held.
    fn give_back(&self) -> bool {
        self.slot.change(self.generation, HELD, WAITING).is_ok()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.give_back() {
            // Its route closed while this thread looked. Without its reply right it is declined (A6.8).
            let question = self.content_mut().question.take();
            self.slot.free(self.generation);
            drop(question);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("summary", &self.summary())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "std"))]
#[path = "slot_tests.rs"]
mod tests;
