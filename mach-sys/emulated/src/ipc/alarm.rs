//! The table of alarms: messages that the kernel sends at a time of the system clock, those of `clock_alarm` (`osfmk/kern/clock_oldops.c`) and of timers
//! (`osfmk/kern/mk_timer.c`).

use super::arena::{Arena, Table};
use super::id::{AlarmId, Id, PortId};
use super::kmsg::Right;
use crate::error::ReserveError;
use mach_wire::types::alarm_type_t;

/// Alarms of `clock_alarm` that may be set at a time.
const CLOCK_ALARMS: u32 = 1024;

/// The message that an alarm sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// That of `clock_alarm`, which repeats the type of its time, through a send-once right.
    Clock(alarm_type_t, Right),
    /// That of the timer whose port it is. The timer knows the alarm, and takes it back when the port dies.
    Timer(PortId),
}

/// One alarm.
#[derive(Debug)]
struct Alarm {
    /// Nanoseconds of the system clock, and a number: of two with the same time the older one is first.
    key: (u64, u64),
    message: Message,
    /// Its place in the heap.
    place: u32,
}

/// The alarms that are set.
#[derive(Debug)]
pub(crate) struct Alarms {
    set: Arena<AlarmId, Alarm>,
    /// The first `count` words are identifiers of alarms, each not before the one at half its place: a binary heap.
    heap: Table<u32>,
    count: u32,
    /// The number of them that are `clock_alarm`'s.
    of_clocks: u32,
    number: u64,
}

impl Alarms {
    /// Makes room for an alarm of each port, and for those of clocks.
    pub(super) fn new(ports: u32) -> Result<Self, ReserveError> {
        let capacity = ports.saturating_add(CLOCK_ALARMS);
        Ok(Self {
            set: Arena::new("the table of alarms", capacity)?,
            heap: Table::new("the order of alarms", capacity as usize)?,
            count: 0,
            of_clocks: 0,
            number: 0,
        })
    }

    /// Sets one. `None` when as many are set as there may be.
    pub(super) fn set(&mut self, time: u64, message: Message) -> Option<AlarmId> {
        let of_clock = matches!(message, Message::Clock(..));
        if of_clock && self.of_clocks >= CLOCK_ALARMS {
            return None;
        }
        self.number += 1;
        let alarm = self.set.insert(Alarm {
            key: (time, self.number),
            message,
            place: self.count,
        })?;
        self.of_clocks += u32::from(of_clock);
        self.count += 1;
        self.settle(alarm, self.count - 1);
        Some(alarm)
    }

    /// Takes one back that is set. Returns its time and its message.
    pub(super) fn take(&mut self, alarm: AlarmId) -> (u64, Message) {
        let &Alarm {
            key: (time, _),
            message,
            place,
        } = &self.set[alarm];
        self.set.remove(alarm);
        self.of_clocks -= u32::from(matches!(message, Message::Clock(..)));
        self.count -= 1;
        if place < self.count {
            if let Some(last) = self.at(self.count) {
                self.settle(last, place);
            }
        }
        (time, message)
    }

    /// Takes an alarm of a clock whose port has died, if as many are set as there may be. `is_dead` says whether a right's port has.
    pub(super) fn take_dead(&mut self, is_dead: impl Fn(Right) -> bool) -> Option<Right> {
        if self.of_clocks < CLOCK_ALARMS {
            return None;
        }
        // Only when the limit is reached.
        let dead = (0..self.count).find_map(|place| {
            let alarm = self.at(place)?;
            match self.set[alarm].message {
                Message::Clock(_, to) if is_dead(to) => Some((alarm, to)),
                _ => None,
            }
        });
        dead.map(|(alarm, to)| {
            self.take(alarm);
            to
        })
    }

    /// Returns the time of the first one; `None` if none is set.
    pub(super) fn next(&self) -> Option<u64> {
        (self.count > 0)
            .then(|| self.at(0))?
            .map(|first| self.set[first].key.0)
    }

    /// Takes the first one, if its time has come.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Message> {
        if self.next()? > now {
            return None;
        }
        self.at(0).map(|first| self.take(first).1)
    }

    fn at(&self, place: u32) -> Option<AlarmId> {
        AlarmId::from_word(self.heap.as_slice()[place as usize])
    }

    fn put(&mut self, place: u32, alarm: AlarmId) {
        self.heap.as_mut_slice()[place as usize] = alarm.to_word();
        self.set[alarm].place = place;
    }

    /// Puts an alarm where it belongs, from a place on that is free.
    fn settle(&mut self, alarm: AlarmId, mut place: u32) {
        let key = self.set[alarm].key;
        while let Some(above) = place.checked_sub(1).map(|place| place / 2) {
            match self.at(above) {
                Some(other) if self.set[other].key > key => self.put(place, other),
                _ => break,
            }
            place = above;
        }
        loop {
            let below = [2 * place + 1, 2 * place + 2].into_iter();
            let below = below.filter(|place| *place < self.count);
            let below = below.filter_map(|place| Some((self.at(place)?, place)));
            match below.min_by_key(|(other, _)| self.set[*other].key) {
                Some((other, from)) if self.set[other].key < key => {
                    self.put(place, other);
                    place = from;
                }
                _ => break,
            }
        }
        self.put(place, alarm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: u32 = 300;

    fn alarms() -> Alarms {
        Alarms::new(PORTS).expect("address space")
    }

    fn clock(kind: alarm_type_t) -> Message {
        Message::Clock(kind, Right::Null)
    }

    #[test]
    fn the_first_alarm_is_taken_first_and_none_before_its_time() {
        let mut alarms = alarms();
        assert_eq!(alarms.next(), None);
        for (kind, time) in [(0, 30), (1, 10), (2, 10), (3, 20)] {
            alarms.set(time, clock(kind)).expect("room");
        }
        assert_eq!(alarms.next(), Some(10));
        assert_eq!(alarms.take_due(9), None);
        let taken: Vec<_> = std::iter::from_fn(|| alarms.take_due(20)).collect();
        assert_eq!(taken, [1, 2, 3].map(clock));
        assert_eq!(alarms.next(), Some(30));
    }

    #[test]
    fn one_alarm_of_a_clock_too_many_is_refused() {
        let mut alarms = alarms();
        for _ in 0..CLOCK_ALARMS {
            alarms.set(7, clock(0)).expect("room");
        }
        assert_eq!(alarms.set(8, clock(9)), None);
        // Timers have room of their own.
        let timer = PortId::from_word(1).map(Message::Timer).expect("not 0");
        for _ in 0..PORTS {
            assert!(alarms.set(8, timer).is_some());
        }
        // Room is made by one that cannot ring.
        assert_eq!(alarms.take_dead(|_| false), None);
        assert_eq!(alarms.take_dead(|_| true), Some(Right::Null));
        assert_eq!(alarms.take_dead(|_| true), None);
        assert!(alarms.set(8, clock(9)).is_some());
    }

    /// Against a sorted list, with alarms taken back from anywhere.
    #[test]
    fn alarms_that_are_taken_back_leave_the_others_in_order() {
        let mut alarms = alarms();
        let (mut model, mut random) = (Vec::new(), 0x2545_f491_4f6c_dd1d_u64);
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for step in 0..20_000_u64 {
            match next(5) {
                0 | 1 if model.len() < 1000 => {
                    let (time, message) = (next(500), clock(step as alarm_type_t));
                    let alarm = alarms.set(time, message).expect("room");
                    model.push((time, step, message, alarm));
                    model.sort_by_key(|(time, step, ..)| (*time, *step));
                }
                2 if !model.is_empty() => {
                    let (time, _, message, alarm) = model.remove(next(model.len() as u64) as usize);
                    assert_eq!(alarms.take(alarm), (time, message));
                }
                3 if !model.is_empty() => {
                    let (time, _, message, _) = model.remove(0);
                    assert_eq!(alarms.take_due(time), Some(message));
                }
                _ => {
                    let first = model.first().map(|(time, ..)| *time);
                    assert_eq!(alarms.next(), first);
                    if let Some(earlier) = first.and_then(|time| time.checked_sub(1)) {
                        assert_eq!(alarms.take_due(earlier), None);
                    }
                }
            }
        }
    }
}
