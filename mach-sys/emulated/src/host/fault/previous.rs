//! The other handlers of the five signals: the signal fallback.
//!
//! The one from before the start is the lowest. Above it are those that were installed after the start and that the emulation replaced
//! again, the last one first. A fault that no exception handler takes visits each once, from the top.
//!
//! # Handlers that have left
//! A handler that leaves puts back what it had found: the entry. The entry has several addresses, and each time that it replaces another
//! handler it is installed under the next one. So a handler puts back an address that is no longer the installed one, which tells that
//! whatever was installed since that address was is off, as it would be without the emulation. A handler whose code is no longer there
//! is passed over.
#![allow(unsafe_code)]

use super::code::Code;
use super::disposition::{self, Action, Installed};
use crate::config::WhenDisplaced;
use crate::host::entry::ALIASES;
use crate::host::sys::mask::{self, Mask, SYNCHRONOUS, index};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// A handler for one signal, as its owner installed it.
#[derive(Debug)]
struct Party {
    /// Counts up with each; 0: the place is free. [`BOTTOM`] for the one from before the start.
    stamp: AtomicU32,
    handler: AtomicUsize,
    flags: AtomicUsize,
    restorer: AtomicUsize,
    mask: AtomicU64,
    code: Code,
}

impl Party {
    const fn none() -> Self {
        Self {
            stamp: AtomicU32::new(0),
            handler: AtomicUsize::new(libc::SIG_DFL),
            flags: AtomicUsize::new(0),
            restorer: AtomicUsize::new(0),
            mask: AtomicU64::new(0),
            code: Code::none(),
        }
    }

    fn store(&self, action: &Action, stamp: u32) {
        self.stamp.store(0, Ordering::Release);
        self.mask.store(action.mask, Ordering::Release);
        self.flags.store(action.flags, Ordering::Release);
        self.restorer.store(action.restorer, Ordering::Release);
        self.handler.store(action.handler, Ordering::Release);
        if is_code(action.handler) {
            self.code.note(action.handler);
        }
        self.stamp.store(stamp, Ordering::Release);
    }

    /// Returns the action as its owner installed it.
    fn installed(&self) -> Action {
        Action {
            handler: self.handler.load(Ordering::Acquire),
            flags: self.flags.load(Ordering::Acquire),
            restorer: self.restorer.load(Ordering::Acquire),
            mask: self.mask.load(Ordering::Acquire),
        }
    }

    /// Ends it, if it is still the one with the stamp.
    fn remove(&self, stamp: u32) {
        let _ = self
            .stamp
            .compare_exchange(stamp, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

fn is_code(handler: usize) -> bool {
    handler != libc::SIG_DFL && handler != libc::SIG_IGN
}

/// Handlers of one signal that are remembered above the one from before the start. Of more, the last ones.
const LATER: usize = 8;

/// The stamp of the handler from before the start.
const BOTTOM: u32 = 1;

/// The host level's state for one signal.
#[derive(Debug)]
struct Level {
    below: Party,
    later: [Party; LATER],
    /// The last stamp that was given.
    last: AtomicU32,
    /// Index of the address under which the entry was installed last.
    alias: AtomicUsize,
    /// The last stamp when the entry was installed under each of these addresses.
    since: [AtomicU32; ALIASES],
}

static LEVELS: [Level; SYNCHRONOUS.len()] = [const {
    Level {
        below: Party::none(),
        later: [const { Party::none() }; LATER],
        last: AtomicU32::new(BOTTOM),
        alias: AtomicUsize::new(0),
        since: [const { AtomicU32::new(BOTTOM) }; ALIASES],
    }
}; SYNCHRONOUS.len()];

/// The handlers that a fault has visited: from the top down to the one with this stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visited(u32);

impl Visited {
    /// No party yet.
    pub(super) const NONE: Self = Self(u32::MAX);

    /// The high half of a mark in a context. The low half is the stamp.
    const MARK: u64 = 0x6d61_6368 << 32;

    /// Returns the mark for the context of the fault, which is put there before foreign code runs. The kernel clears that word in every new
    /// context: the mark ends with its fault, however that is left.
    pub(super) fn to_mark(self) -> u64 {
        Self::MARK | u64::from(self.0)
    }

    /// Reads the mark from the word in a context; `None` if there is none.
    pub(super) fn from_mark(word: u64) -> Option<Self> {
        (word & !u64::from(u32::MAX) == Self::MARK).then_some(Self(word as u32))
    }
}

/// Action of the host level for a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostAction {
    Default,
    Ignore,
    Handler(Handler),
}

/// Entry conditions of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handler {
    pub(super) address: usize,
    /// Signals blocked while it runs, in addition to those already blocked.
    pub(super) mask: Mask,
    /// `SA_ONSTACK`.
    pub(super) on_alternate_stack: bool,
    /// `SA_RESETHAND`.
    pub(super) once: bool,
}

/// Whose dispositions a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The process's that the emulation was started in.
    Own,
    /// A child's, which may share the memory: nothing is noted.
    Child,
}

/// Returns what a signal does next that visited so much, and what it has visited then. `SA_RESETHAND` is honoured: the next signal gets the
/// default.
///
/// `called`: by a handler that the system has installed above the entry, and that is not visited again.
pub(super) fn take_action(
    signal: i32,
    visited: Visited,
    called: bool,
    whose: Whose,
) -> (HostAction, Visited) {
    let Some(level) = index(signal).map(|index| &LEVELS[index]) else {
        return (HostAction::Default, Visited(BOTTOM));
    };
    let mut below = visited.0;
    let mut above = 0;
    if visited == Visited::NONE
        && level
            .later
            .iter()
            .any(|party| party.stamp.load(Ordering::Acquire) != 0)
    {
        match disposition::read(signal) {
            Some(Installed::Entry { alias, .. }) if whose == Whose::Child => {
                below = level.since[alias].load(Ordering::Acquire).saturating_add(1);
            }
            Some(Installed::Entry { alias, intact }) => settle(signal, level, alias, intact),
            Some(Installed::Other(action)) if called => above = action.handler,
            _ => {}
        }
    }
    loop {
        let Some((party, stamp)) = level.next(below) else {
            return (HostAction::Default, Visited(BOTTOM));
        };
        below = stamp;
        let action = party.action(signal);
        // Changed meanwhile: it is another one.
        if party.stamp.load(Ordering::Acquire) != stamp {
            continue;
        }
        if let HostAction::Handler(handler) = action {
            if handler.address == above {
                continue;
            }
            if !party.code.is_at(handler.address) {
                if whose == Whose::Own && stamp != BOTTOM {
                    party.remove(stamp);
                }
                continue;
            }
            if handler.once && whose == Whose::Own {
                party.handler.store(libc::SIG_DFL, Ordering::Release);
            }
        }
        return (action, Visited(stamp));
    }
}

/// Returns whether a signal would reach a handler.
pub(super) fn is_handled(signal: i32) -> bool {
    let level = index(signal).map(|index| &LEVELS[index]);
    level
        .and_then(|level| level.next(u32::MAX))
        .is_some_and(|(party, _)| matches!(party.action(signal), HostAction::Handler(_)))
}

impl Level {
    /// Returns the uppermost party below a stamp.
    fn next(&self, below: u32) -> Option<(&Party, u32)> {
        core::iter::once(&self.below)
            .chain(&self.later)
            .map(|party| (party, party.stamp.load(Ordering::Acquire)))
            .filter(|(_, stamp)| *stamp != 0 && *stamp < below)
            .max_by_key(|(_, stamp)| *stamp)
    }
}

impl Party {
    fn action(&self, signal: i32) -> HostAction {
        HostAction::of(&self.installed(), signal)
    }
}

impl HostAction {
    /// Returns what the system would do with a signal.
    fn of(action: &Action, signal: i32) -> Self {
        match action.handler {
            libc::SIG_DFL => Self::Default,
            libc::SIG_IGN => Self::Ignore,
            address => {
                let mut blocked = action.mask;
                if action.flags & libc::SA_NODEFER as usize == 0 {
                    blocked |= mask::bit(signal);
                }
                Self::Handler(Handler {
                    address,
                    mask: blocked,
                    on_alternate_stack: action.flags & libc::SA_ONSTACK as usize != 0,
                    once: action.flags & libc::SA_RESETHAND as u32 as usize != 0,
                })
            }
        }
    }
}

/// Returns the action that another component has installed over the entry; `None` if the entry is installed.
pub(super) fn action_above(signal: i32) -> Option<HostAction> {
    match disposition::read(signal)? {
        Installed::Other(action) => Some(HostAction::of(&action, signal)),
        Installed::Entry { .. } => None,
    }
}

/// Installs the entry for the five signals, where it is not yet, and keeps what was there. Fails with the error number if the host refuses
/// one of them.
pub(in crate::host) fn install() -> Result<(), i32> {
    for (signal, level) in SYNCHRONOUS.into_iter().zip(&LEVELS) {
        let Installed::Other(current) = disposition::read_first(signal)? else {
            continue;
        };
        if !level.is_known() {
            level.below.store(&current, BOTTOM);
            disposition::arm_first(signal, 0).inspect_err(|_| level.forget())?;
        } else {
            // It stayed at a stop, and may chain to the entry.
            level.add(&current);
            let alias = level.next_alias();
            put_in_place(signal, level, alias, Some(current));
        }
    }
    Ok(())
}

/// Returns whether the entry is installed, or a handler that was installed over it may chain to it.
pub(in crate::host) fn may_be_entered() -> bool {
    LEVELS.iter().any(Level::is_known)
}

/// Puts back what the entry replaced, for each of the five signals that it is still installed for. Returns those that another handler is
/// installed for: it stays, and what the entry knows of the signal, too, since that handler may chain.
pub(in crate::host) fn uninstall() -> Vec<i32> {
    let mut displaced = Vec::new();
    // Probed copies, which need the entry, find out whether a handler is still there.
    let found = SYNCHRONOUS.map(|signal| match (disposition::read(signal), index(signal)) {
        (Some(Installed::Entry { alias, intact }), Some(index)) => {
            settle(signal, &LEVELS[index], alias, intact);
            Some(LEVELS[index].uppermost())
        }
        _ => None,
    });
    for ((signal, level), found) in SYNCHRONOUS.into_iter().zip(&LEVELS).zip(found) {
        let Some((action, stamp)) = found else {
            // Where it is not known, the start did not get that far.
            if level.is_known() {
                displaced.push(signal);
            }
            continue;
        };
        match disposition::install(signal, &action) {
            // Refused: the entry stays.
            None => displaced.push(signal),
            Some(Installed::Other(newcomer)) => {
                // Installed this moment.
                disposition::install(signal, &newcomer);
                displaced.push(signal);
            }
            // It was installed over the entry once, and may chain to it.
            _ if stamp != BOTTOM => displaced.push(signal),
            _ => level.forget(),
        }
    }
    displaced
}

/// Returns the signals whose handler was replaced after the start, or whose flags or mask were changed.
pub(crate) fn displaced() -> impl Iterator<Item = i32> {
    SYNCHRONOUS.into_iter().filter(|signal| {
        !matches!(
            disposition::read(*signal),
            None | Some(Installed::Entry { intact: true, .. })
        )
    })
}

static TAKES_BACK: AtomicBool = AtomicBool::new(false);

pub(in crate::host) fn set_policy(policy: WhenDisplaced) {
    TAKES_BACK.store(policy == WhenDisplaced::TakeBack, Ordering::Relaxed);
}

/// Number of times that the entry was found with other flags or another mask.
static CHANGED: AtomicU32 = AtomicU32::new(0);

/// Returns the number of times that another component had changed the flags or the mask of the emulation's handler. The emulation restored them.
pub(crate) fn changed() -> u32 {
    CHANGED.load(Ordering::Relaxed)
}

/// Looks at the five signals: puts the entry's flags and masks right, forgets handlers that have left, and applies the policy about
/// handlers that were installed later.
pub(in crate::host) fn look() {
    for (signal, level) in SYNCHRONOUS.into_iter().zip(&LEVELS) {
        match disposition::read(signal) {
            Some(Installed::Entry { alias, intact }) => settle(signal, level, alias, intact),
            Some(Installed::Other(action)) if action.was_the_entry_once(signal) => {
                settle(signal, level, level.alias.load(Ordering::Acquire), false);
            }
            Some(Installed::Other(_)) if TAKES_BACK.load(Ordering::Relaxed) => {
                take_back(signal, level);
            }
            _ => {}
        }
    }
}

/// Installs the entry again for signals that the program has given their default action, which is the fallback's from here on.
pub(super) fn take_defaults() {
    for (signal, level) in SYNCHRONOUS.into_iter().zip(&LEVELS) {
        match disposition::read(signal) {
            Some(Installed::Other(action)) if action.handler == libc::SIG_DFL => {}
            _ => continue,
        }
        for party in &level.later {
            party.stamp.store(0, Ordering::Release);
        }
        level.below.store(&Action::default(), BOTTOM);
        disposition::arm(signal, level.alias.load(Ordering::Acquire));
    }
}

/// Does the work of [`look`] in a fault, for a signal that entered the entry with flags that are not the entry's.
pub(super) fn look_in_fault(signal: i32) {
    if let (Some(Installed::Other(action)), Some(index)) =
        (disposition::read(signal), index(signal))
    {
        if action.has_fired_once() {
            let alias = LEVELS[index].alias.load(Ordering::Acquire);
            settle(signal, &LEVELS[index], alias, false);
        }
    }
    look();
}

/// The entry is installed under one of its addresses. If that is not the one that it was installed under last, another component put it
/// back, and what was installed since is off.
fn settle(signal: i32, level: &Level, alias: usize, intact: bool) {
    if alias != level.alias.load(Ordering::Acquire) {
        let since = level.since[alias].load(Ordering::Acquire);
        for party in &level.later {
            let stamp = party.stamp.load(Ordering::Acquire);
            if stamp > since {
                party.remove(stamp);
            }
        }
        level.alias.store(alias, Ordering::Release);
    }
    if !intact {
        CHANGED.fetch_add(1, Ordering::Relaxed);
        put_in_place(signal, level, alias, None);
    }
}

/// Installs the entry, where a handler is installed that is dealt with already. Another one, installed this moment, is treated as the
/// policy says.
fn put_in_place(signal: i32, level: &Level, mut alias: usize, mut replaced: Option<Action>) {
    // Each round a handler was installed between two system calls.
    for _ in 0..LATER {
        let Some(Installed::Other(newcomer)) = disposition::arm(signal, alias) else {
            return;
        };
        if Some(newcomer) == replaced || newcomer.has_fired_once() {
            return;
        }
        if !TAKES_BACK.load(Ordering::Relaxed) {
            disposition::install(signal, &newcomer);
            return;
        }
        // A component that finds the entry from here on finds it above the newcomer.
        level.add(&newcomer);
        alias = level.next_alias();
        replaced = Some(newcomer);
    }
}

/// Replaces a handler that was installed after the start. It becomes the uppermost party of the signal fallback: it runs for faults that
/// no exception handler wants, and what it chains to, the emulation included, does not run a second time.
fn take_back(signal: i32, level: &Level) {
    static BUSY: AtomicBool = AtomicBool::new(false);
    if BUSY.swap(true, Ordering::Acquire) {
        // Another thread does it.
        return;
    }
    if let Some(Installed::Other(current)) = disposition::read(signal) {
        level.add(&current);
        let alias = level.next_alias();
        // A refusal leaves things as they are: the later handler runs first.
        put_in_place(signal, level, alias, Some(current));
    }
    BUSY.store(false, Ordering::Release);
}

impl Level {
    /// Returns the action that would be installed without the emulation: the uppermost handler that is still there, with its stamp.
    fn uppermost(&self) -> (Action, u32) {
        let mut below = u32::MAX;
        while let Some((party, stamp)) = self.next(below) {
            let action = party.installed();
            if !is_code(action.handler) || party.code.is_at(action.handler) {
                return (action, stamp);
            }
            below = stamp;
        }
        (Action::default(), BOTTOM)
    }

    /// Returns whether the entry was installed for the signal, and may still be called.
    fn is_known(&self) -> bool {
        self.below.stamp.load(Ordering::Acquire) != 0
    }

    /// Forgets everything, when the entry is not installed any more.
    fn forget(&self) {
        for party in core::iter::once(&self.below).chain(&self.later) {
            party.stamp.store(0, Ordering::Release);
        }
        self.last.store(BOTTOM, Ordering::Release);
        self.alias.store(0, Ordering::Release);
        for since in &self.since {
            since.store(BOTTOM, Ordering::Release);
        }
    }

    /// Returns the address under which to install the entry above all parties.
    fn next_alias(&self) -> usize {
        let alias = (self.alias.load(Ordering::Acquire) + 1) % ALIASES;
        let last = self.last.load(Ordering::Acquire);
        self.since[alias].store(last, Ordering::Release);
        self.alias.store(alias, Ordering::Release);
        alias
    }

    /// Adds a party at the top. One that is there already moves.
    fn add(&self, action: &Action) {
        for party in &self.later {
            let stamp = party.stamp.load(Ordering::Acquire);
            if stamp != 0 && party.handler.load(Ordering::Acquire) == action.handler {
                party.remove(stamp);
            }
        }
        let stamp = self.last.fetch_add(1, Ordering::AcqRel) + 1;
        // A free place has stamp 0.
        let lowest = |party: &&Party| party.stamp.load(Ordering::Acquire);
        if let Some(place) = self.later.iter().min_by_key(lowest) {
            place.store(action, stamp);
        }
    }
}
