//! The thread that a slot belongs to, and the check that it still does.
//!
//! The system gives a dead thread's identifier to another thread. A thread that finds a key with its identifier may find a dead one's:
//! then the dead one's end is settled first, and the slot is the new one's, with a new identity.

use super::header::Header;
use super::identity::Identity;
use super::region::{Slot, SlotId};
use super::watch_word;
use crate::host::sys::altstack::Stack;
use crate::host::sys::thread::thread_pointer;
use crate::host::sys::{clock, copy, task_stat};
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;

/// Hook of the layers above, called for each thread that is gone, with its slot.
static ENDED: OnceLock<fn(SlotId)> = OnceLock::new();

/// Sets the hook that is called for each thread that is gone. Called with the asynchronous signals blocked, in a fault handler for example.
pub(in crate::host) fn set_hook(ended: fn(SlotId)) {
    ENDED.get_or_init(|| ended);
}

fn settle(slot: SlotId) {
    if let Some(ended) = ENDED.get() {
        ended(slot);
    }
}

/// Slots that belong to some thread.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Forgets all threads, when the slots are given back.
pub(in crate::host) fn forget_all() {
    TAKEN.store(0, Ordering::Relaxed);
}

/// Registration of the calling thread. Each thread registers once, and keeps the fact in a thread-local word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum Caller {
    /// A fault handler, which cannot know.
    InFault {
        /// The alternate stack that was registered when the fault was delivered.
        registered: Stack,
    },
    /// An ordinary call of a thread that has not.
    Unregistered,
}

/// Makes the slot that the calling thread found by its identifier the calling thread's: puts guards and record in place if it is new
/// there, and settles the end of an owner that is gone. Does nothing where everything is in place.
pub(in crate::host) fn adopt(slot: Slot, caller: Caller) {
    let header = slot.header();
    let key = slot.keys().identity(slot.id().index());
    let owner = if header.owner() != key {
        key
    } else if is_caller(header, key, caller) {
        return;
    } else {
        let fresh = Identity::fresh(key.tid());
        // The watching thread does not free a slot whose key a living thread found.
        if slot.keys().take_over(slot.id().index(), key, fresh) {
            settle(slot.id());
            TAKEN.fetch_sub(1, Ordering::Relaxed);
        }
        fresh
    };
    slot.guard();
    if TAKEN.fetch_add(1, Ordering::Relaxed) as usize >= slot.keys().count() / 2 {
        // Threads that were first seen in a fault do not announce their end: time to look for those.
        watch_word::hurry();
    }
    header.reset();
    if caller != Caller::Unregistered {
        let started = task_stat::read(owner.tid());
        header.started.set(started.map_or(0, |stat| stat.start));
        header.compared.set(clock::coarse_milliseconds());
    }
    header.set_owner(owner);
}

/// Returns whether a slot that was found by the calling thread's identifier is certainly its own, by the word that a registered thread
/// has. No system call.
pub(in crate::host) fn is_certain(slot: Slot) -> bool {
    let header = slot.header();
    let owner = header.owner();
    let word_at = header.word_at.load(Ordering::Acquire);
    owner == slot.keys().identity(slot.id().index())
        && word_at != 0
        && header.thread_pointer.get() == thread_pointer()
        && holds(word_at, owner)
}

/// Returns whether the thread-local word at an address holds an identity. The C library clears it when it makes a thread, on a stack
/// that it kept for example; on a stack that it keeps it stays what it was.
fn holds(word_at: usize, owner: Identity) -> bool {
    let mut word = [0; size_of::<u64>()];
    copy::read(word_at as u64, &mut word).is_ok()
        && Identity::from_bits(u64::from_ne_bytes(word)) == owner
}

/// Returns whether the owner of a slot, which has the calling thread's identifier, is the calling thread.
fn is_caller(header: &Header, owner: Identity, caller: Caller) -> bool {
    let word_at = header.word_at.load(Ordering::Acquire);
    match (word_at, caller) {
        // A thread registers once: this record is another's.
        (1.., Caller::Unregistered) => false,
        // A dead thread's word may still be there: the C library clears it when it makes a thread on that stack, not before.
        (1.., Caller::InFault { .. }) => {
            holds(word_at, owner)
                && (header.thread_pointer.get() == thread_pointer()
                    || has_started_by(owner.tid(), header.registered.load(Ordering::Relaxed)))
        }
        (0, Caller::Unregistered) => started_with(header, owner),
        (0, Caller::InFault { registered }) if header.started.get() == 0 => {
            // The system does not say when threads started. One that left with the lent stack does not come without.
            !(header.lent.get() && registered.is_disabled())
        }
        (0, Caller::InFault { .. }) => {
            // An identifier cannot have been used again within the time that the system tells starts apart by.
            let now = clock::coarse_milliseconds();
            let recent = now.wrapping_sub(header.compared.replace(now)) < 10;
            recent || started_with(header, owner)
        }
    }
}

/// Returns whether the thread of an identifier had started at a time: it cannot have registered before.
fn has_started_by(tid: u32, registered: u64) -> bool {
    task_stat::read(tid).is_none_or(|stat| stat.start <= registered)
}

/// Returns whether the thread of an identifier started when the owner of a slot did.
fn started_with(header: &Header, owner: Identity) -> bool {
    let started = header.started.get();
    started == 0 || task_stat::read(owner.tid()).is_none_or(|stat| stat.start == started)
}

/// Ends what the watching thread began: the thread that a key named is gone, and the key was made unfindable. A thread that claimed
/// the key and never [adopted](adopt) the slot left nothing else.
pub(in crate::host) fn release(slot: Slot, gone: Identity) {
    if slot.header().owner() != gone {
        return;
    }
    settle(slot.id());
    TAKEN.fetch_sub(1, Ordering::Relaxed);
    slot.header().pthread.store(0, Ordering::Relaxed);
    slot.header().set_owner(Identity::NONE);
    slot.give_memory_back();
}
