//! A heap of conses with a young and an old generation, whose limits are pages.

use crate::collect::Collection;
use crate::value::{CONS, Value};
use core::ops::Range;
use examples::pages::{Access, Pages, page_of};
use std::error::Error;
use std::sync::Mutex;

/// Counts of what the faults did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Collections of the young generation.
    pub(crate) minor: u64,
    /// Collections of both.
    pub(crate) major: u64,
    pub(crate) copied: u64,
    /// Writes to old pages that were noted.
    pub(crate) noted: u64,
}

/// The heap. A collection moves conses, and changes the roots that refer to them.
#[derive(Debug)]
pub(crate) struct Heap {
    /// Conses are made here, from the front; the last page is the guard.
    young: Pages,
    /// Address of the next cons.
    pub(crate) free: u64,
    /// Conses that survived are in one of these. A major collection copies them to the other.
    old: [Pages; 2],
    current: usize,
    old_free: u64,
    /// Pages of the old generation that were written to since the last collection.
    dirty: Vec<bool>,
    pub(crate) roots: [Value; 2],
    pub(crate) counts: Counts,
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
    /// Makes the heap, once and for good. The generations have so many pages.
    pub(crate) fn create(young: usize, old: usize) -> Result<(), Box<dyn Error>> {
        let mut heap = HEAP.lock()?;
        if heap.is_some() {
            return Err("there is a heap already".into());
        }
        let young = Pages::new(young + 1, Access::ReadWrite)?;
        let dirty = vec![false; old];
        let old = [
            Pages::new(old, Access::ReadWrite)?,
            Pages::new(old, Access::ReadWrite)?,
        ];
        let new = Self {
            free: young.address(),
            old_free: old[0].address(),
            young,
            old,
            current: 0,
            dirty,
            roots: [Value::NIL; 2],
            counts: Counts::default(),
        };
        new.young.protect_part(new.guard(), Access::None)?;
        *heap = Some(new);
        Ok(())
    }

    /// The page behind the young generation.
    pub(crate) fn guard(&self) -> Range<u64> {
        page_of(self.young.range().end - 1)
    }

    /// The write barrier: notes the page of an address, and opens it. `false` if it is none of the old generation's.
    pub(crate) fn note_write(&mut self, address: u64) -> bool {
        let old = &self.old[self.current];
        if !old.range().contains(&address) {
            return false;
        }
        let page = page_of(address);
        self.dirty[((page.start - old.address()) / size(&page)) as usize] = true;
        self.counts.noted += 1;
        old.protect_part(page, Access::ReadWrite).is_ok()
    }

    /// Copies what is alive into the old generation, and empties the young one. `registers` are roots too. Allocates nothing. `false` if
    /// what is alive does not fit.
    pub(crate) fn collect(&mut self, registers: [&mut Value; 2]) -> bool {
        let young = self.young.address()..self.guard().start;
        let left_old = self.old[self.current].range();
        let major = left_old.end - self.old_free < size(&young);
        if major {
            // The other space takes all that lives, old or young.
            self.current = 1 - self.current;
            self.old_free = self.old[self.current].address();
            self.counts.major += 1;
        } else {
            self.counts.minor += 1;
        }
        // Copies are written, and in the original where the copy is.
        let writable = |space: &Pages| space.protect(Access::ReadWrite).is_ok();
        if !self.old.iter().all(writable) {
            return false;
        }
        let space = &self.old[self.current];
        let copies = self.old_free;
        let left = [young, if major { left_old } else { 0..0 }];
        let mut collection = Collection::new(left, copies..space.range().end);
        for root in self.roots.iter_mut().chain(registers) {
            *root = collection.moved(*root);
        }
        if !major {
            // Of the old conses, only those on pages that were written to can refer to young ones.
            let page = size(&page_of(space.address()));
            let pages = (space.address()..).step_by(page as usize);
            for (start, _) in pages.zip(&self.dirty).filter(|(_, dirty)| **dirty) {
                collection.scan(start, (start + page).min(copies));
            }
        }
        // What was copied may refer to more.
        collection.scan(copies, u64::MAX);
        self.old_free = collection.free();
        self.counts.copied += (self.old_free - copies) / CONS;
        self.dirty.fill(false);
        self.free = self.young.address();
        !collection.is_full() && space.protect(Access::Read).is_ok()
    }
}

fn size(range: &Range<u64>) -> u64 {
    range.end - range.start
}
