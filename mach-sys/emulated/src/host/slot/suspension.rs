//! The words through which a thread is suspended and ended from outside.
//!
//! The kernel writes what it wants (`wanted`), under its lock. The thread looks there before each return to code of the program from the fault
//! handler, and says so while it is there (`out`). Both are written before the other is read, in one order for all threads: either the
//! thread sees what is wanted, or the thread that wants it sees that the thread is in the program's code, and sends the suspension signal.

use crate::host::sys::futex;
use crate::host::sys::mask::{self, How};
use crate::host::sys::sync::{AtomicU32, AtomicUsize, Ordering};
use crate::host::sys::thread::{gettid, send_signal};

/// A bit of [`Suspension::wanted`]: the thread waits while it is set (A8.5).
pub(in crate::host) const HOLD: u32 = 1;
/// A bit of [`Suspension::wanted`]: the thread ends (A8.4).
pub(in crate::host) const END: u32 = 2;

/// Value of [`Suspension::out`]: the thread runs code of the program, or is about to look.
const INSIDE: u32 = 0;
/// The thread is in its fault handler, and looks before it leaves.
const OUT: u32 = 1;
/// The suspension signal found the thread in a kernel call. It gets the signal again when it leaves.
const DUE: u32 = 2;

/// The object that a thread waits for in a kernel call, and what the call holds meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// The object, as a word; 0 for none.
    pub(crate) object: u32,
    /// The thing that the call holds, as a word of its own.
    pub(crate) holds: u32,
}

/// The words. Zero is their valid beginning.
#[derive(Debug)]
#[repr(C)]
pub(in crate::host) struct Suspension {
    /// [`HOLD`] and [`END`]. The suspended thread sleeps on it.
    wanted: AtomicU32,
    /// [`INSIDE`], [`OUT`] or [`DUE`]; the thread alone writes it.
    out: AtomicU32,
    /// Counts up when the thread leaves the program's code, or shows its registers, while something is wanted.
    event: AtomicU32,
    /// Number of times that the suspension signal arrived.
    arrivals: AtomicU32,
    /// 1 if the suspension signal was unblocked from outside: its handler blocks it again.
    reblock: AtomicU32,
    /// The object that the thread waits for in a kernel call; 0 for none. Changed under the kernel's lock.
    waits_for: AtomicU32,
    /// The thing that the call holds, as a word. Changed under the kernel's lock.
    holds: AtomicU32,
    /// 1 if that wait was aborted. Changed under the kernel's lock.
    aborted: AtomicU32,
    /// Address of the visitor that the next suspension signal calls, on the thread itself; 0 for none.
    pub(in crate::host) visitor: AtomicUsize,
}

impl Suspension {
    /// Creates one that is in no slot.
    #[cfg(loom)]
    pub(in crate::host) fn new() -> Self {
        let word = || AtomicU32::new(0);
        Self {
            wanted: word(),
            out: word(),
            event: word(),
            arrivals: word(),
            reblock: word(),
            waits_for: word(),
            holds: word(),
            aborted: word(),
            visitor: AtomicUsize::new(0),
        }
    }

    /// Clears the words for a new thread.
    pub(super) fn reset(&self) {
        self.wanted.store(0, Ordering::Relaxed);
        self.out.store(INSIDE, Ordering::Relaxed);
        self.reblock.store(0, Ordering::Relaxed);
        self.set_waits(Waits::default(), false);
        self.visitor.store(0, Ordering::Relaxed);
    }

    /// Returns what is wanted of the thread.
    pub(in crate::host) fn wanted(&self) -> u32 {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Says what is wanted, and wakes the thread if it sleeps.
    pub(in crate::host) fn want(&self, bits: u32) {
        if self.wanted.swap(bits, Ordering::SeqCst) != bits {
            futex::wake(&self.wanted, u32::MAX);
        }
    }

    /// Waits until something else than `seen` is wanted, on the thread itself.
    pub(in crate::host) fn sleep(&self, seen: u32) {
        futex::wait(&self.wanted, seen, None);
    }

    /// Notes that the thread, which calls this, looks at what is wanted before it runs code of the program.
    pub(in crate::host) fn leave_program(&self) {
        self.out.store(OUT, Ordering::SeqCst);
        self.tell();
    }

    /// Notes that the thread, which calls this, is about to run code of the program. Returns what is wanted.
    pub(in crate::host) fn enter_program(&self) -> u32 {
        self.out.store(INSIDE, Ordering::SeqCst);
        self.wanted()
    }

    /// Notes that the suspension signal found the thread in a kernel call.
    pub(in crate::host) fn defer(&self) {
        self.out.store(DUE, Ordering::SeqCst);
        self.tell();
    }

    /// Returns whether that is so, on the thread itself.
    pub(super) fn is_due(&self) -> bool {
        self.out.load(Ordering::Relaxed) == DUE
    }

    /// Wakes the threads that wait for this one, if something is wanted of it.
    pub(in crate::host) fn tell(&self) {
        if self.wanted() != 0 {
            self.event.fetch_add(1, Ordering::SeqCst);
            futex::wake(&self.event, u32::MAX);
        }
    }

    /// Returns whether the thread is out of the program's code, and looks before it returns there.
    pub(in crate::host) fn is_out(&self) -> bool {
        self.out.load(Ordering::SeqCst) != INSIDE
    }

    /// Returns the word that changes with each event.
    pub(in crate::host) fn event(&self) -> &AtomicU32 {
        &self.event
    }

    /// Notes that the thread, which calls this, waits for an object. Returns the wait that a signal handler interrupted, which makes the call,
    /// and whether that was aborted.
    pub(super) fn begin_wait(&self, waits: Waits) -> (Waits, bool) {
        let outer = (self.waits(), self.is_aborted());
        self.set_waits(waits, false);
        outer
    }

    /// Returns whether the thread's wait was aborted.
    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed) != 0
    }

    /// Notes the thread's wait, and whether it was aborted.
    pub(super) fn set_waits(&self, waits: Waits, aborted: bool) {
        self.waits_for.store(waits.object, Ordering::Relaxed);
        self.holds.store(waits.holds, Ordering::Relaxed);
        self.aborted.store(u32::from(aborted), Ordering::Relaxed);
    }

    /// Returns the thread's wait in a kernel call.
    pub(in crate::host) fn waits(&self) -> Waits {
        Waits {
            object: self.waits_for.load(Ordering::Relaxed),
            holds: self.holds.load(Ordering::Relaxed),
        }
    }

    /// Aborts the thread's wait. Returns the object that it waits for; 0 for none.
    pub(in crate::host) fn abort_wait(&self) -> u32 {
        let object = self.waits_for.load(Ordering::Relaxed);
        if object != 0 {
            self.aborted.store(1, Ordering::Relaxed);
        }
        object
    }

    /// Notes whether the suspension signal is about to be unblocked from outside.
    pub(in crate::host) fn set_reblock(&self, reblock: bool) {
        self.reblock.store(u32::from(reblock), Ordering::SeqCst);
    }

    /// Notes that the suspension signal arrived. Returns whether it is to be blocked again.
    pub(in crate::host) fn note_arrival(&self) -> bool {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        self.reblock.swap(0, Ordering::SeqCst) != 0
    }

    /// Returns how often the suspension signal arrived.
    pub(in crate::host) fn arrivals(&self) -> u32 {
        self.arrivals.load(Ordering::Relaxed)
    }
}

/// Has the suspension signal delivered to the calling thread, now, whatever it has blocked. Returns when nothing is wanted of it any more;
/// `false` if the system refuses to send it.
pub(in crate::host) fn deliver_now() -> bool {
    let sent = send_signal(gettid(), mask::suspension()) == 0;
    let before = mask::change(How::Unblock, mask::suspension_mask());
    mask::change(How::Set, before);
    sent
}
