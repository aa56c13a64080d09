//! A place for one deferred exception: memory that is never freed while the table lives, and a state word that says which thread may
//! access it.
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

/// The state of an empty slot.
const FREE: u64 = 0;
/// The state of a slot that an exception is being put into. A thread that closes the exception's route waits until it is filled.
const FILLING: u64 = 1;
/// The state of a slot whose exception waits for an answer.
const WAITING: u64 = 2;
/// The state of a slot that one thread holds, to read or to answer it.
const HELD: u64 = 3;
/// The state of a held slot whose exception the holder must decline when it gives the slot back.
const DOOMED: u64 = 4;

/// Number of low bits of a slot's word that are its state; the others are its generation.
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
    /// The exception's route, as a number. This and the next four can be read without holding the slot; they are written while it is filled.
    route: AtomicU64,
    tag: AtomicU64,
    kind: AtomicI32,
    /// The time of deferring on the clock, in nanoseconds.
    since: AtomicU64,
    /// The deadline on the clock, in nanoseconds; `u64::MAX` for none.
    deadline: AtomicU64,
    content: UnsafeCell<Content>,
}

// SAFETY: only the thread that moved `word` from FREE to FILLING or from WAITING to HELD accesses `content`, until that thread moves
// `word` on with release ordering. The moves are compare-exchanges with acquire ordering, so that one thread at a time has the slot and
// sees the writes of the one before. The content may be sent to other threads: asserted below.
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

    /// Moves the slot of a generation from one state to another. Returns the word found if it is another one.
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

    /// Takes the slot to put an exception into; `None` if it is not free.
    pub(crate) fn claim(&self) -> Option<Filling<'_>> {
        let now = self.word.load(Ordering::Relaxed);
        let generation = generation_of(now);
        self.change(generation, FREE, FILLING).ok()?;
        Some(Filling {
            slot: self,
            generation,
        })
    }

    /// Takes the exception of a generation, to read or to answer it; `None` if it was answered. Waits while another thread holds it, which
    /// runs no user code meanwhile.
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

    /// Takes the exception of a generation to decline it. Returns `None` if it was answered, or if another thread holds it: that thread then
    /// answers it, or declines it when it gives it back. Does not wait.
    pub(crate) fn doom(&self, generation: u64) -> Option<Held<'_>> {
        loop {
            if self.change(generation, WAITING, HELD).is_ok() {
                return Some(Held {
                    slot: self,
                    generation,
                });
            }
            match self.change(generation, HELD, DOOMED) {
                // The holder gave it back between the two attempts.
                Err(now) if now == word(generation, WAITING) => {}
                Ok(()) | Err(_) => return None,
            }
        }
    }

    /// Returns the properties of the exception in the slot; `None` if it is empty. Waits while an exception is being put in.
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
            // A value of a later generation would have been stored, with release ordering, after the word changed.
            let after = self.word.load(Ordering::Acquire);
            if generation_of(after) == generation {
                return (state_of(after) != FREE).then_some(summary);
            }
        }
    }

    /// Marks the slot free, for the next generation.
    fn free(&self, generation: u64) {
        self.word
            .store(word(generation.wrapping_add(1), FREE), Ordering::SeqCst);
    }
}

/// Waits a moment for a thread that is about to finish, and yields the processor every 64th time.
fn pause(spins: &mut u32) {
    *spins = spins.wrapping_add(1);
    if *spins % 64 == 0 {
        clock::yield_now();
    } else {
        spin_loop();
    }
}

/// A slot that is being filled. Dropping the value frees the slot.
pub(crate) struct Filling<'s> {
    slot: &'s Slot,
    generation: u64,
}

impl Filling<'_> {
    /// Puts an exception into the slot and makes it answerable. Returns its generation.
    pub(crate) fn fill(
        self,
        request: &Request<'_>,
        question: Question,
        new_state: Option<NewState<'_>>,
        filed: Filed,
    ) -> u64 {
        // SAFETY: `claim` gave this thread the slot, and its state has not changed since.
        let content = unsafe { &mut *self.slot.content.get() };
        content.fill(request, question, new_state);
        self.publish(request.exception(), filed)
    }

    /// Makes the exception in the slot answerable. Returns its generation.
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

/// A slot with an exception that this thread holds. Dropping the value gives the slot back, for any thread to answer.
pub(crate) struct Held<'s> {
    slot: &'s Slot,
    generation: u64,
}

impl Held<'_> {
    pub(crate) fn content(&self) -> &Content {
        // SAFETY: `hold` or `doom` gave this thread the slot until `self` is dropped.
        unsafe { &*self.slot.content.get() }
    }

    pub(crate) fn content_mut(&mut self) -> &mut Content {
        // SAFETY: as above; `self` is borrowed mutably.
        unsafe { &mut *self.slot.content.get() }
    }

    /// Frees the slot, whose question must have been taken out before. The answer must be sent only after this: the resumed thread may need
    /// the slot again.
    pub(crate) fn free(self) {
        self.slot.free(self.generation);
        core::mem::forget(self);
    }

    /// Gives the slot back. Returns `false` if it was doomed meanwhile; then it is still held.
    fn give_back(&self) -> bool {
        self.slot.change(self.generation, HELD, WAITING).is_ok()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.give_back() {
            // The route closed while this thread held the slot. Dropping the reply right declines the exception (A6.8).
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
