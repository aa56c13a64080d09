//! The table of keys: from a thread's identifier on the system to its slot, for a thread that is not on its slot.
//!
//! A key is a word: the identity of the slot's owner, and a mark. Only a thread itself enters a key for its identifier, so that there
//! are no duplicates. A key cannot move, as its slot cannot. One that is no longer used leaves a tombstone, so that other threads' probes
//! go on behind it.
//!
//! # Tombstones that no probe needs become empty again
//! Otherwise there would soon be no empty place, and each new thread would look at all of them. The watching thread alone sweeps, when
//! it has freed a key: from the empty place that ends the run, which it *changes* (the high half of a word without a key is a version,
//! which never comes back), leftwards to the one before it. It empties a tombstone that no key behind it was looked up across, and changes the others.
//! A thread enters a key only at a word that it saw while nothing was swept, by compare-exchange:
//! - It saw the places before its own as they were at one time: no sweep began or ended since the first of them (`sweeps`).
//! - A sweep that begins afterwards changes the thread's own place before it looks at those to the left of it. Either that came first, and
//!   the thread's exchange fails; or the exchange did, and the sweep sees the key.
//!
//! A lookup that finds its key waits for nothing. One that finds none, the first of a thread, waits for the end of a sweep.
//!
//! # Near places
//! The system gives identifiers in turn, so that by them alone threads that start and end in a row would use every slot of the table once, and
//! its memory. So a thread first takes one of a few places near the beginning, which [`WAYS`] identifiers out of as many share, and looks at
//! all of these each time: a place of them that is freed is empty at once. Only where they are all taken is the rest of the table used.
//!
//! # A slot is never freed under a living thread
//! The watching thread takes the mark away, then asks the system whether the owner's identifier is gone, then frees by compare-exchange.
//! A lookup sets the mark if it is not there, by compare-exchange. So either the lookup came first, and the thread that looked lives
//! when the system is asked; or it came after the mark was taken, and the watching thread's exchange fails; or that exchange came first,
//! and the lookup fails and starts over.

use super::identity::Identity;
use crate::host::sys::sync::{AtomicU32, AtomicU64, Ordering, spin_loop};

/// System identifiers have 22 bits at most; these are none.
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

/// Returns the low half of a word, without the mark.
const fn tid_of(word: u64) -> u32 {
    (word & !MARK) as u32
}

/// Number of near places that a thread looks at.
const WAYS: usize = 4;
/// Number of near places, of a table that is [many](MANY) times as large.
const NEAR: usize = 128;
const MANY: usize = 4;

/// The keys; as many as slots, a power of two. A key's index is its slot's.
#[derive(Debug)]
pub(in crate::host) struct Keys {
    words: Box<[AtomicU64]>,
    /// Number of near places, the first ones: a power of two, or 0.
    near: usize,
    /// Counts beginnings and ends of sweeps: odd during one.
    sweeps: AtomicU32,
    /// Number of words without a key that were written.
    versions: AtomicU32,
}

impl Keys {
    pub(in crate::host) fn new(count: usize) -> Self {
        let near = if count >= MANY * NEAR { NEAR } else { 0 };
        Self::with_near(count, near)
    }

    /// Creates a table with that many near places: a power of two, at least [`WAYS`] and less than `count`, or 0.
    pub(in crate::host) fn with_near(count: usize, near: usize) -> Self {
        Self {
            words: (0..count).map(|_| AtomicU64::new(0)).collect(),
            near,
            sweeps: AtomicU32::new(0),
            versions: AtomicU32::new(0),
        }
    }

    /// Returns whether a place is a near one, which the next threads take.
    pub(in crate::host) fn is_near(&self, index: usize) -> bool {
        index < self.near
    }

    /// Returns the near places that an identifier may have.
    fn near_of(&self, tid: u32) -> core::ops::Range<usize> {
        match self.near / WAYS {
            0 => 0..0,
            sets => {
                let first = (tid as usize & (sets - 1)) * WAYS;
                first..first + WAYS
            }
        }
    }

    /// Returns the number of places that are not near.
    fn far(&self) -> usize {
        self.words.len().saturating_sub(self.near)
    }

    /// Returns the index of a far place; they are a ring.
    fn far_index(&self, at: usize) -> usize {
        self.near + at % self.far().max(1)
    }

    /// Returns how many places right of the one where the search for an identifier begins a far place is.
    fn steps(&self, tid: u32, index: usize) -> usize {
        let far = self.far().max(1);
        (index - self.near + far - tid as usize % far) % far
    }

    pub(in crate::host) fn count(&self) -> usize {
        self.words.len()
    }

    fn load(&self, index: usize) -> u64 {
        self.words
            .get(index)
            .map_or(0, |word| word.load(Ordering::SeqCst))
    }

    fn exchange(&self, index: usize, from: u64, to: u64) -> bool {
        self.words.get(index).is_some_and(|word| {
            word.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// Returns the owner that a key names.
    pub(in crate::host) fn identity(&self, index: usize) -> Identity {
        Identity::from_bits(self.load(index) & !MARK)
    }

    /// Finds the key of the calling thread, whose identifier is `tid`, and marks it. The key may be that of an earlier thread with the
    /// same identifier. Fails with the place where a key of its own goes, which is none if all are taken.
    fn find(&self, tid: u32) -> Result<usize, Option<(usize, u64)>> {
        'again: loop {
            let mut free = None;
            for index in self.near_of(tid) {
                let word = self.load(index);
                match tid_of(word) {
                    found if found == tid => match self.mark(index, word) {
                        true => return Ok(index),
                        false => continue 'again,
                    },
                    EMPTY => free = free.or(Some((index, word))),
                    _ => {}
                }
            }
            let sweeps = self.sweeps.load(Ordering::SeqCst);
            let is_swept = || sweeps % 2 != 0 || self.sweeps.load(Ordering::SeqCst) != sweeps;
            let first = tid as usize % self.far().max(1);
            for at in first..first + self.far() {
                let index = self.far_index(at);
                let word = self.load(index);
                match tid_of(word) {
                    found if found == tid => match self.mark(index, word) {
                        true => return Ok(index),
                        false => continue 'again,
                    },
                    EMPTY if is_swept() => {
                        spin_loop();
                        continue 'again;
                    }
                    EMPTY => return Err(free.or(Some((index, word)))),
                    TOMBSTONE => free = free.or(Some((index, word))),
                    _ => {}
                }
            }
            if is_swept() {
                spin_loop();
                continue 'again;
            }
            return Err(free);
        }
    }

    /// Marks a key that was found, unless it is. Returns whether it is still the same.
    fn mark(&self, index: usize, word: u64) -> bool {
        word & MARK != 0 || self.exchange(index, word, word | MARK)
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

    /// Finds a key as [`find_or_claim`](Self::find_or_claim) does, but claims nothing.
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

    /// Returns all keys that name a thread.
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

    /// Takes the mark away, before the system is asked whether the owner is gone. `None` if the key changed meanwhile.
    pub(in crate::host) fn unmark(&self, seen: Seen) -> Option<Seen> {
        let word = seen.word & !MARK;
        let unmarked = Seen { word, ..seen };
        (word == seen.word || self.exchange(seen.index, seen.word, word)).then_some(unmarked)
    }

    /// Makes a key that was unmarked unfindable, once the system has said that its owner is gone. Returns whether nothing came between.
    pub(in crate::host) fn begin_to_free(&self, seen: Seen) -> bool {
        let settling = seen.word & !(u64::from(u32::MAX)) | u64::from(SETTLING);
        self.exchange(seen.index, seen.word, settling)
    }

    /// Ends what [`begin_to_free`](Self::begin_to_free) began: the key can be claimed again. For the watching thread alone.
    pub(in crate::host) fn free(&self, seen: Seen) {
        if let Some(word) = self.words.get(seen.index) {
            if self.is_near(seen.index) {
                word.store(self.without_key(EMPTY), Ordering::Release);
                return;
            }
            word.store(self.without_key(TOMBSTONE), Ordering::Release);
            self.sweep(seen.index);
        }
    }

    /// Returns a word without a key that no thread has seen: one that was interrupted before it enters its key finds that the place changed,
    /// whatever was there meanwhile.
    fn without_key(&self, low: u32) -> u64 {
        let version = self
            .versions
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        u64::from(version) << 32 | u64::from(low)
    }

    /// Empties the tombstones of the run around a place that was just freed, as far as no key needs them.
    fn sweep(&self, freed: usize) {
        self.sweeps.fetch_add(1, Ordering::SeqCst);
        if let Some(end) = self.end_of_run(freed) {
            self.sweep_left_of(end);
        }
        self.sweeps.fetch_add(1, Ordering::SeqCst);
    }

    /// Finds and changes the empty place behind one that was freed. Where there is none, in a table that was full, makes that place it, if
    /// no key needs it.
    fn end_of_run(&self, freed: usize) -> Option<usize> {
        let mut needed = false;
        for step in 1..self.far() {
            let index = self.far_index(freed - self.near + step);
            match self.change(index, |tid| tid) {
                EMPTY => return Some(index),
                TOMBSTONE => {}
                tid => needed |= self.steps(tid, index) >= step,
            }
        }
        let end = |tid| if needed { tid } else { EMPTY };
        (self.change(freed, end) == EMPTY).then_some(freed)
    }

    /// Sweeps from the end of a run to its beginning.
    fn sweep_left_of(&self, end: usize) {
        let far = self.far();
        // How far to the left a key that was passed was looked up from.
        let mut farthest = 0;
        for step in 1..far {
            let index = self.far_index(end - self.near + far - step);
            let was_empty = tid_of(self.load(index)) == EMPTY;
            let needed = farthest >= step;
            match self.change(index, |tid| if needed { tid } else { EMPTY }) {
                EMPTY if was_empty => return,
                EMPTY | TOMBSTONE => {}
                tid => farthest = farthest.max(step + self.steps(tid, index)),
            }
        }
    }

    /// Gives a word without a key another version, and for a tombstone what `to` makes of it. Returns what stands in the low half then.
    fn change(&self, index: usize, to: impl Fn(u32) -> u32) -> u32 {
        loop {
            let word = self.load(index);
            let next = match tid_of(word) {
                EMPTY => EMPTY,
                TOMBSTONE => to(TOMBSTONE),
                tid => return tid,
            };
            if self.exchange(index, word, self.without_key(next)) {
                return next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EMPTY, Identity, Keys, NEAR, Seen, TOMBSTONE, tid_of};
    use std::sync::atomic::{AtomicBool, Ordering};

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

    /// Returns the number of words that a lookup reads if it does not find its key.
    fn probes(keys: &Keys, tid: u32) -> usize {
        let count = keys.count();
        let places = (0..count).map(|step| (tid as usize + step) % count);
        1 + places
            .take_while(|index| tid_of(keys.load(*index)) != EMPTY)
            .count()
    }

    fn end(keys: &Keys, index: usize) {
        let seen = keys.unmark(seen(keys, index)).expect("unchanged");
        assert!(keys.begin_to_free(seen));
        keys.free(seen);
    }

    /// A thread that is about to enter a key may be interrupted for any time: the word that it saw must not be there again.
    #[test]
    fn no_word_without_a_key_comes_back() {
        let keys = Keys::new(4);
        let mut seen = std::collections::HashSet::new();
        let mut before = [0; 4];
        let mut look = || {
            for (index, before) in before.iter_mut().enumerate() {
                let word = keys.load(index);
                let is_new = word != core::mem::replace(before, word);
                if is_new && matches!(tid_of(word), EMPTY | TOMBSTONE) {
                    assert!(seen.insert((index, word)), "place {index}: {word:#x}");
                }
            }
        };
        // A tombstone at 1 that the key at 2 needs, in the middle of each run that is swept.
        let first = keys.find_or_claim(5).expect("a place");
        assert_eq!((first, keys.find_or_claim(9)), (1, Some(2)));
        end(&keys, first);
        for life in 0..1000 {
            // Now and then a key is there.
            let tid = if life % 10 == 0 { 5 } else { 4 };
            let index = keys.find_or_claim(tid).expect("a place");
            look();
            end(&keys, index);
            look();
        }
    }

    #[test]
    fn a_new_thread_looks_at_few_words_after_many_lives() {
        const COUNT: usize = 256;
        let keys = Keys::new(COUNT);
        // Some that stay, with identifiers side by side, too.
        let stay: Vec<(u32, usize)> = [7, 8, 9, 40, 41, 100]
            .map(|tid| (tid, keys.find_or_claim(tid).expect("a place")))
            .to_vec();
        let mut living = std::collections::VecDeque::new();
        let mut most = 0;
        for life in 0..100_000_u32 {
            let tid = 1000 + life;
            most = most.max(probes(&keys, tid));
            living.push_back(keys.find_or_claim(tid).expect("a place"));
            if living.len() > 16 {
                // Not always the oldest.
                let which = life as usize * 7 % living.len();
                end(&keys, living.remove(which).expect("one that lives"));
            }
            if life % 5000 == 0 {
                for (tid, index) in &stay {
                    assert_eq!(keys.find_only(*tid), Some(*index));
                }
            }
        }
        assert!(most <= 32, "{most} words");
        for index in living
            .into_iter()
            .chain(stay.into_iter().map(|(_, index)| index))
        {
            end(&keys, index);
        }
        // The last leave nothing at all.
        assert!((0..COUNT).all(|index| tid_of(keys.load(index)) == EMPTY));
    }

    #[test]
    fn threads_in_a_row_take_the_near_places_and_many_at_once_the_others() {
        const COUNT: usize = 512;
        let keys = Keys::new(COUNT);
        assert!(keys.is_near(NEAR - 1) && !keys.is_near(NEAR));
        // Those that stay, more than there are near places.
        let stay: Vec<_> = (0..200_u32)
            .map(|thread| 5000 + 3 * thread)
            .map(|tid| (tid, keys.find_or_claim(tid).expect("a place")))
            .collect();
        let taken = stay.iter().filter(|(_, index)| keys.is_near(*index));
        assert_eq!(taken.count(), NEAR);
        for (_, index) in stay.iter().take(40) {
            end(&keys, *index);
        }
        let stay = &stay[40..];
        let mut living = std::collections::VecDeque::new();
        let mut far = 0;
        for tid in 10_000..20_000 {
            let index = keys.find_or_claim(tid).expect("a place");
            far += usize::from(!keys.is_near(index));
            assert_eq!(keys.find_only(tid), Some(index));
            living.push_back(index);
            if living.len() > 20 {
                end(&keys, living.pop_front().expect("one that lives"));
            }
        }
        assert_eq!(far, 0, "far places");
        for (tid, index) in stay {
            assert_eq!(keys.find_only(*tid), Some(*index));
        }
        // All of the table.
        let more: Vec<_> = (30_000..)
            .map_while(|tid| keys.find_or_claim(tid))
            .collect();
        assert_eq!(more.len() + living.len() + stay.len(), COUNT);
        let stay = stay.iter().map(|(_, index)| *index);
        for index in more.into_iter().chain(living).chain(stay) {
            end(&keys, index);
        }
        assert!((0..COUNT).all(|index| tid_of(keys.load(index)) == EMPTY));
    }

    #[test]
    fn threads_find_their_keys_while_others_are_freed_and_swept() {
        for near in [0, 4] {
            find_while_others_are_freed(&Keys::with_near(8 + near, near));
        }
    }

    fn find_while_others_are_freed(keys: &Keys) {
        const THREADS: u32 = 4;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Those that ended. One thread frees, as in a process.
            let (tell, told) = std::sync::mpsc::channel::<usize>();
            scope.spawn(|| {
                for index in told {
                    end(keys, index);
                }
                over.store(true, Ordering::Relaxed);
            });
            for thread in 0..THREADS {
                let tell = tell.clone();
                scope.spawn(move || {
                    for life in 0..30_000 {
                        // All begin to look at two places.
                        let tid = 64 + thread * 8 + (life % 2) + 1024 * (life % 1000);
                        let Some(index) = keys.find_or_claim(tid) else {
                            continue;
                        };
                        for _ in 0..3 {
                            assert_eq!(keys.find_or_claim(tid), Some(index), "life {life}");
                        }
                        tell.send(index).expect("it frees");
                        // The identifier of a thread that ended comes back when the system has forgotten it.
                        while keys.identity(index).tid() == tid {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            drop(tell);
        });
        assert!(over.load(Ordering::Relaxed));
        assert!((0..keys.count()).all(|index| tid_of(keys.load(index)) == EMPTY));
    }
}
