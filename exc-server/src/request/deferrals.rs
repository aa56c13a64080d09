//! The table of deferred exceptions.

use crate::clock;
use crate::error::CapacityError;
use crate::local::Local;
use crate::request::content::Summary;
use crate::request::slot::{Filling, Held, Slot};
use crate::wire::scratch::REPLY_WORDS;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use mach_sys::exception::ExceptionType;

/// A table of deferred exceptions.
///
/// A [`Server`](crate::Server) has its own table; a [`Receiver`](crate::Receiver) borrows one. A deferred exception stays in the table
/// until it is answered; a [`Deferred`](crate::Deferred) is only its key, and no exception is lost with its key. The table declines an
/// exception when its route closes, its deadline passes, or the table is dropped.
///
/// Each place takes about 10 KiB, allocated when the table is made: deferring allocates nothing.
///
/// ```
/// use exc_server::mach_sys::rights::ReceiveRight;
/// use exc_server::{Deferrals, Receiver};
///
/// let (port, table) = (ReceiveRight::new()?, Deferrals::new(4)?);
/// let receiver = Receiver::from_port(&port).deferring(&table);
/// assert_eq!(table.pending().count(), 0);
/// # let _ = receiver;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Deferrals {
    slots: Arc<Local<Slots>>,
}

/// The description of a deferred exception in the list of [`Deferrals::pending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Pending {
    /// The tag of its route; without a server, the context of its port.
    pub tag: u64,
    /// The exception type.
    pub exception_type: ExceptionType,
    /// The time since it was deferred.
    pub age: Duration,
    /// The time until it is declined; `None` if it has no deadline.
    pub left: Option<Duration>,
}

impl Deferrals {
    /// The largest capacity.
    pub const MAX: usize = 1024;

    /// Makes a table for `capacity` exceptions at a time.
    ///
    /// # Errors
    /// [`CapacityError`]: the capacity is larger than [`MAX`](Self::MAX).
    pub fn new(capacity: usize) -> Result<Self, CapacityError> {
        if capacity > Self::MAX {
            return Err(CapacityError {
                capacity,
                max: Self::MAX,
            });
        }
        let slots = (0..capacity).map(|_| Slot::new()).collect();
        Ok(Self {
            slots: Arc::new(Local::new(Slots {
                slots,
                next_deadline: AtomicU64::new(u64::MAX),
                begun: AtomicU64::new(0),
                ended: AtomicU64::new(0),
                closed: AtomicBool::new(false),
                expired: AtomicU64::new(0),
                unwanted: AtomicU64::new(0),
            })),
        })
    }

    /// Returns the number of exceptions that fit into the table.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.slots.len()
    }

    /// Returns the exceptions that wait in the table, for example to print them. Exceptions that are deferred or answered meanwhile may be
    /// missing. The list is empty in the child of a fork. Not async-signal-safe: waits for a thread that is just deferring, which may be
    /// the interrupted one.
    pub fn pending(&self) -> impl Iterator<Item = Pending> + '_ {
        let now = clock::now();
        let here = self.slots.is_here().then_some(&self.slots);
        let summaries = here.into_iter().flat_map(|slots| slots.summaries());
        summaries.map(move |(_, summary)| Pending {
            tag: summary.tag,
            exception_type: summary.exception_type,
            age: Duration::from_nanos(now.saturating_sub(summary.since)),
            left: (summary.deadline != u64::MAX)
                .then(|| Duration::from_nanos(summary.deadline.saturating_sub(now))),
        })
    }

    pub(crate) fn slots(&self) -> &Arc<Local<Slots>> {
        &self.slots
    }
}

impl Drop for Deferrals {
    fn drop(&mut self) {
        if self.slots.is_here() {
            self.slots.close();
        }
    }
}

impl fmt::Debug for Deferrals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferrals")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// The memory of a table. It lives as long as the table and the keys to it.
pub(crate) struct Slots {
    slots: Box<[Slot]>,
    /// A time on the clock that no deadline in the table is before, unless a thread is just declining expired exceptions.
    next_deadline: AtomicU64,
    /// Number of times that a thread began to decline expired exceptions.
    begun: AtomicU64,
    /// Number of times that a thread finished declining expired exceptions.
    ended: AtomicU64,
    closed: AtomicBool,
    /// Number of exceptions declined because their deadline had passed.
    expired: AtomicU64,
    /// Number of replies that could not be delivered.
    unwanted: AtomicU64,
}

impl Slots {
    /// Returns the exceptions in the table, each with its slot.
    fn summaries(&self) -> impl Iterator<Item = (&Slot, Summary)> {
        self.slots
            .iter()
            .filter_map(|slot| Some((slot, slot.summary()?)))
    }

    pub(crate) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    pub(crate) fn unwanted(&self) -> u64 {
        self.unwanted.load(Ordering::Relaxed)
    }

    /// Counts a reply that could not be delivered.
    pub(crate) fn note_unwanted(&self) {
        self.unwanted.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a free slot, and returns it with its index; `None` if the table is full.
    ///
    /// The caller must check *afterwards* that the exception's route is open, in the same total order (`SeqCst`): a thread that closes the
    /// route first marks it closed, and then reads the slots. So either the closing thread finds this slot taken, and waits until it is
    /// filled, or the caller finds the route closed.
    pub(crate) fn claim(&self) -> Option<(u32, Filling<'_>)> {
        let (index, filling) = self
            .slots
            .iter()
            .enumerate()
            .find_map(|(index, slot)| Some((index, slot.claim()?)))?;
        Some((u32::try_from(index).ok()?, filling))
    }

    /// Returns whether the table was closed. To be checked after [`claim`](Self::claim), like the route.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Records the deadline of an exception that was put into the table.
    pub(crate) fn note_deadline(&self, deadline: u64) {
        self.next_deadline.fetch_min(deadline, Ordering::AcqRel);
    }

    /// Takes the exception that a key belongs to; `None` if it was answered.
    pub(crate) fn hold(&self, index: u32, generation: u64) -> Option<Held<'_>> {
        self.slots.get(index as usize)?.hold(generation)
    }

    /// Declines the exceptions that `which` selects, and returns their number, without those that another thread holds.
    fn decline_where(&self, which: impl Fn(&Summary) -> bool) -> u64 {
        let mut count = 0;
        for (slot, summary) in self.summaries() {
            if which(&summary) {
                if let Some(held) = slot.doom(summary.generation) {
                    self.decline(held);
                    count += 1;
                }
            }
        }
        count
    }

    fn decline(&self, mut held: Held<'_>) {
        let question = held.content_mut().question.take();
        held.free();
        if let Some(mut question) = question {
            // After an error too the thread does not wait for this server.
            if question.answer(false, None, &mut [0; REPLY_WORDS]).is_err() {
                self.note_unwanted();
            }
        }
    }

    /// Declines all exceptions of a route, which was marked closed before.
    #[cfg_attr(not(feature = "std"), allow(dead_code))]
    pub(crate) fn decline_route(&self, route: u64) {
        self.decline_where(|summary| summary.route == route);
    }

    /// Declines all exceptions, and closes the table for further ones.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.decline_where(|_| true);
    }

    /// Declines the exceptions whose deadline has passed. Returns the time until the next deadline in milliseconds; `None` if there is none.
    pub(crate) fn expire(&self) -> Option<u32> {
        let next = self.next_deadline.load(Ordering::Acquire);
        if next != u64::MAX && next <= clock::now() {
            self.decline_late();
        }
        loop {
            // In this order: if both are equal, no thread was declining when `begun` was read.
            let ended = self.ended.load(Ordering::Acquire);
            let begun = self.begun.load(Ordering::Acquire);
            let next = self.next_deadline.load(Ordering::Acquire);
            let left = (next != u64::MAX).then(|| {
                let milliseconds = next.saturating_sub(clock::now()).div_ceil(1_000_000);
                u32::try_from(milliseconds).unwrap_or(u32::MAX)
            });
            if begun != ended {
                return Some(left.map_or(SOON, |left| left.min(SOON)));
            }
            if self.begun.load(Ordering::Acquire) == begun {
                return left;
            }
        }
    }

    /// Declines the exceptions whose deadline has passed, and finds the next deadline.
    fn decline_late(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
        // Set to the next deadline below, and by threads that defer meanwhile.
        self.next_deadline.swap(u64::MAX, Ordering::AcqRel);
        let now = clock::now();
        let count = self.decline_where(|summary| summary.deadline <= now);
        self.expired.fetch_add(count, Ordering::Relaxed);
        for (_, summary) in self.summaries() {
            self.note_deadline(summary.deadline);
        }
        self.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// The time in milliseconds after which a thread checks again if it found another declining expired exceptions: until that thread is done,
/// `next_deadline` may miss deadlines.
const SOON: u32 = 1;

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_kept_although_another_thread_is_just_declining_what_is_late() {
        let table = Deferrals::new(1).expect("a table");
        let slots = table.slots();
        assert_eq!(slots.expire(), None);
        let later = clock::now() + 3_600_000_000_000;
        slots.note_deadline(later);
        assert!(slots.expire().is_some_and(|left| left > 3_000_000));
        // The part of `decline_late` before it reads the remaining deadlines.
        slots.begun.fetch_add(1, Ordering::AcqRel);
        slots.next_deadline.swap(u64::MAX, Ordering::AcqRel);
        assert_eq!(slots.expire(), Some(SOON));
        slots.note_deadline(later);
        assert_eq!(slots.expire(), Some(SOON));
        slots.ended.fetch_add(1, Ordering::AcqRel);
        assert!(slots.expire().is_some_and(|left| left > 3_000_000));
    }
}
