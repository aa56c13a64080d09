//! Route records: type-stable memory, so that a message that arrives late finds its route gone instead of another's.
//!
//! A port's context is (index of its record, generation of its route). Raising the generation makes every message of the route
//! stale at once, wherever it is.

use core::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One route.
#[derive(Debug, Default)]
pub(crate) struct Record {
    generation: AtomicU32,
    tag: AtomicU64,
    /// Requests received and not answered.
    in_flight: AtomicU32,
}

const CHUNK: usize = 256;
/// Routes that a server can have at a time.
pub(crate) const CAPACITY: u32 = 65_536;
const CHUNKS: usize = CAPACITY as usize / CHUNK;

/// All routes of a server. Chunks of records are made when a route first needs one, never on the way of an exception.
pub(crate) struct Table {
    chunks: [OnceLock<Box<[Record]>>; CHUNKS],
}

/// Which route, of which generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteId {
    pub(crate) index: u32,
    generation: u32,
}

impl RouteId {
    /// As a port's context.
    pub(crate) const fn to_context(self) -> u64 {
        (self.index as u64) << 32 | self.generation as u64
    }

    pub(crate) const fn from_context(context: u64) -> Self {
        Self {
            index: (context >> 32) as u32,
            generation: context as u32,
        }
    }
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    fn record(&self, index: u32) -> Option<&Record> {
        let index = index as usize;
        self.chunks.get(index / CHUNK)?.get()?.get(index % CHUNK)
    }

    /// Starts a route in a place that is free. Allocates the place's chunk if it is the first in it.
    pub(crate) fn open(&self, index: u32, tag: u64) -> Option<RouteId> {
        self.chunks
            .get(index as usize / CHUNK)?
            .get_or_init(|| (0..CHUNK).map(|_| Record::default()).collect());
        let record = self.record(index)?;
        record.tag.store(tag, Ordering::Relaxed);
        // Generation 0 is nobody's: a port whose context was never set is on no route.
        let mut generation = record
            .generation
            .fetch_add(1, Ordering::AcqRel)
            .wrapping_add(1);
        if generation == 0 {
            generation = record
                .generation
                .fetch_add(1, Ordering::AcqRel)
                .wrapping_add(1);
        }
        Some(RouteId { index, generation })
    }

    /// Makes everything of the route stale; once, however often it is said. Whoever sees nothing in flight after this knows that no
    /// request of the route will be handled any more: either he sees a request that entered, or the request sees this; hence one order
    /// for all (`SeqCst`), here and in [`enter`](Self::enter).
    pub(crate) fn close(&self, id: RouteId) {
        if let Some(record) = self.record(id.index) {
            let next = id.generation.wrapping_add(1);
            let _ = record.generation.compare_exchange(
                id.generation,
                next,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
        }
    }

    /// A request of the route arrived: its tag, or `None` if the route is gone. Counts it as in flight.
    pub(crate) fn enter(&self, id: RouteId) -> Option<u64> {
        let record = self.record(id.index)?;
        record.in_flight.fetch_add(1, Ordering::SeqCst);
        if id.generation == 0 || record.generation.load(Ordering::SeqCst) != id.generation {
            record.in_flight.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(record.tag.load(Ordering::Relaxed))
    }

    /// A request that entered is answered, its rights released.
    pub(crate) fn leave(&self, id: RouteId) {
        if let Some(record) = self.record(id.index) {
            record.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Requests of the route that are being answered.
    pub(crate) fn in_flight(&self, id: RouteId) -> u32 {
        self.record(id.index)
            .map_or(0, |record| record.in_flight.load(Ordering::SeqCst))
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

    #[test]
    fn a_closed_route_is_stale_and_its_place_is_another_routes() {
        let table = Table::new();
        let first = table.open(3, 10).expect("a place");
        assert_eq!(table.enter(first), Some(10));
        assert_eq!(table.in_flight(first), 1);
        table.leave(first);
        table.close(first);
        assert_eq!(table.enter(first), None);
        let second = table.open(3, 11).expect("a place");
        assert_ne!(first, second);
        assert_eq!(table.enter(first), None);
        assert_eq!(table.enter(second), Some(11));
        assert_eq!(RouteId::from_context(second.to_context()), second);
    }

    #[test]
    fn forged_contexts_are_on_no_route() {
        let table = Table::new();
        table.open(0, 1).expect("a place");
        for context in [0, 2, u64::MAX, 1 << 32, 1 << 63] {
            assert_eq!(table.enter(RouteId::from_context(context)), None);
        }
    }
}
