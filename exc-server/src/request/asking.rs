//! The table of forwards in progress in this process: each one's request, the port that it was forwarded to, and the forward that it
//! belongs to.
//!
//! A handler that forwards a request waits for the reply. Servers that forward to each other in a circle would wait forever. So each
//! forward is first entered here, and refused if the receiver of its port waits for the forward's own answer.
//!
//! The table is static memory without a lock: no lock may be taken between an exception and its answer.

use crate::request::print::Print;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use mach_sys::kernel::system::Origin;
use mach_sys::rights::{Name, set_contains};

/// Number of forwards that the table holds at a time. Further forwards are made but not recorded.
const PLACES: usize = 256;
/// Number of ports recorded per request that have declined it. A port beyond that may receive the request again.
const DECLINED: usize = 8;

static TABLE: [Place; PLACES] = [const { Place::new() }; PLACES];
/// The serial number of the next forward.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The state of a place without a forward; its number is that of the last one.
const FREE: u64 = 0;
/// The state of a place whose forward is being entered.
const FILLING: u64 = 1;
/// The state of a place whose forward is in progress.
const ASKING: u64 = 2;

/// A place for one forward.
struct Place {
    /// The forward's number, and in the two low bits the state of the place.
    word: AtomicU64,
    /// The process that the forward belongs to.
    origin: AtomicU32,
    asked: AtomicU32,
    arrived: AtomicU32,
    set: AtomicU32,
    print: AtomicU64,
    parent: AtomicU64,
    /// `true` if the waiting server can serve other requests meanwhile.
    can_serve: AtomicBool,
    /// `true` if the waiting server must serve other requests meanwhile.
    called: AtomicBool,
    /// The ports that declined the request, each below the low half of the forward's number.
    declined: [AtomicU64; DECLINED],
}

/// The description of a forward in the table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    /// The port that the request is forwarded to.
    asked: u32,
    /// The port that the request arrived on; 0 if it died.
    arrived: u32,
    /// The port set that the request was received from; 0 for none.
    set: u32,
    /// The fingerprint of the forwarded message.
    print: u64,
    /// The number of the forward that sent the request; 0 if the kernel sent it, or the sender is unknown.
    parent: u64,
    can_serve: bool,
}

/// The port and port set that a request arrived on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The port that it arrived on; `None` if the port died meanwhile.
    pub(crate) port: Option<Name>,
    /// The port set that it was received from; `None` if it was received from a port.
    pub(crate) set: Option<Name>,
}

/// A forward that is about to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(crate) arrival: Arrival,
    /// The fingerprint of the request.
    pub(crate) request: Print,
    /// The port to forward to.
    pub(crate) port: Name,
    /// The fingerprint of the message to that port.
    pub(crate) message: Print,
    /// `true` if the server can serve other requests while it waits.
    pub(crate) can_serve: bool,
}

/// The ports whose handlers have declined a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Declined([u32; DECLINED]);

/// The reason that a forward is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The handler waits for the answer that this forward would wait for.
    Circle,
    /// The handler has declined this exception already.
    Declined,
}

/// A forward in progress. Dropping it removes it from the table.
#[derive(Debug)]
pub(crate) struct Asking {
    /// The index of its place, and its number; `None` if the table was full.
    at: Option<(usize, u64)>,
    parent: u64,
}

impl Place {
    const fn new() -> Self {
        Self {
            word: AtomicU64::new(FREE),
            origin: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            arrived: AtomicU32::new(0),
            set: AtomicU32::new(0),
            print: AtomicU64::new(0),
            parent: AtomicU64::new(0),
            can_serve: AtomicBool::new(false),
            called: AtomicBool::new(false),
            declined: [const { AtomicU64::new(0) }; DECLINED],
        }
    }

    /// Takes the place if it is free; returns whether it did. In the child of a fork the parent's forwards keep their places.
    fn claim(&self, number: u64) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let filling = number << 2 | FILLING;
        word & 3 == FREE
            && self
                .word
                .compare_exchange(word, filling, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
    }

    /// Fills the place with a forward, and makes it visible.
    fn fill(&self, entry: &Entry) {
        self.origin.store(Origin::current().id(), Ordering::Relaxed);
        self.asked.store(entry.asked, Ordering::Relaxed);
        self.arrived.store(entry.arrived, Ordering::Relaxed);
        self.set.store(entry.set, Ordering::Relaxed);
        self.print.store(entry.print, Ordering::Relaxed);
        self.parent.store(entry.parent, Ordering::Relaxed);
        self.can_serve.store(entry.can_serve, Ordering::Relaxed);
        self.called.store(false, Ordering::Relaxed);
        // Sequentially consistent: of two forwards that are entered at the same time, at least one sees the other.
        self.word
            .store(entry.number << 2 | ASKING, Ordering::SeqCst);
    }

    /// Returns the forward in the place; `None` if none of this process is in progress there.
    fn read(&self) -> Option<Entry> {
        let word = self.word.load(Ordering::SeqCst);
        if word & 3 != ASKING || self.origin.load(Ordering::Acquire) != Origin::current().id() {
            return None;
        }
        let entry = Entry {
            number: word >> 2,
            asked: self.asked.load(Ordering::Acquire),
            arrived: self.arrived.load(Ordering::Acquire),
            set: self.set.load(Ordering::Acquire),
            print: self.print.load(Ordering::Acquire),
            parent: self.parent.load(Ordering::Acquire),
            can_serve: self.can_serve.load(Ordering::Acquire),
        };
        // If the values above belonged to a later forward, the word would have changed before they were read.
        (self.word.load(Ordering::SeqCst) == word).then_some(entry)
    }

    /// Records that a port declined. The number keeps the record from counting for a later forward in this place.
    fn decline(&self, number: u64, port: u32) {
        let new = number << 32 | u64::from(port);
        for place in &self.declined {
            let mut old = place.load(Ordering::Acquire);
            loop {
                if old == new {
                    return;
                }
                if old >> 32 == number & 0xffff_ffff {
                    break;
                }
                match place.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return,
                    Err(now) => old = now,
                }
            }
        }
    }

    /// Returns the ports that declined the request of the forward `number`.
    fn declined(&self, number: u64) -> impl Iterator<Item = u32> {
        self.declined
            .iter()
            .map(|port| port.load(Ordering::Acquire))
            .filter(move |port| port >> 32 == number & 0xffff_ffff)
            .map(|port| port as u32)
    }
}

/// Returns all forwards in progress, each with the index of its place.
fn all() -> impl Iterator<Item = (usize, Entry)> {
    TABLE
        .iter()
        .enumerate()
        .filter_map(|(index, place)| Some((index, place.read()?)))
}

/// Returns the forward that sent a request, then the forward that sent that one's request, and so on.
fn ancestors(parent: u64) -> impl Iterator<Item = (usize, Entry)> {
    let find = |number: u64| {
        (number != 0)
            .then(|| all().find(|(_, entry)| entry.number == number))
            .flatten()
    };
    core::iter::successors(find(parent), move |(_, entry)| find(entry.parent)).take(PLACES)
}

/// Returns whether messages to `port` are received by the receiver of a request that arrived on `arrived`, from the port set `set`.
fn receives(arrived: u32, set: u32, port: u32) -> bool {
    if arrived == port {
        return true;
    }
    match (Name::new(set), Name::new(port)) {
        (Some(set), Some(port)) => set_contains(set, port).unwrap_or(false),
        _ => false,
    }
}

/// Returns the ports of a set that forwards in progress were sent to.
#[cfg(feature = "std")]
pub(crate) fn asked_in(set: Name) -> impl Iterator<Item = Name> {
    all()
        .filter(move |(_, entry)| receives(0, set.raw(), entry.asked))
        .filter_map(|(_, entry)| Name::new(entry.asked))
}

impl Entry {
    /// Returns whether the code that forwards this request also receives the messages to `port`.
    fn receives(&self, port: u32) -> bool {
        receives(self.arrived, self.set, port)
    }

    /// Returns whether the receiver of the forwarded message waits, directly or through others, for an answer from this forward's code.
    fn is_waited_for(&self) -> bool {
        let mut waiting = [false; PLACES];
        let mut asked = [self.asked; PLACES];
        let (mut known, mut followed) = (1, 0);
        while followed < known {
            let port = asked[followed];
            followed += 1;
            for (index, other) in all() {
                if waiting[index] || other.number == self.number || !other.receives(port) {
                    continue;
                }
                if self.receives(other.asked) {
                    return true;
                }
                waiting[index] = true;
                if let Some(place) = asked.get_mut(known) {
                    *place = other.asked;
                    known += 1;
                }
            }
        }
        false
    }
}

impl Asking {
    /// Enters a forward in the table.
    ///
    /// # Errors
    /// - [`Refused::Circle`]: the forward would wait for itself.
    /// - [`Refused::Declined`]: the handler has declined this exception already.
    pub(crate) fn begin(begin: &Begin, before: &Declined) -> Result<Self, Refused> {
        let Begin {
            arrival,
            request,
            port,
            message,
            can_serve,
        } = *begin;
        let arrived = Name::raw_or_null(arrival.port);
        let asked = port.raw();
        let parent = all()
            .find(|(_, entry)| entry.asked == arrived && entry.print == request.0)
            .map_or(0, |(_, entry)| entry.number);
        if before.0.contains(&asked) {
            return Err(Refused::Declined);
        }
        for (index, entry) in ancestors(parent) {
            if entry.receives(asked) {
                return Err(Refused::Circle);
            }
            if TABLE[index]
                .declined(entry.number)
                .any(|port| port == asked)
            {
                return Err(Refused::Declined);
            }
        }
        let entry = Entry {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            asked,
            arrived,
            set: Name::raw_or_null(arrival.set),
            print: message.0,
            parent,
            can_serve,
        };
        let place = TABLE.iter().position(|place| place.claim(entry.number));
        let Some(index) = place else {
            return Ok(Self { at: None, parent });
        };
        for port in before.0.into_iter().filter(|port| *port != 0) {
            TABLE[index].decline(entry.number, port);
        }
        TABLE[index].fill(&entry);
        let asking = Self {
            at: Some((index, entry.number)),
            parent,
        };
        asking.call_the_waiting(&entry)?;
        Ok(asking)
    }

    /// Tells the server that the request is forwarded to, if it waits for this one about another exception, to serve requests meanwhile; or
    /// this one, if that one cannot. Returns [`Refused::Circle`] if neither can.
    fn call_the_waiting(&self, own: &Entry) -> Result<(), Refused> {
        if !own.is_waited_for() {
            return Ok(());
        }
        let waiting =
            || all().filter(|(_, other)| other.number != own.number && other.receives(own.asked));
        // The thread of that server waits for its last forward now.
        match waiting().max_by_key(|(_, other)| other.number) {
            Some((_, other)) if !other.can_serve => match self.at {
                Some((index, _)) if own.can_serve => {
                    TABLE[index].called.store(true, Ordering::Release);
                    Ok(())
                }
                _ => Err(Refused::Circle),
            },
            _ => {
                for (index, _) in waiting() {
                    TABLE[index].called.store(true, Ordering::Release);
                }
                Ok(())
            }
        }
    }

    /// Returns whether the server must serve other requests while it waits.
    pub(crate) fn is_called(&self) -> bool {
        self.at
            .is_some_and(|(index, _)| TABLE[index].called.load(Ordering::Acquire))
    }

    /// Records that the handler at `port` declined the exception, as may have others that it forwarded to: the exception is not forwarded to
    /// any of them again.
    pub(crate) fn note_declined(&self, port: Name, declined: &mut Declined) {
        for (index, entry) in ancestors(self.parent) {
            TABLE[index].decline(entry.number, port.raw());
        }
        let others = self.at.into_iter();
        let others = others.flat_map(|(index, number)| TABLE[index].declined(number));
        for port in others.chain([port.raw()]) {
            declined.add(port);
        }
    }
}

impl Declined {
    fn add(&mut self, port: u32) {
        if !self.0.contains(&port) {
            if let Some(free) = self.0.iter_mut().find(|free| **free == 0) {
                *free = port;
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some((index, number)) = self.at {
            TABLE[index]
                .word
                .store(number << 2 | FREE, Ordering::SeqCst);
        }
    }
}
