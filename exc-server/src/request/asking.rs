//! The forwards under way in this process: which request asks which port, and for the sake of which other request.
//!
//! A handler waits for the reply to what it forwards. Servers that forward to each other in a circle would wait for ever. So each
//! forward is entered here first, and looks whether the port that it asks is received by code that waits for its own answer.
//!
//! The table is type-stable memory without a lock: an exception's way to its answer takes none.

use crate::request::print::Print;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use mach_sys::kernel::system::Origin;
use mach_sys::rights::{Name, set_contains};

/// Forwards that are seen at a time. Those beyond are made, and not seen.
const PLACES: usize = 256;
/// Ports that are remembered, of each request, as having declined it. Those beyond are asked again.
const DECLINED: usize = 8;

static TABLE: [Place; PLACES] = [const { Place::new() }; PLACES];
/// The number of the next forward.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Nothing is in a place, whose number is that of the forward before.
const FREE: u64 = 0;
/// A forward is being entered.
const FILLING: u64 = 1;
/// A forward is under way.
const ASKING: u64 = 2;

/// One place for a forward.
struct Place {
    /// The forward's number, and in the two low bits what there is of it.
    word: AtomicU64,
    /// The process whose forward it is.
    origin: AtomicU32,
    asked: AtomicU32,
    arrived: AtomicU32,
    set: AtomicU32,
    print: AtomicU64,
    parent: AtomicU64,
    /// Whether the server that waits can serve other requests meanwhile.
    can_serve: AtomicBool,
    /// Whether it is to.
    called: AtomicBool,
    /// Each with the low half of the forward's number before it.
    declined: [AtomicU64; DECLINED],
}

/// What a forward says of itself.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    /// The port that is asked.
    asked: u32,
    /// Where the request arrived that is forwarded.
    arrived: u32,
    set: u32,
    /// What the message to that port says.
    print: u64,
    /// The number of the forward whose message the request is; 0 if it is the kernel's, or unknown.
    parent: u64,
    can_serve: bool,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The port that it arrived on; `None` if that died meanwhile.
    pub(crate) port: Option<Name>,
    /// The set that it was received from, if from one.
    pub(crate) set: Option<Name>,
}

/// A forward that is about to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(crate) arrival: Arrival,
    /// What the request says.
    pub(crate) request: Print,
    /// The port to ask.
    pub(crate) port: Name,
    /// What the message to it says.
    pub(crate) message: Print,
    /// Whether the server can serve other requests while it waits.
    pub(crate) can_serve: bool,
}

/// Ports whose handlers have declined a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Declined([u32; DECLINED]);

/// Why a forward does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The handler would wait for the answer that this one waits for.
    Circle,
    /// The handler has declined this exception.
    Declined,
}

/// A forward under way. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Asking {
    /// `None`: there was no place.
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

    /// Takes it if it is free. In the child of a fork the parent's forwards keep theirs.
    fn claim(&self, number: u64) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let filling = number << 2 | FILLING;
        word & 3 == FREE
            && self
                .word
                .compare_exchange(word, filling, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
    }

    fn fill(&self, entry: &Entry) {
        self.origin.store(Origin::current().id(), Ordering::Relaxed);
        self.asked.store(entry.asked, Ordering::Relaxed);
        self.arrived.store(entry.arrived, Ordering::Relaxed);
        self.set.store(entry.set, Ordering::Relaxed);
        self.print.store(entry.print, Ordering::Relaxed);
        self.parent.store(entry.parent, Ordering::Relaxed);
        self.can_serve.store(entry.can_serve, Ordering::Relaxed);
        self.called.store(false, Ordering::Relaxed);
        // One order for all (`SeqCst`): of two forwards that are entered at the same time, one sees the other.
        self.word
            .store(entry.number << 2 | ASKING, Ordering::SeqCst);
    }

    /// The forward in it, as far as one is under way.
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
        // Values of a later one would have been read after its word said that it was being entered.
        (self.word.load(Ordering::SeqCst) == word).then_some(entry)
    }

    /// Remembers that a port declined. For a later forward in this place it says nothing.
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

    fn declined(&self, number: u64) -> impl Iterator<Item = u32> {
        self.declined
            .iter()
            .map(|port| port.load(Ordering::Acquire))
            .filter(move |port| port >> 32 == number & 0xffff_ffff)
            .map(|port| port as u32)
    }
}

/// All forwards under way, each with its place.
fn all() -> impl Iterator<Item = (usize, Entry)> {
    TABLE
        .iter()
        .enumerate()
        .filter_map(|(index, place)| Some((index, place.read()?)))
}

/// The forward that a request came from, then the one that that one's request came from, and so on.
fn ancestors(parent: u64) -> impl Iterator<Item = (usize, Entry)> {
    let find = |number: u64| {
        (number != 0)
            .then(|| all().find(|(_, entry)| entry.number == number))
            .flatten()
    };
    core::iter::successors(find(parent), move |(_, entry)| find(entry.parent)).take(PLACES)
}

/// Returns whether what arrives at a port is received where a request arrived.
fn receives(arrived: u32, set: u32, port: u32) -> bool {
    if arrived == port {
        return true;
    }
    match (Name::new(set), Name::new(port)) {
        (Some(set), Some(port)) => set_contains(set, port).unwrap_or(false),
        _ => false,
    }
}

/// The ports of a set that forwards under way ask.
#[cfg(feature = "std")]
pub(crate) fn asked_in(set: Name) -> impl Iterator<Item = Name> {
    all()
        .filter(move |(_, entry)| receives(0, set.raw(), entry.asked))
        .filter_map(|(_, entry)| Name::new(entry.asked))
}

impl Entry {
    fn receives(&self, port: u32) -> bool {
        receives(self.arrived, self.set, port)
    }

    /// Returns whether the code that is asked waits, with any others between, for what this one receives.
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
    /// Enters a forward, unless it would wait for itself.
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

    /// If the server that is asked waits for this one, about other exceptions, it is to serve this one meanwhile; or, if it cannot, the
    /// other way round.
    fn call_the_waiting(&self, own: &Entry) -> Result<(), Refused> {
        if !own.is_waited_for() {
            return Ok(());
        }
        let waiting =
            || all().filter(|(_, other)| other.number != own.number && other.receives(own.asked));
        // The last one is what its thread waits for now.
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

    /// Returns whether the server is to serve other requests while it waits.
    pub(crate) fn is_called(&self) -> bool {
        self.at
            .is_some_and(|(index, _)| TABLE[index].called.load(Ordering::Acquire))
    }

    /// The handler has declined, as others may have that it asked: none of them is asked about this exception again.
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
