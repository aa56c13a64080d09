//! A thread knows that it is in the kernel.
//!
//! While it holds the emulated kernel's lock, and until it has woken the threads that its operation concerns, a thread has all signals but the
//! five of its own faults blocked, and a depth above 0 in its header. A signal of the five that arrives above 0 is never served: sent
//! ones are held back, single steps are carried past, and a fault ends the process.

use super::header::Header;
use super::held;
use super::identity::Identity;
use super::origin;
use super::region::{Slot, SlotId};
use super::suspension;
use crate::host::sys::mask::{self, ASYNCHRONOUS_MASK, COPY_MASK, How, Mask, SYNCHRONOUS_MASK};
use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::{Ordering, compiler_fence};

/// A thread's own state. It has no destructor, and the C library initialises it: a look costs nothing, and a new thread
/// finds it cleared. For ordinary calls only: the fault handler touches no thread-local.
struct This {
    /// Its identity, once it registered. The thread's header has the address of this word.
    word: Cell<u64>,
    /// Its slot's index plus one.
    slot: Cell<u32>,
    /// Number of stops of the emulation before it registered.
    stops: Cell<u32>,
    /// True if it has the asynchronous signals blocked until it unblocks them itself.
    blocked_for_good: Cell<bool>,
    /// True if it ever had: it is or was a server's thread.
    serves: Cell<bool>,
    /// Number of the [`Group`] that its kernel calls are, from 1 on; 0 while they are none.
    group: Cell<u64>,
    /// Number of groups so far.
    groups: Cell<u64>,
    /// The signals that were blocked for the group.
    blocked_for_group: Cell<Mask>,
    /// True while it starts the emulation, or waits for another thread that does.
    starting: Cell<bool>,
}

impl This {
    fn is_grouped(&self) -> bool {
        self.group.get() != 0
    }

    /// Returns whether the thread has the asynchronous signals blocked, for good or for a group of calls.
    fn has_blocked(&self) -> bool {
        self.blocked_for_good.get() || self.is_grouped()
    }
}

thread_local! {
    static THIS: This = const {
        This {
            word: Cell::new(0),
            slot: Cell::new(0),
            stops: Cell::new(0),
            blocked_for_good: Cell::new(false),
            serves: Cell::new(false),
            group: Cell::new(0),
            groups: Cell::new(0),
            blocked_for_group: Cell::new(0),
            starting: Cell::new(false),
        }
    };
}

/// Returns the calling thread's slot, if it registered.
pub(in crate::host) fn slot() -> Option<Slot> {
    let (slot, stops) = THIS.with(|this| (this.slot.get(), this.stops.get()));
    let index = slot.checked_sub(1)?;
    if stops != origin::stops() {
        return None;
    }
    Slot::of(super::region::from_index(index as usize)?)
}

/// Returns whether the calling thread registered.
#[inline]
pub(in crate::host) fn is_registered() -> bool {
    let (slot, stops) = THIS.with(|this| (this.slot.get(), this.stops.get()));
    slot != 0 && stops == origin::stops()
}

/// Returns the calling thread's identity, if it registered.
pub(in crate::host) fn identity() -> Option<Identity> {
    let (bits, stops) = THIS.with(|this| (this.word.get(), this.stops.get()));
    (bits != 0 && stops == origin::stops()).then_some(Identity::from_bits(bits))
}

/// Notes the calling thread's slot and identity, and returns the address of the word that holds the identity.
pub(in crate::host) fn note(slot: SlotId, identity: Identity) -> usize {
    THIS.with(|this| {
        this.word.set(identity.bits());
        this.slot.set(slot.index() as u32 + 1);
        this.stops.set(origin::stops());
        this.word.as_ptr() as usize
    })
}

/// Notes in the calling thread's header whether it is a server's thread at the moment.
fn note_serving(serves: bool) {
    if let Some(slot) = slot() {
        slot.header().note_serving(serves);
    }
}

/// Returns whether the calling thread is a server's, in user code or not.
pub(in crate::host) fn ever_served() -> bool {
    THIS.with(|this| this.serves.get())
}

/// Returns whether the calling thread is a server's at the moment.
pub(in crate::host) fn is_serving() -> bool {
    THIS.with(|this| this.blocked_for_good.get())
}

/// The calling thread is in the kernel until this is dropped. Where the asynchronous signals are blocked for good it costs no system
/// call. A thread without a slot has no depth: none can fault usefully before the host layer is started, and afterwards each kernel
/// call registers its thread first.
#[derive(Debug)]
pub(crate) struct InKernel {
    header: Option<&'static Header>,
    before: Option<Mask>,
}

impl InKernel {
    pub(crate) fn enter() -> Self {
        Self::with(slot().map(Slot::header))
    }

    /// Runs something in the kernel that is not to be left half done: where the thread is suspended or ended, it stops afterwards.
    pub(crate) fn during<T>(action: impl FnOnce() -> T) -> T {
        let _inside = Self::enter();
        action()
    }

    /// Enters as [`enter`](Self::enter) does, for a thread that has not registered, with the header of the slot that its identifier found.
    pub(in crate::host) fn on(header: &'static Header) -> Self {
        Self::with(Some(header))
    }

    fn with(header: Option<&'static Header>) -> Self {
        let blocked = THIS.with(This::has_blocked);
        // Blocked first, as they are unblocked last: a fault in a handler that runs before it is one of the program's, and is served.
        let before = (!blocked).then(|| mask::change(How::Block, ASYNCHRONOUS_MASK));
        if let Some(header) = header {
            // Only this thread and its own signal handlers look here: program order is all that matters.
            let depth = header.depth.load(Ordering::Relaxed);
            header.depth.store(depth.wrapping_add(1), Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
        }
        Self { header, before }
    }

    /// Returns what the thread had blocked when it entered. On a thread that blocked the asynchronous signals for good, or for a group of
    /// calls: nothing.
    pub(crate) fn outer(&self) -> Mask {
        self.before.unwrap_or(0)
    }

    /// Returns which signals of a probed copy the thread had blocked when it entered. On a thread that blocked the asynchronous signals
    /// for good, and then no system call looked: none. In a group none is blocked, but in a handler of one of the five.
    pub(crate) fn blocked(&self) -> Blocked {
        Blocked(self.before.unwrap_or(0) & COPY_MASK)
    }
}

/// The signals of a probed copy that a thread has blocked, as libraries advise for workers, and as signal handlers may have: there a
/// copy of bad memory would kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked(Mask);

impl Blocked {
    /// None of them is blocked.
    pub(crate) const NONE: Self = Self(0);

    /// Runs probed copies with the signals unblocked. Costs nothing where none is blocked. One that is sent meanwhile, or pends, is held
    /// back, and pends again afterwards.
    #[inline]
    pub(crate) fn around<R>(self, copies: impl FnOnce() -> R) -> R {
        match self {
            Self::NONE => copies(),
            Self(mask) => unblocked(mask, copies),
        }
    }
}

#[cold]
fn unblocked<R>(mask: Mask, copies: impl FnOnce() -> R) -> R {
    let _inside = InKernel::enter();
    mask::change(How::Unblock, mask);
    let outcome = copies();
    mask::change(How::Block, mask);
    outcome
}

impl Drop for InKernel {
    fn drop(&mut self) {
        let mut left = None;
        if let Some(header) = self.header {
            compiler_fence(Ordering::SeqCst);
            let depth = header.depth.load(Ordering::Relaxed).wrapping_sub(1);
            header.depth.store(depth, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            left = (depth == 0).then_some(header);
        }
        if let Some(before) = self.before {
            mask::change(How::Set, before);
        }
        if let Some(header) = left {
            if header.suspension.is_due() {
                suspension::deliver_now();
            }
            held::raise_now(header);
        }
    }
}

/// Returns whether the calling process is not the one that the emulation was started in, for a kernel call. One system call, but on a
/// server's thread and in a group of calls, which make no child that shares their memory and makes kernel calls.
pub(crate) fn is_child() -> bool {
    match THIS.with(|this| this.serves.get() || this.is_grouped()) {
        true => origin::is_copy(),
        false => origin::is_child(),
    }
}

/// Kernel calls of the calling thread that are made as a group, until this is dropped: the asynchronous signals are blocked once, and whether
/// this is the emulation's process is asked once, not for each call. It ends before where the thread's mask is changed for longer:
/// [`end_group`].
#[derive(Debug)]
pub(crate) struct Group {
    /// Its number; 0 if the calls are made one by one, or belong to a group already.
    number: u64,
    /// It is about the thread that made it.
    not_send: PhantomData<*const ()>,
}

impl Group {
    /// Begins a group. The calls are made one by one on a thread that has one of the five signals blocked, where each call takes care of them,
    /// on a server's thread, in the child of a fork, and where the emulation was not started.
    pub(crate) fn begin() -> Self {
        Self {
            number: begin_group(),
            not_send: PhantomData,
        }
    }

    /// Ends it, unless it has ended.
    pub(crate) fn end(&mut self) {
        let number = core::mem::take(&mut self.number);
        if number != 0 && THIS.with(|this| this.group.get() == number) {
            end_group();
        }
    }
}

/// Returns whether the calling thread's kernel calls are a [`Group`].
pub(in crate::host) fn is_grouped() -> bool {
    THIS.with(This::is_grouped)
}

/// Ends the calling thread's group, if its calls are one: they are made one by one from here on.
pub(in crate::host) fn end_group() {
    // Cleared first: from the first signal that arrives on, each call must block them itself.
    let (group, blocked) = THIS.with(|this| (this.group.replace(0), this.blocked_for_group.get()));
    if group != 0 {
        mask::change(How::Unblock, blocked);
    }
}

/// Blocks the signals for a group and begins it, if the calls are not made one by one. Returns its number; 0 for none.
fn begin_group() -> u64 {
    if THIS.with(This::has_blocked) || origin::process().is_none() || origin::is_child() {
        return 0;
    }
    // As on a server's thread, the suspension signal is not blocked: its handler leaves a thread alone that is in the kernel.
    let wanted = ASYNCHRONOUS_MASK & !mask::suspension_mask();
    let before = mask::change(How::Block, wanted);
    let blocked = wanted & !before;
    if before & SYNCHRONOUS_MASK != 0 {
        mask::change(How::Unblock, blocked);
        return 0;
    }
    THIS.with(|this| {
        let number = this.groups.get() + 1;
        this.groups.set(number);
        // The group first: a signal handler that makes a group in between would leave its own signals here.
        this.group.set(number);
        this.blocked_for_group.set(blocked);
        number
    })
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Blocks the asynchronous signals in the calling thread, until it ends or [`unblock`] is called. Returns the mask before, without the
/// five.
pub(crate) fn block_for_good() -> Mask {
    end_group();
    // The suspension signal is not blocked: its handler leaves a thread alone that is in the kernel.
    let blocked = ASYNCHRONOUS_MASK & !mask::suspension_mask();
    let before = mask::change(How::Set, blocked);
    THIS.with(|this| {
        this.blocked_for_good.set(true);
        this.serves.set(true);
    });
    note_serving(true);
    before & !SYNCHRONOUS_MASK
}

/// Ends [`block_for_good`] with a mask that it returned, and a group that began since.
pub(crate) fn unblock(outer: Mask) {
    note_serving(false);
    // Cleared first: from the first signal that arrives on, each call must block them itself.
    THIS.with(|this| {
        this.blocked_for_good.set(false);
        this.group.set(0);
    });
    mask::change(How::Set, outer);
}

/// The calling thread starts the emulation until this is dropped.
#[derive(Debug)]
pub(crate) struct Starting(());

impl Starting {
    /// `None` if the thread does already: a signal handler interrupted the start.
    pub(crate) fn begin() -> Option<Self> {
        let is_first = THIS.with(|this| !this.starting.replace(true));
        // Only the first ends it when it is dropped.
        is_first.then(|| Self(()))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        THIS.with(|this| this.starting.set(false));
    }
}
