//! Alarms of the system clock: messages that the kernel sends at a time (`osfmk/kern/clock_oldops.c`).

use crate::ipc::kmsg::Right;
use crate::ipc::notify;
use crate::ipc::state::Ipc;
use core::cmp::{Ordering, Reverse};
use mach_wire::kern_return::KernReturn;
use mach_wire::types::{alarm_type_t, mach_timespec_t};
use std::collections::BinaryHeap;

/// Alarms that may be set at a time. Room for them is [made](Room::new) before the first is set: nothing is allocated under the kernel's lock.
const LIMIT: usize = 1024;

/// One alarm.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// Nanoseconds of the system clock.
    pub(crate) time: u64,
    /// The type that the message repeats.
    pub(crate) kind: alarm_type_t,
    /// The send-once right that the message goes through.
    pub(crate) to: Right,
}

/// Alarms with their numbers: of two with the same time the older one is first.
#[derive(Debug)]
struct Numbered(Alarm, u64);

impl Numbered {
    fn key(&self) -> (u64, u64) {
        (self.0.time, self.1)
    }
}

impl PartialEq for Numbered {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Numbered {}

impl PartialOrd for Numbered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numbered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Room for as many alarms as may be set.
#[derive(Debug)]
pub(crate) struct Room(BinaryHeap<Reverse<Numbered>>);

impl Room {
    /// Allocates it.
    pub(crate) fn new() -> Self {
        Self(BinaryHeap::with_capacity(LIMIT))
    }
}

/// The alarms that are set.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    set: BinaryHeap<Reverse<Numbered>>,
    number: u64,
}

impl Alarms {
    /// Returns whether there is no room yet: [`take_room`](Self::take_room) is to come before the first alarm.
    pub(crate) fn lacks_room(&self) -> bool {
        self.set.capacity() == 0
    }

    /// Takes room, unless there is some. What is not needed comes back, to be freed without the lock.
    pub(crate) fn take_room(&mut self, room: Room) -> Option<Room> {
        if !self.lacks_room() {
            return Some(room);
        }
        self.set = room.0;
        None
    }

    /// Takes one whose port has died, if as many are set as there may be. `is_dead` says whether a right's port has.
    pub(crate) fn take_dead(&mut self, is_dead: impl Fn(Right) -> bool) -> Option<Alarm> {
        if self.set.len() < LIMIT {
            return None;
        }
        let mut taken = None;
        // No more than the limit, and only when that is reached.
        self.set.retain(|Reverse(set)| {
            if taken.is_none() && is_dead(set.0.to) {
                let Alarm { time, kind, to } = set.0;
                taken = Some(Alarm { time, kind, to });
                return false;
            }
            true
        });
        taken
    }

    /// Sets one. Where as many are set as there may be it comes back.
    pub(crate) fn set(&mut self, alarm: Alarm) -> Result<(), Alarm> {
        if self.set.len() >= LIMIT.min(self.set.capacity()) {
            return Err(alarm);
        }
        self.number += 1;
        self.set.push(Reverse(Numbered(alarm, self.number)));
        Ok(())
    }

    /// Returns the time of the first one; `None` if none is set.
    pub(crate) fn next(&self) -> Option<u64> {
        self.set.peek().map(|Reverse(first)| first.0.time)
    }

    /// Takes the first one, if its time has come.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<Alarm> {
        if self.next()? > now {
            return None;
        }
        self.set.pop().map(|Reverse(first)| first.0)
    }
}

/// Returns a number of nanoseconds as a time of the clock.
pub(crate) fn timespec(nanoseconds: u64) -> mach_timespec_t {
    mach_timespec_t {
        tv_sec: (nanoseconds / 1_000_000_000) as u32,
        tv_nsec: (nanoseconds % 1_000_000_000) as i32,
    }
}

/// Sends the message of an alarm: a result, and the time that the clock shows.
pub(crate) fn ring(
    ipc: &mut Ipc<'_, '_>,
    to: Right,
    kind: alarm_type_t,
    code: KernReturn,
    now: u64,
) {
    notify::clock_alarm(ipc, to, code, kind, timespec(now));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(time: u64, kind: alarm_type_t) -> Alarm {
        Alarm {
            time,
            kind,
            to: Right::Null,
        }
    }

    #[test]
    fn the_first_alarm_is_taken_first_and_none_before_its_time() {
        let mut alarms = Alarms::default();
        assert!(alarms.lacks_room() && alarms.take_room(Room::new()).is_none());
        assert!(!alarms.lacks_room() && alarms.take_room(Room::new()).is_some());
        assert_eq!(alarms.next(), None);
        for (kind, time) in [(0, 30), (1, 10), (2, 10), (3, 20)] {
            alarms.set(alarm(time, kind)).expect("room");
        }
        assert_eq!(alarms.next(), Some(10));
        assert!(alarms.take_due(9).is_none());
        let mut taken = Vec::new();
        while let Some(alarm) = alarms.take_due(20) {
            taken.push(alarm.kind);
        }
        assert_eq!((taken, alarms.next()), (vec![1, 2, 3], Some(30)));
    }

    #[test]
    fn one_alarm_too_many_comes_back() {
        let mut alarms = Alarms::default();
        alarms.take_room(Room::new());
        for _ in 0..LIMIT {
            alarms.set(alarm(7, 0)).expect("room");
        }
        assert_eq!(alarms.set(alarm(8, 9)).map_err(|alarm| alarm.kind), Err(9));
        // Room is made by one that cannot ring.
        assert!(alarms.take_dead(|_| false).is_none());
        assert!(alarms.take_dead(|_| true).is_some());
        assert!(alarms.take_dead(|_| true).is_none());
        assert!(alarms.set(alarm(8, 9)).is_ok());
    }
}
