//! The table of keys: from a thread's identifier on the host to its slot, for a thread that is not on its slot.
//!
//! A key is a word: the identity of the slot's owner, and a mark. Only a thread itself enters a key for its identifier, so that there
//! are no duplicates. A key that is no longer used leaves a tombstone, so that other threads' probes go on behind it.
//!
//! # A slot is never freed under a living thread
//! The watching thread takes the mark away, then asks the host whether the owner's identifier is gone, then frees by compare-exchange.
//! A lookup sets the mark if it is not there, by compare-exchange. So either the lookup came first, and the thread that looked lives
//! when the host is asked; or it came after the mark was taken, and the watching thread's exchange fails; or that exchange came first,
//! and the lookup fails and starts over.

use super::identity::Identity;
use core::sync::atomic::{AtomicU64, Ordering};

/// Host identifiers have 22 bits at most; these are none.
const EMPTY: u32 = 0;
const TOMBSTONE: u32 = 0x7fff_ffff;
const SETTLING: u32 = 0x7fff_fffe;

/// A lookup found the key since the watching thread last looked.
const MARK: u64 = 1 << 31;

/// A key as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) struct Seen {
    index: usize,
    word: u64,
}

impl Seen {
    pub(in crate::host) fn index(self) -> usize {
        self.index
    }

    pub(in crate::host) fn identity(self) -> Identity {
        Identity::from_bits(self.word & !MARK)
    }
}

/// What stands in the low half of a word.
const fn tid_of(word: u64) -> u32 {
    (word & !MARK) as u32
}

/// The keys; as many as slots, a power of two. A key's index is its slot's.
#[derive(Debug)]
pub(in crate::host) struct Keys {
    words: Box<[AtomicU64]>,
}

impl Keys {
    pub(in crate::host) fn new(count: usize) -> Self {
        Self {
            words: (0..count).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(in crate::host) fn count(&self) -> usize {
        self.words.len()
    }

    fn load(&self, index: usize) -> u64 {
        self.words
            .get(index)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn exchange(&self, index: usize, from: u64, to: u64) -> bool {
        self.words.get(index).is_some_and(|word| {
            word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// The owner that a key names.
    pub(in crate::host) fn identity(&self, index: usize) -> Identity {
        Identity::from_bits(self.load(index) & !MARK)
    }

    /// Finds the key of the calling thread, whose identifier is `tid`, and marks it. The key may be that of an earlier thread with the
    /// same identifier. Fails with the place where a key of its own goes, which is none if all are taken.
    fn find(&self, tid: u32) -> Result<usize, Option<(usize, u64)>> {
        let mask = self.words.len().wrapping_sub(1);
        'again: loop {
            let mut free = None;
            let mut index = tid as usize & mask;
            for _ in 0..self.words.len() {
                let word = self.load(index);
                match tid_of(word) {
                    found if found == tid => {
                        if word & MARK != 0 || self.exchange(index, word, word | MARK) {
                            return Ok(index);
                        }
                        continue 'again;
                    }
                    EMPTY => return Err(free.or(Some((index, word)))),
                    TOMBSTONE => free = free.or(Some((index, word))),
                    _ => {}
                }
                index = index.wrapping_add(1) & mask;
            }
            return Err(free);
        }
    }

    /// Finds the key of the calling thread, whose identifier is `tid`, and marks it; claims one with a new identity if there is none.
    /// The key may be that of an earlier thread with the same identifier. `None` if all are taken. Takes little stack: it runs on the
    /// interrupted one.
    pub(in crate::host) fn find_or_claim(&self, tid: u32) -> Option<usize> {
        loop {
            match self.find(tid) {
                Ok(index) => return Some(index),
                Err(free) => {
                    let (index, word) = free?;
                    if self.exchange(index, word, Identity::fresh(tid).bits() | MARK) {
                        return Some(index);
                    }
                }
            }
        }
    }

    /// As [`find_or_claim`](Self::find_or_claim), but claims nothing.
    pub(in crate::host) fn find_only(&self, tid: u32) -> Option<usize> {
        self.find(tid).ok()
    }

    /// Gives a key that the calling thread found, and that names an earlier thread with its identifier, to the calling thread.
    /// Returns whether it named that one still.
    pub(in crate::host) fn take_over(&self, index: usize, from: Identity, to: Identity) -> bool {
        loop {
            let word = self.load(index);
            if word & !MARK != from.bits() {
                return false;
            }
            // The watching thread may take the mark away meanwhile.
            if self.exchange(index, word, to.bits() | MARK) {
                return true;
            }
        }
    }

    /// All keys that name a thread.
    pub(in crate::host) fn taken(&self) -> impl Iterator<Item = Seen> {
        self.words
            .iter()
            .enumerate()
            .map(|(index, word)| Seen {
                index,
                word: word.load(Ordering::Acquire),
            })
            .filter(|seen| !matches!(tid_of(seen.word), EMPTY | TOMBSTONE | SETTLING))
    }

    /// Takes the mark away, before the host is asked whether the owner is gone. `None` if the key changed meanwhile.
    pub(in crate::host) fn unmark(&self, seen: Seen) -> Option<Seen> {
        let word = seen.word & !MARK;
        let unmarked = Seen { word, ..seen };
        (word == seen.word || self.exchange(seen.index, seen.word, word)).then_some(unmarked)
    }

    /// Makes a key that was unmarked unfindable, once the host has said that its owner is gone. Returns whether nothing came between.
    pub(in crate::host) fn begin_to_free(&self, seen: Seen) -> bool {
        let settling = seen.word & !(u64::from(u32::MAX)) | u64::from(SETTLING);
        self.exchange(seen.index, seen.word, settling)
    }

    /// Ends what [`begin_to_free`](Self::begin_to_free) began: the key can be claimed again.
    pub(in crate::host) fn free(&self, seen: Seen) {
        if let Some(word) = self.words.get(seen.index) {
            word.store(u64::from(TOMBSTONE), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Keys, Seen};

    fn seen(keys: &Keys, index: usize) -> Seen {
        let found = keys.taken().find(|seen| seen.index() == index);
        found.expect("a key that is taken")
    }

    #[test]
    fn a_key_is_found_again_behind_a_tombstone_and_claimed_in_front() {
        let keys = Keys::new(4);
        assert_eq!(keys.find_or_claim(5), Some(1));
        assert_eq!(keys.find_or_claim(9), Some(2));
        let first = keys.unmark(seen(&keys, 1)).expect("unchanged");
        assert!(keys.begin_to_free(first));
        // Not free yet: neither found nor claimed.
        assert_eq!(keys.find_or_claim(13), Some(3));
        keys.free(first);
        assert_eq!(keys.find_or_claim(9), Some(2));
        assert_eq!(keys.find_or_claim(17), Some(1));
        assert_eq!(keys.find_or_claim(4), Some(0));
        assert_eq!(keys.find_or_claim(8), None, "all are taken");
    }

    #[test]
    fn a_key_that_was_looked_up_after_the_mark_was_taken_is_not_freed() {
        let keys = Keys::new(4);
        assert_eq!(keys.find_or_claim(5), Some(1));
        let looked = keys.unmark(seen(&keys, 1)).expect("unchanged");
        // A new thread with the identifier.
        assert_eq!(keys.find_or_claim(5), Some(1));
        assert!(!keys.begin_to_free(looked));
        assert_eq!(keys.identity(1), looked.identity());
    }

    #[test]
    fn a_key_that_was_taken_over_is_not_freed_for_the_owner_of_before() {
        let keys = Keys::new(4);
        assert_eq!(keys.find_or_claim(5), Some(1));
        let looked = keys.unmark(seen(&keys, 1)).expect("unchanged");
        let (old, new) = (looked.identity(), Identity::fresh(5));
        assert!(keys.take_over(1, old, new));
        assert!(!keys.take_over(1, old, Identity::fresh(5)), "only once");
        assert!(!keys.begin_to_free(looked));
        assert_eq!(keys.identity(1), new);
        assert_ne!(old, new);
    }
}
