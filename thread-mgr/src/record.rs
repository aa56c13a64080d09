//! The records of threads that the server's handler uses: never freed while the manager lives, found by the route's tag.

use core::ops::Range;
use signal_redirect::{Innermost, Key, RedirectMask};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Number of records in a chunk.
const CHUNK: usize = 256;
/// Number of chunks.
const CHUNKS: usize = 256;

/// The record of one thread. The thread itself writes it before its route is open, and `innermost` when a handler returns directly; the
/// server's handler writes it while the thread is stopped.
#[derive(Debug)]
pub(crate) struct Record {
    /// The name of the thread's kernel port, which the thread itself keeps (D1.2).
    thread: AtomicU32,
    /// The address of the thread's errno; 0 for none.
    errno: AtomicU64,
    /// The mask that holds the thread's redirects off.
    mask: RedirectMask,
    guard_start: AtomicU64,
    stack_start: AtomicU64,
    stack_end: AtomicU64,
    /// The alternate signal stack that the thread had at first. Empty if it had none.
    signal_stack_start: AtomicU64,
    signal_stack_end: AtomicU64,
    /// The thread's innermost redirect frame. The thread itself ends it when a handler returns directly.
    innermost: Innermost,
}

impl Record {
    fn new(key: Key) -> Self {
        Self {
            thread: AtomicU32::default(),
            errno: AtomicU64::default(),
            mask: RedirectMask::default(),
            guard_start: AtomicU64::default(),
            stack_start: AtomicU64::default(),
            stack_end: AtomicU64::default(),
            signal_stack_start: AtomicU64::default(),
            signal_stack_end: AtomicU64::default(),
            innermost: Innermost::new(key),
        }
    }

    pub(crate) fn thread(&self) -> u32 {
        self.thread.load(Ordering::Acquire)
    }

    pub(crate) fn mask(&self) -> &RedirectMask {
        &self.mask
    }

    pub(crate) fn errno(&self) -> Option<u64> {
        Some(self.errno.load(Ordering::Acquire)).filter(|address| *address != 0)
    }

    /// Sets the address of the thread's errno.
    pub(crate) fn set_errno(&self, address: usize) {
        self.errno.store(address as u64, Ordering::Release);
    }

    /// Sets the thread's alternate signal stack.
    pub(crate) fn set_signal_stack(&self, stack: Range<u64>) {
        self.signal_stack_start
            .store(stack.start, Ordering::Release);
        self.signal_stack_end.store(stack.end, Ordering::Release);
    }

    /// Returns whether code with this stack pointer runs on the thread's alternate signal stack.
    pub(crate) fn is_on_signal_stack(&self, sp: u64) -> bool {
        let start = self.signal_stack_start.load(Ordering::Acquire);
        (start..self.signal_stack_end.load(Ordering::Acquire)).contains(&sp)
    }

    pub(crate) fn emergency_stack(&self) -> Range<u64> {
        self.stack_start.load(Ordering::Acquire)..self.stack_end.load(Ordering::Acquire)
    }

    /// Returns the addresses of the guard below the emergency stack.
    pub(crate) fn emergency_guard(&self) -> Range<u64> {
        self.guard_start.load(Ordering::Acquire)..self.stack_start.load(Ordering::Acquire)
    }

    pub(crate) fn innermost(&self) -> &Innermost {
        &self.innermost
    }
}

/// All records of a manager. A chunk is allocated when a thread first needs one, never while an exception is handled.
#[derive(Debug)]
pub(crate) struct Records {
    key: Key,
    chunks: [OnceLock<Box<[Record]>>; CHUNKS],
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    free: Vec<u32>,
    used: u32,
}

impl Records {
    /// Returns the records of threads that are redirected through a trampoline with `key`.
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            chunks: [const { OnceLock::new() }; CHUNKS],
            places: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Record> {
        let index = usize::try_from(index).ok()?;
        self.chunks.get(index / CHUNK)?.get()?.get(index % CHUNK)
    }

    /// Takes a record for a thread and returns its index; `None` if all 65536 are taken. `thread` is the name of the thread's port, `stack`
    /// its emergency stack, and `guard` the size in bytes of the guard below it.
    pub(crate) fn open(&self, thread: u32, stack: Range<u64>, guard: u64) -> Option<u32> {
        let index = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            match places.free.pop() {
                Some(index) => index,
                None => {
                    let index = places.used;
                    let chunk = self.chunks.get(index as usize / CHUNK)?;
                    chunk.get_or_init(|| (0..CHUNK).map(|_| Record::new(self.key)).collect());
                    places.used += 1;
                    // Room for all of them: a thread gives its place back while it exits, and must not allocate there.
                    let used = places.used as usize;
                    places.free.reserve(used);
                    index
                }
            }
        };
        let record = self.get(u64::from(index))?;
        record.innermost.set(None);
        record.set_errno(0);
        record.set_signal_stack(0..0);
        // The thread that had this record before may have exited while it held redirects off.
        record.mask.abandon();
        record.thread.store(thread, Ordering::Release);
        let guard_start = stack.start.saturating_sub(guard);
        record.guard_start.store(guard_start, Ordering::Release);
        record.stack_start.store(stack.start, Ordering::Release);
        record.stack_end.store(stack.end, Ordering::Release);
        Some(index)
    }

    /// Returns the number of handlers of all threads that returned directly.
    pub(crate) fn returned_directly(&self) -> u64 {
        let chunks = self.chunks.iter().filter_map(OnceLock::get);
        chunks
            .flatten()
            .map(|record| record.innermost.returned_directly())
            .sum()
    }

    /// Gives a record back.
    pub(crate) fn close(&self, index: u32) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.free.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_redirect::FrameId;

    const KEY: Key = Key::new(1);

    #[test]
    fn a_reused_record_keeps_nothing_of_its_former_thread() {
        let records = Records::new(KEY);
        let first = records.open(0x103, 0x1000..0x2000, 0x400).expect("a place");
        let record = records.get(first.into()).expect("a record");
        assert_eq!(record.thread(), 0x103);
        assert_eq!(record.emergency_stack(), 0x1000..0x2000);
        assert_eq!(record.emergency_guard(), 0xc00..0x1000);
        let frame = FrameId::new(0x1800, 3);
        record.innermost.set(Some(frame));
        assert_eq!(record.innermost.get(), Some(frame));
        assert!(!record.is_on_signal_stack(0));
        record.set_signal_stack(0x5000..0x6000);
        assert!(record.is_on_signal_stack(0x5000) && !record.is_on_signal_stack(0x6000));
        records.close(first);
        let second = records
            .open(0x203, 0x3000..0x4000, 0x1000)
            .expect("a place");
        assert_eq!(second, first);
        assert_eq!(record.innermost.get(), None);
        assert!(!record.is_on_signal_stack(0x5000));
        assert_eq!(record.thread(), 0x203);
        assert_eq!(record.emergency_stack(), 0x3000..0x4000);
        assert_eq!(record.emergency_guard(), 0x2000..0x3000);
    }

    #[test]
    fn records_run_out_at_the_limit_and_can_be_reused() {
        let records = Records::new(KEY);
        for index in 0..(CHUNK * CHUNKS) as u32 {
            assert_eq!(records.open(7, 0..1, 0), Some(index));
        }
        assert_eq!(records.open(7, 0..1, 0), None);
        assert_eq!(records.open(7, 0..1, 0), None);
        records.close(300);
        assert_eq!(records.open(7, 0..1, 0), Some(300));
        for outside in [(CHUNK * CHUNKS) as u64, u64::MAX, 1 << 32] {
            assert!(records.get(outside).is_none());
        }
    }

    #[test]
    fn giving_records_back_allocates_nothing() {
        let records = Records::new(KEY);
        let all: Vec<_> = (0..1000)
            .map(|_| records.open(7, 0..1, 0).expect("a place"))
            .collect();
        let room = |records: &Records| records.places.lock().expect("a lock").free.capacity();
        let before = room(&records);
        assert!(before >= all.len());
        all.into_iter().for_each(|index| records.close(index));
        assert_eq!(room(&records), before);
    }
}
