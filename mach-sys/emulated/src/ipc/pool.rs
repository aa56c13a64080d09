//! Message buffers: a pool of fixed-size ones, taken and returned without a lock.
//!
//! A sender fills its buffer from user memory before it takes the kernel's lock, and a receiver copies to user memory after it
//! has given the lock back; so buffers are owned values, and the list of free ones is a stack of its own.
#![allow(unsafe_code)]

use super::arena::{Table, Zeroed};
use super::block::{Block, Garbage};
use super::kmsg::{CAPACITY, Kmsg, TRAILER};
use crate::error::ReserveError;
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A buffer in cache lines of its own, with its link in the first of them.
#[repr(C, align(64))]
struct Cell {
    next_free: AtomicU32,
    content: UnsafeCell<Kmsg>,
}

// SAFETY: atomic integers; integers, a bool (0 is false), arrays and structures of them; and `Right`, whose representation is a `u32` tag of
// which 0 is the variant without fields, whatever bytes follow.
unsafe impl Zeroed for Cell {}

/// The buffers of one emulated kernel: common ones, some that only exceptions and the replies to them take, and some that only the
/// kernel's other messages take, so that messages and notifications which no thread receives stop no exception.
pub(crate) struct Pool {
    cells: Table<Cell>,
    common: FreeList,
    reserve: FreeList,
    notices: FreeList,
    garbage: Garbage,
}

/// The free ones of the cells `first` to `first + length - 1`.
struct FreeList {
    /// Head of the list: identifier in the low half, a count against reuse in the high half.
    head: AtomicU64,
    /// Number of cells that were taken at least once.
    used: AtomicU32,
    first: u32,
    length: u32,
}

// SAFETY: a cell's content is reached only through the one `Buffer` or queue link that owns its identifier; the rest is atomic.
unsafe impl Sync for Pool {}
// SAFETY: as above; nothing is tied to the thread that made it.
unsafe impl Send for Pool {}

impl Pool {
    /// Creates a pool of `common` buffers, `reserve` more for exceptions, and as many for the kernel's other messages.
    pub(crate) fn new(common: u32, reserve: u32) -> Result<Self, ReserveError> {
        let list = |first, length| FreeList {
            head: AtomicU64::new(0),
            used: AtomicU32::new(0),
            first,
            length,
        };
        Ok(Self {
            cells: Table::new(
                "the message buffers",
                common as usize + 2 * reserve as usize,
            )?,
            common: list(1, common),
            reserve: list(common + 1, reserve),
            notices: list(common + reserve + 1, reserve),
            garbage: Garbage::default(),
        })
    }

    /// Takes a common buffer: a message without rights, whose words are what the last owner left.
    pub(crate) fn take(&self) -> Option<Buffer<'_>> {
        self.take_from(&self.common)
    }

    /// Takes a buffer for an exception or a reply to one: a common one, or one of the reserve.
    pub(crate) fn take_reserved(&self) -> Option<Buffer<'_>> {
        self.take().or_else(|| self.take_from(&self.reserve))
    }

    /// Takes a buffer for another message of the kernel's, a notification for example: a common one, or one of those set aside for them.
    pub(crate) fn take_for_notice(&self) -> Option<Buffer<'_>> {
        self.take().or_else(|| self.take_from(&self.notices))
    }

    /// Unmaps the pages of messages that are gone. Called with no lock held, and not between a fault and its answer.
    #[inline]
    pub(super) fn sweep(&self) {
        self.garbage.sweep();
    }

    /// Takes over a buffer whose owner is gone.
    ///
    /// # Safety
    /// The buffer was taken from this pool, and what owned it was neither dropped nor will be.
    pub(super) unsafe fn reclaim(&self, id: u32) -> Buffer<'_> {
        self.buffer(id)
    }

    /// Makes the value that owns a buffer, for the one that has its identifier.
    #[inline]
    fn buffer(&self, id: u32) -> Buffer<'_> {
        Buffer {
            pool: self,
            cell: self.cell(id),
            id,
        }
    }

    fn take_from(&self, list: &FreeList) -> Option<Buffer<'_>> {
        let id = self.pop(list).or_else(|| list.fresh())?;
        let mut buffer = self.buffer(id);
        buffer.reset();
        Some(buffer)
    }

    fn pop(&self, list: &FreeList) -> Option<u32> {
        let mut head = list.head.load(Ordering::Acquire);
        loop {
            let id = head as u32;
            if id == 0 {
                return None;
            }
            let next = self.cell(id).next_free.load(Ordering::Relaxed);
            let new = (head >> 32).wrapping_add(1) << 32 | u64::from(next);
            match list
                .head
                .compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(id),
                Err(seen) => head = seen,
            }
        }
    }

    fn give_back(&self, id: u32) {
        let list = if id < self.reserve.first {
            &self.common
        } else if id < self.notices.first {
            &self.reserve
        } else {
            &self.notices
        };
        let mut head = list.head.load(Ordering::Acquire);
        loop {
            self.cell(id)
                .next_free
                .store(head as u32, Ordering::Relaxed);
            let new = (head >> 32).wrapping_add(1) << 32 | u64::from(id);
            match list
                .head
                .compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    #[inline]
    fn cell(&self, id: u32) -> &Cell {
        &self.cells.as_slice()[id as usize - 1]
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Messages that are still queued have pages too; those of free cells have none.
        for list in [&self.common, &self.reserve, &self.notices] {
            for id in list.first..list.first + list.used.load(Ordering::Relaxed) {
                // SAFETY: nothing else uses the pool any more.
                let message = unsafe { &mut *self.cell(id).content.get() };
                self.garbage.put(message.content.take());
                self.garbage.put(message.memory.take());
            }
        }
        self.garbage.sweep();
    }
}

impl FreeList {
    /// Takes a cell that was never taken.
    fn fresh(&self) -> Option<u32> {
        let used = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < self.length).then_some(used + 1)
            });
        used.ok().map(|used| self.first + used)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("capacity", &self.cells.as_slice().len())
            .field("used", &self.common.used)
            .finish_non_exhaustive()
    }
}

/// One message buffer, owned. Dropping it gives the buffer back; the rights in it are for the kernel to release before.
pub(crate) struct Buffer<'p> {
    pool: &'p Pool,
    cell: &'p Cell,
    id: u32,
}

impl Deref for Buffer<'_> {
    type Target = Kmsg;

    #[inline]
    fn deref(&self) -> &Kmsg {
        // SAFETY: this value owns the identifier, so no other code reaches the content.
        unsafe { &*self.cell.content.get() }
    }
}

impl DerefMut for Buffer<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Kmsg {
        // SAFETY: as above.
        unsafe { &mut *self.cell.content.get() }
    }
}

impl Buffer<'_> {
    /// Returns its identifier, which is neither 0 nor the largest number.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Makes room for a message of so many bytes and its trailer: in the buffer, or in pages of its own. Returns whether there is memory.
    pub(super) fn reserve(&mut self, size: usize) -> bool {
        if size > CAPACITY {
            match Block::map(size + TRAILER) {
                Some(pages) => self.content = pages,
                None => return false,
            }
        }
        true
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let (content, memory) = (self.content.take(), self.memory.take());
        self.pool.garbage.put(content);
        self.pool.garbage.put(memory);
        self.pool.give_back(self.id);
    }
}

impl fmt::Debug for Buffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.id)
    }
}

/// A place in which one thread leaves a message for another, which takes it without a lock.
///
/// As a queue does, the place owns the buffer in it: it enters by value, and of all that look only one finds it.
#[derive(Debug)]
pub(crate) struct HandOff {
    /// Identifier of the buffer, or [`NOTHING`] or [`ENDED`].
    word: AtomicU32,
}

/// Value of the place's word: there is nothing in it.
const NOTHING: u32 = 0;
/// Value of the place's word: what was waited for will not come.
const ENDED: u32 = u32::MAX;

// SAFETY: zero is `NOTHING`.
unsafe impl Zeroed for HandOff {}

/// Content of such a place.
#[derive(Debug)]
pub(crate) enum Handed<'p> {
    Nothing,
    Message(Buffer<'p>),
    /// The message that was waited for will not come.
    Ended,
}

impl HandOff {
    /// Leaves a message. The place is empty: who leaves one knows that a thread waits for it, under the kernel's lock.
    pub(crate) fn give(&self, message: Buffer<'_>) {
        let id = message.id;
        core::mem::forget(message);
        let before = self.word.swap(id, Ordering::AcqRel);
        debug_assert_eq!(before, NOTHING);
    }

    /// Leaves word that none will come. The place is empty.
    pub(crate) fn end(&self) {
        let before = self.word.swap(ENDED, Ordering::AcqRel);
        debug_assert_eq!(before, NOTHING);
    }

    /// Returns whether something is there.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.word.load(Ordering::Relaxed) != NOTHING
    }

    /// Takes what is there. All places of one kernel are for buffers of that kernel's one pool.
    pub(crate) fn take<'p>(&self, pool: &'p Pool) -> Handed<'p> {
        if !self.is_full() {
            return Handed::Nothing;
        }
        match self.word.swap(NOTHING, Ordering::AcqRel) {
            NOTHING => Handed::Nothing,
            ENDED => Handed::Ended,
            id => Handed::Message(pool.buffer(id)),
        }
    }
}

/// A first-in first-out list of messages. All queues of one kernel hold buffers of that kernel's one pool.
///
/// The links are in the buffers, so a queue of any length takes no memory of its own. A buffer enters by value and leaves by
/// value: while it is queued only the queue owns it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    head: u32,
    tail: u32,
    count: u32,
}

impl Queue {
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn push(&mut self, buffer: Buffer<'_>) {
        let Buffer { pool, cell, id } = buffer;
        core::mem::forget(buffer);
        // SAFETY: the buffer was given to this queue just now, and the queue is borrowed exclusively.
        unsafe { (*cell.content.get()).next = 0 };
        if self.tail == 0 {
            self.head = id;
        } else {
            // SAFETY: the tail is in this queue, hence owned by it, and the queue is borrowed exclusively.
            unsafe { (*pool.cell(self.tail).content.get()).next = id };
        }
        self.tail = id;
        self.count += 1;
    }

    pub(crate) fn pop<'p>(&mut self, pool: &'p Pool) -> Option<Buffer<'p>> {
        if self.head == 0 {
            return None;
        }
        let buffer = pool.buffer(self.head);
        self.head = buffer.next;
        if self.head == 0 {
            self.tail = 0;
        }
        self.count -= 1;
        Some(buffer)
    }

    /// Returns the first message, still queued.
    pub(crate) fn first<'q>(&'q self, pool: &'q Pool) -> Option<&'q Kmsg> {
        // SAFETY: the head is in this queue, hence owned by it, and the queue cannot change during the borrow.
        (self.head != 0).then(|| unsafe { &*pool.cell(self.head).content.get() })
    }

    /// Looks at each message, in order.
    #[cfg(test)]
    pub(crate) fn walk(&self, pool: &Pool, mut look: impl FnMut(&Kmsg)) {
        let mut at = self.head;
        while at != 0 {
            // SAFETY: the message is in this queue, hence owned by it, and the queue cannot change during the borrow.
            let message = unsafe { &*pool.cell(at).content.get() };
            look(message);
            at = message.next;
        }
    }

    /// Moves all messages of `other` behind this queue's.
    pub(crate) fn append(&mut self, other: &mut Self, pool: &Pool) {
        let other = core::mem::take(other);
        if self.tail == 0 {
            *self = other;
        } else if other.head != 0 {
            // SAFETY: the tail is in this queue, hence owned by it, and the queue is borrowed exclusively.
            unsafe { (*pool.cell(self.tail).content.get()).next = other.head };
            self.tail = other.tail;
            self.count += other.count;
        }
    }
}
