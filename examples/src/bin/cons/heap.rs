//! A heap of conses with a young and an old generation, whose limits are pages.

use core::ops::Range;
use examples::pages::{Access, Pages, page_of, protect};
use std::error::Error;
use std::sync::Mutex;

/// A value: 0 is nil, odd numbers are integers, the rest are addresses of conses.
pub(crate) type Value = u64;
pub(crate) const NIL: Value = 0;

pub(crate) const fn integer(number: u64) -> Value {
    number << 1 | 1
}

pub(crate) const fn is_cons(value: Value) -> bool {
    value != NIL && value & 1 == 0
}

/// The bytes of a cons: car and cdr.
const CONS: u64 = 16;
/// In the car of a cons that was copied: its cdr is where it is now. No value looks like it.
const MOVED: u64 = u64::MAX - 1;

/// What the collector did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) minor: u64,
    pub(crate) major: u64,
    pub(crate) copied: u64,
    pub(crate) barrier: u64,
}

/// The heap. Roots are in it: a collection moves every cons, and changes what refers to it.
#[derive(Debug)]
pub(crate) struct Heap {
    /// Conses are made here, from the front; the last page is the guard.
    young: Pages,
    /// Where the next cons is made.
    pub(crate) free: u64,
    /// Conses that survived are here, and in the other space after a major collection.
    old: [Pages; 2],
    current: usize,
    old_free: u64,
    /// Old pages that were written to since the last collection.
    dirty: Vec<bool>,
    pub(crate) roots: [Value; 2],
    pub(crate) counts: Counts,
    /// A live heap that does not fit.
    pub(crate) exhausted: bool,
}

/// The heap of this program. It is locked for moments in which nothing faults, so that the handler finds it open.
static HEAP: Mutex<Option<Heap>> = Mutex::new(None);

/// Looks at the heap. `None` before it is made.
pub(crate) fn with<R>(look: impl FnOnce(&mut Heap) -> R) -> Option<R> {
    HEAP.lock().ok()?.as_mut().map(look)
}

/// As [`with`], for the handler: it never waits.
pub(crate) fn in_handler<R>(look: impl FnOnce(&mut Heap) -> R) -> Option<R> {
    HEAP.try_lock().ok()?.as_mut().map(look)
}

impl Heap {
    /// Makes the heap.
    pub(crate) fn create(young: usize, old: usize) -> Result<(), Box<dyn Error>> {
        let young = Pages::new(young + 1, Access::ReadWrite)?;
        let pages = old;
        let old = [
            Pages::new(old, Access::ReadWrite)?,
            Pages::new(old, Access::ReadWrite)?,
        ];
        let heap = Self {
            free: young.address(),
            old_free: old[0].address(),
            young,
            old,
            current: 0,
            dirty: vec![false; pages],
            roots: [NIL; 2],
            counts: Counts::default(),
            exhausted: false,
        };
        protect(heap.guard(), Access::None)?;
        *HEAP.lock()? = Some(heap);
        Ok(())
    }

    /// The page behind the young generation.
    pub(crate) fn guard(&self) -> Range<u64> {
        page_of(self.young.range().end - 1)
    }

    /// The old generation's pages that are protected from writing.
    pub(crate) fn is_old(&self, address: u64) -> bool {
        self.old[self.current].range().contains(&address)
    }

    /// The write barrier: notes that the page was written to, and opens it.
    pub(crate) fn note_write(&mut self, address: u64) -> bool {
        let page = page_of(address);
        let start = self.old[self.current].address();
        self.dirty[((page.start - start) / (page.end - page.start)) as usize] = true;
        self.counts.barrier += 1;
        protect(page, Access::ReadWrite).is_ok()
    }

    /// Copies what is alive into the old generation, and empties the young one. `registers` are roots too. Allocates nothing.
    pub(crate) fn collect(&mut self, registers: [&mut Value; 2]) -> bool {
        let young = self.young.address()..self.guard().start;
        let room = self.old[self.current].range().end - self.old_free;
        let major = room < young.end - young.start;
        let from_old = self.old[self.current].range();
        let scan_from = if major {
            // The other space takes all that lives, old or young.
            self.current = 1 - self.current;
            self.old_free = self.old[self.current].address();
            self.counts.major += 1;
            self.old_free
        } else {
            self.counts.minor += 1;
            self.old_free
        };
        let to = self.old[self.current].range();
        let mut collection = Collection {
            young,
            old: major.then_some(from_old),
            free: self.old_free,
            end: to.end,
            copied: 0,
            exhausted: false,
        };
        // Copies are written, and where they were copied from is noted in the original.
        let opened = self
            .old
            .iter()
            .all(|space| space.protect(Access::ReadWrite).is_ok());
        for root in self.roots.iter_mut().chain(registers) {
            *root = collection.moved(*root);
        }
        if !major {
            // Of the old conses, only those on pages that were written to can refer to young ones.
            let page = page_of(to.start).end - page_of(to.start).start;
            for (number, _) in self.dirty.iter().enumerate().filter(|(_, dirty)| **dirty) {
                let start = to.start + number as u64 * page;
                collection.scan(start, (start + page).min(scan_from));
            }
        }
        // What is copied may refer to more: Cheney's scan.
        collection.scan(scan_from, u64::MAX);
        self.old_free = collection.free;
        self.counts.copied += collection.copied;
        self.exhausted |= collection.exhausted;
        self.dirty.fill(false);
        self.free = self.young.address();
        opened && protect(to, Access::Read).is_ok() && !self.exhausted
    }
}

/// A collection under way.
struct Collection {
    young: Range<u64>,
    /// The old space that is left, in a major collection.
    old: Option<Range<u64>>,
    free: u64,
    end: u64,
    copied: u64,
    exhausted: bool,
}

impl Collection {
    /// Where a value's cons is after the collection.
    fn moved(&mut self, value: Value) -> Value {
        let leaves = self.young.contains(&value)
            || self.old.as_ref().is_some_and(|old| old.contains(&value));
        if !is_cons(value) || !leaves {
            return value;
        }
        let [car, cdr] = load(value);
        if car == MOVED {
            return cdr;
        }
        if self.free + CONS > self.end {
            self.exhausted = true;
            return NIL;
        }
        let new = self.free;
        self.free += CONS;
        self.copied += 1;
        store(new, [car, cdr]);
        store(value, [MOVED, new]);
        new
    }

    /// Moves what the conses from `at` on refer to, up to `end` or the last copy.
    fn scan(&mut self, mut at: u64, end: u64) {
        while at < end.min(self.free) {
            let [car, cdr] = load(at);
            let moved = [self.moved(car), self.moved(cdr)];
            store(at, moved);
            at += CONS;
        }
    }
}

/// Car and cdr of a cons.
#[allow(unsafe_code)]
pub(crate) fn load(cons: Value) -> [Value; 2] {
    // SAFETY: every value that is a cons is the address of two words in a heap that lives as long as the process.
    unsafe { (cons as *const [Value; 2]).read_volatile() }
}

#[allow(unsafe_code)]
fn store(cons: Value, words: [Value; 2]) {
    // SAFETY: as in `load`; the collector opened the pages.
    unsafe { (cons as *mut [Value; 2]).write_volatile(words) }
}
