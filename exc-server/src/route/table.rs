//! The records of routes. They are never freed while the server lives, so that a late message finds its route closed, not another one.
//!
//! A port's context is the index of its record and the generation of its route. Raising the generation makes all messages of the route
//! stale at once.

use crate::registration::install::{Displaced, Installation};
use crate::route::id::RouteId;
use crate::route::installed::Installed;
use core::fmt;
use mach_sys::exception::ExceptionType;
use mach_sys::rights::Name;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The record of one route.
#[derive(Debug, Default)]
struct Record {
    /// The generation, which is odd while a route is open.
    generation: AtomicU32,
    /// The route's exception port.
    port: AtomicU32,
    /// The task that requests must come from; 0 if any task's are handled.
    task: AtomicU32,
    /// Number of requests received and not answered.
    in_flight: AtomicU32,
    tag: AtomicU64,
    installed: Installed,
}

/// The parameters of a new route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// The task that requests must come from; `None` if any task's are handled.
    pub(crate) task: Option<Name>,
    pub(crate) tag: u64,
}

/// The properties of a route that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    pub(crate) tag: u64,
    pub(crate) task: Option<Name>,
}

// A route may take 1 KiB; its installation and the kernel's objects need the rest.
const _: () = assert!(size_of::<Record>() <= 64);

/// Number of records in the first chunk, and in the second. Each later one has twice as many as the one before: few routes take little
/// memory, and the list of chunks is short.
const FIRST: usize = 16;
/// Number of routes that a server can have at a time.
pub(crate) const CAPACITY: u32 = 65_536;
const CHUNKS: usize = (CAPACITY as usize / FIRST).ilog2() as usize + 1;
const _: () = assert!(FIRST << (CHUNKS - 1) == CAPACITY as usize);

/// Returns the chunk that has a record, and the first record of that chunk.
const fn chunk_of(index: usize) -> (usize, usize) {
    match index / FIRST {
        0 => (0, 0),
        firsts => {
            let doubled = firsts.ilog2() as usize;
            (doubled + 1, FIRST << doubled)
        }
    }
}

/// Returns the number of records of a chunk.
const fn chunk_size(chunk: usize) -> usize {
    FIRST << chunk.saturating_sub(1)
}

/// All routes of a server. A chunk of records is allocated when a route first needs one, never while an exception is handled.
pub(crate) struct Table {
    chunks: [OnceLock<Box<[Record]>>; CHUNKS],
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    fn record(&self, index: u32) -> Option<&Record> {
        let index = index as usize;
        let (chunk, start) = chunk_of(index);
        self.chunks.get(chunk)?.get()?.get(index - start)
    }

    /// Opens a route in the free record `index`, and allocates the record's chunk if needed. Returns `None` if the index is out of range.
    pub(crate) fn open(&self, index: u32, opening: Opening) -> Option<RouteId> {
        let (chunk, _) = chunk_of(index as usize);
        let records = || (0..chunk_size(chunk)).map(|_| Record::default());
        self.chunks.get(chunk)?.get_or_init(|| records().collect());
        let record = self.record(index)?;
        record.tag.store(opening.tag, Ordering::Relaxed);
        record
            .task
            .store(Name::raw_or_null(opening.task), Ordering::Relaxed);
        let generation = record.generation.fetch_add(1, Ordering::AcqRel);
        Some(RouteId {
            index,
            generation: generation.wrapping_add(1),
        })
    }

    /// Makes all messages of the route stale. Further calls for the same route do nothing.
    ///
    /// If a thread then sees no request in flight, no request of the route will be handled any more: either the thread sees a request that
    /// entered, or the request sees the route closed. This needs sequential consistency, here and in [`enter`](Self::enter).
    pub(crate) fn close(&self, id: RouteId) {
        if let Some(record) = self.open_record(id) {
            let _ = record.generation.compare_exchange(
                id.generation,
                id.generation.wrapping_add(1),
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
        }
    }

    /// Notes the port of a route that was just opened.
    pub(crate) fn note_port(&self, id: RouteId, port: Name) {
        if let Some(record) = self.open_record(id) {
            record.port.store(port.raw(), Ordering::Relaxed);
        }
    }

    /// Removes a route's port, which is about to be destroyed. Until then it belongs to the server, even if its messages are stale already.
    pub(crate) fn forget_port(&self, id: RouteId) {
        if let Some(record) = self.record(id.index) {
            record.port.store(0, Ordering::Relaxed);
        }
    }

    /// Returns whether a port belongs to one of the server's routes.
    pub(crate) fn owns_port(&self, name: Name) -> bool {
        self.chunks
            .iter()
            .filter_map(OnceLock::get)
            .flatten()
            .any(|record| record.port.load(Ordering::Relaxed) == name.raw())
    }

    /// Returns whether a route is open. If it is, the thread that closes the route sees the slot that was taken before this call:
    /// sequentially consistent, as in [`close`](Self::close).
    pub(crate) fn is_open(&self, id: RouteId) -> bool {
        self.record(id.index)
            .is_some_and(|record| record.generation.load(Ordering::SeqCst) == id.generation)
    }

    /// Returns whether a closed route's record can be reused: all requests of the old route are answered, so that neither count nor tag can
    /// be confused.
    pub(crate) fn is_free(&self, index: u32) -> bool {
        self.record(index)
            .is_none_or(|record| record.in_flight.load(Ordering::Acquire) == 0)
    }

    /// Counts a request of the route as in flight, and returns the route's properties. Returns `None`, and counts nothing, if the route is
    /// closed.
    pub(crate) fn enter(&self, id: RouteId) -> Option<Entered> {
        let record = self.record(id.index)?;
        record.in_flight.fetch_add(1, Ordering::SeqCst);
        if !id.is_open() || record.generation.load(Ordering::SeqCst) != id.generation {
            record.in_flight.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        // Even if the route is closed meanwhile, these are its own: the record is not reused while this request is counted.
        Some(Entered {
            tag: record.tag.load(Ordering::Relaxed),
            task: Name::new(record.task.load(Ordering::Relaxed)),
        })
    }

    /// Counts a request that entered as answered. Its rights must have been released.
    pub(crate) fn leave(&self, id: RouteId) {
        if let Some(record) = self.record(id.index) {
            record.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Returns the number of requests of the route in flight.
    pub(crate) fn in_flight(&self, id: RouteId) -> u32 {
        self.record(id.index)
            .map_or(0, |record| record.in_flight.load(Ordering::SeqCst))
    }

    /// Stores the installation of a route.
    pub(crate) fn put(&self, id: RouteId, installation: Box<Installation>) {
        if let Some(record) = self.record(id.index) {
            drop(record.installed.put(installation));
        }
    }

    /// Takes the installation of an open route; `None` if it was taken already.
    pub(crate) fn take(&self, id: RouteId) -> Option<Box<Installation>> {
        self.open_record(id)?.installed.take()
    }

    /// Calls `look` with the installation of an open route; returns `None` if there is none.
    pub(crate) fn look<R>(&self, id: RouteId, look: impl FnOnce(&Installation) -> R) -> Option<R> {
        self.open_record(id)?.installed.look(look)
    }

    fn open_record(&self, id: RouteId) -> Option<&Record> {
        self.record(id.index)
            .filter(|record| record.generation.load(Ordering::Acquire) == id.generation)
    }

    /// Returns the nearest living handler below the route for an exception type.
    pub(crate) fn displaced(&self, id: RouteId, kind: ExceptionType) -> Option<Displaced> {
        self.look(id, |installation| installation.displaced(kind))?
    }
}

/// A request's place in its route. Dropping it counts the request as answered.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) table: Arc<Table>,
    pub(crate) id: RouteId,
}

impl Place {
    /// Returns the nearest living handler below the route.
    pub(crate) fn displaced(&self, kind: ExceptionType) -> Option<Displaced> {
        self.table.displaced(self.id, kind)
    }

    /// Returns whether a port belongs to the same server.
    pub(crate) fn is_own_port(&self, name: Name) -> bool {
        self.table.owns_port(name)
    }

    /// Returns whether the route is open.
    pub(crate) fn is_open(&self) -> bool {
        self.table.is_open(self.id)
    }

    /// Returns the route's identity as a number.
    pub(crate) fn route(&self) -> u64 {
        self.id.to_context()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.leave(self.id);
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(tag: u64) -> Opening {
        Opening { task: None, tag }
    }

    fn tag(table: &Table, id: RouteId) -> Option<u64> {
        table.enter(id).map(|entered| entered.tag)
    }

    #[test]
    fn each_record_has_its_place_in_one_chunk() {
        let mut next = (0, 0);
        for index in 0..CAPACITY as usize {
            let (chunk, start) = chunk_of(index);
            if index - start == 0 && index > 0 {
                next = (next.0 + 1, 0);
            }
            assert_eq!((chunk, index - start), next, "{index}");
            assert!(index - start < chunk_size(chunk), "{index}");
            next.1 += 1;
        }
        assert_eq!(next.0 + 1, CHUNKS);
        let table = Table::new();
        for index in [0, FIRST as u32 - 1, FIRST as u32, 1000, CAPACITY - 1] {
            assert!(table.open(index, opening(1)).is_some(), "{index}");
        }
        for outside in [CAPACITY, u32::MAX] {
            assert!(table.open(outside, opening(1)).is_none(), "{outside}");
        }
    }

    #[test]
    fn a_closed_route_is_stale_and_its_place_is_another_routes() {
        let table = Table::new();
        let first = table.open(3, opening(10)).expect("a place");
        assert_eq!(tag(&table, first), Some(10));
        assert_eq!(table.in_flight(first), 1);
        table.close(first);
        assert_eq!(tag(&table, first), None);
        assert!(!table.is_free(3), "a request of the first is under way");
        table.leave(first);
        assert!(table.is_free(3));
        let second = table.open(3, opening(11)).expect("a place");
        assert_ne!(first, second);
        assert_eq!(tag(&table, first), None);
        assert_eq!(tag(&table, second), Some(11));
        assert_eq!(RouteId::from_context(second.to_context()), second);
    }

    #[test]
    fn forged_contexts_are_on_no_route() {
        let table = Table::new();
        let id = table.open(0, opening(1)).expect("a place");
        table.close(id);
        // Context 2 has the generation of the record now that it is closed.
        for context in [0, 1, 2, 3, u64::MAX, 1 << 32, 1 << 63] {
            assert_eq!(tag(&table, RouteId::from_context(context)), None);
        }
        assert_eq!(table.in_flight(id), 0);
    }

    #[test]
    fn generations_that_wrap_stay_odd_while_open() {
        let table = Table::new();
        let id = table.open(0, opening(1)).expect("a place");
        table.close(id);
        let record = table.record(0).expect("the chunk is there");
        record.generation.store(u32::MAX - 1, Ordering::Relaxed);
        let last = table.open(0, opening(2)).expect("a place");
        assert_eq!(tag(&table, last), Some(2));
        table.close(last);
        let next = table.open(0, opening(3)).expect("a place");
        assert_eq!(next.generation, 1);
        assert_eq!(tag(&table, next), Some(3));
        assert_eq!(tag(&table, last), None);
    }
}
