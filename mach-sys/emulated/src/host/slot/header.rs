//! The record of a thread, at the end of its slot.

use super::identity::Identity;
use super::kept::HeldBack;
use super::suspension::Suspension;
use crate::host::sys::altstack::Stack;
use crate::host::sys::mask::Mask;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// State that the entry restores on its way to a previously installed handler. Its layout is the entry's.
#[derive(Debug)]
#[repr(C)]
pub(in crate::host) struct Restore {
    pub(in crate::host) stack: Cell<Stack>,
    pub(in crate::host) mask: Cell<Mask>,
}

/// Type and codes of an exception (A12.14); 0 for none. Nothing but the thread's next one changes them.
#[derive(Debug)]
pub(in crate::host) struct Stored {
    exception: Cell<i32>,
    codes: Cell<[i64; 2]>,
}

impl Stored {
    pub(in crate::host) fn set(&self, exception: i32, codes: [i64; 2]) {
        self.exception.set(exception);
        self.codes.set(codes);
    }

    pub(in crate::host) fn get(&self) -> (i32, [i64; 2]) {
        (self.exception.get(), self.codes.get())
    }
}

/// A bit of [`Header::lets_through`] beside those of signals: that of one which the C library keeps to itself.
pub(in crate::host) const WAITS: Mask = 1 << 31;

/// A thread's record. The cells are touched by the slot's own thread only; zero is a valid value of everything.
#[derive(Debug)]
#[repr(C)]
pub(in crate::host) struct Header {
    pub(in crate::host) restore: Restore,
    /// True while the thread is in its fault handler, which alone touches this.
    pub(in crate::host) serving: Cell<bool>,
    /// Distance in bytes between the served frame and its copy; 0 if it was not copied when the handler changed stacks.
    pub(in crate::host) copied: Cell<usize>,
    /// True if a signal started over that frame.
    pub(in crate::host) overwritten: Cell<bool>,
    /// Depth of the thread's kernel calls. Above 0, it may hold the kernel's lock.
    pub(in crate::host) depth: AtomicU32,
    /// Signals that were sent while the thread was in the kernel or in its fault handler.
    pub(in crate::host) held_back: HeldBack,
    /// The owner's identity; 0 while the slot is free.
    owner: AtomicU64,
    /// True if the thread's thread-specific key is armed, so that its end is announced.
    pub(in crate::host) announces: AtomicBool,
    /// Set in the last pass of the thread's destructors.
    pub(in crate::host) exiting: AtomicBool,
    /// `pthread_self()`, once the thread registered.
    pub(in crate::host) pthread: AtomicU64,
    /// Address of the thread-local word with the thread's identity, once it registered. The C library clears the word for the next thread.
    pub(in crate::host) word_at: AtomicUsize,
    /// The thread's pointer to its thread-local memory, once it registered.
    pub(in crate::host) thread_pointer: Cell<usize>,
    /// Time of its registration, in the system's clock ticks.
    pub(in crate::host) registered: AtomicU64,
    /// Start time of a thread that was only seen in a fault, in the system's clock ticks; 0 if it is unknown.
    pub(in crate::host) started: Cell<u64>,
    /// Time of the last comparison with it, in milliseconds of a clock that does not step.
    pub(in crate::host) compared: Cell<u64>,
    /// Number of times that the thread became or ceased to be a server's. Odd while it is one.
    served: AtomicU32,
    /// The signals that the code lets through that the thread's fault handler interrupted, while that waits for an answer, with [`WAITS`]; 0 otherwise.
    pub(in crate::host) lets_through: AtomicU64,
    /// True if the lent stack is registered as the thread's, or was at the last look.
    pub(in crate::host) has_lent: AtomicBool,
    /// Number of current preparations for faults of the thread.
    pub(in crate::host) readied: AtomicU32,
    /// True if the thread left its last fault with the lent stack registered.
    pub(in crate::host) lent: Cell<bool>,
    /// True if the suspension signal is pending, and comes when the handler that the thread left its last fault for returns.
    pub(in crate::host) looks_at_return: Cell<bool>,
    /// The last exception of the thread that became a signal.
    pub(in crate::host) stored: Stored,
    /// Requests of the kernel that the thread must serve before it runs code of the program again, and whether it has seen them.
    pub(in crate::host) suspension: Suspension,
}

impl Header {
    /// Returns the owner; [`Identity::NONE`] while the slot is free or being claimed.
    pub(in crate::host) fn owner(&self) -> Identity {
        Identity::from_bits(self.owner.load(Ordering::Acquire))
    }

    /// Names the owner. From here on the record is valid.
    pub(in crate::host) fn set_owner(&self, owner: Identity) {
        self.owner.store(owner.bits(), Ordering::Release);
    }

    /// Clears the record for a new owner. Marks of the fault handler or of the kernel call that is doing this stay: no thread ends in a
    /// kernel call, and one that ends in its fault handler [takes them back](Self::leave_for_good).
    pub(in crate::host) fn reset(&self) {
        self.announces.store(false, Ordering::Relaxed);
        self.exiting.store(false, Ordering::Relaxed);
        self.pthread.store(0, Ordering::Relaxed);
        self.word_at.store(0, Ordering::Relaxed);
        self.started.set(0);
        self.compared.set(0);
        self.lent.set(false);
        self.lets_through.store(0, Ordering::Relaxed);
        self.served.store(0, Ordering::Relaxed);
        self.has_lent.store(false, Ordering::Relaxed);
        self.readied.store(0, Ordering::Relaxed);
        self.looks_at_return.set(false);
        self.stored.set(0, [0; 2]);
        self.suspension.reset();
    }

    /// Takes back the marks of the fault handler, in which the calling thread ends: the next thread here would find them. With the five
    /// signals blocked.
    pub(in crate::host) fn leave_for_good(&self) {
        self.held_back.forget();
        self.overwritten.set(false);
        self.copied.set(0);
        self.serving.set(false);
    }

    /// Returns whether the thread waits in its fault handler for an answer.
    pub(in crate::host) fn is_waiting(&self) -> bool {
        self.lets_through.load(Ordering::Acquire) != 0
    }

    /// Notes whether the thread, which calls this, is a server's.
    pub(in crate::host) fn note_serving(&self, serves: bool) {
        let served = self.served.load(Ordering::Relaxed);
        if (served % 2 == 1) != serves {
            self.served.store(served.wrapping_add(1), Ordering::Release);
        }
    }

    /// Returns a number that is odd if the thread is a server's, and that changes whenever that does.
    pub(in crate::host) fn served(&self) -> u32 {
        self.served.load(Ordering::Acquire)
    }

    /// Returns whether the thread is in the kernel, where it may hold the lock.
    pub(in crate::host) fn is_in_kernel(&self) -> bool {
        self.depth.load(Ordering::Relaxed) != 0
    }
}
