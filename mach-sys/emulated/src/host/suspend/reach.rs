//! The other side: asks a thread to stop, and waits until it has, is gone, or cannot be reached (G4.2, G4.6).

use super::patience::Patience;
use super::{signal, tracer};
use crate::host::slot::identity::Identity;
use crate::host::slot::region::{Slot, SlotId};
use crate::host::slot::suspension::{END, HOLD, Waits};
use crate::host::sys::thread::{exists, gettid, send_signal};
use crate::host::sys::{futex, mask, task_stat, task_status};
use core::sync::atomic::Ordering;
use core::time::Duration;

/// Time that a thread may take until it has stopped. A computing thread takes microseconds; on a busy machine it first gets its turn.
const DEADLINE: Duration = Duration::from_secs(10);
/// Number of looks at a thread that runs or sleeps with the suspension signal blocked before it counts as one that does so for good: C libraries block
/// all signals for moments, around `fork` and the creation of threads, and so do the emulation's handlers. A thread that only waits for its
/// turn on a processor does not count.
const BLOCKED: u32 = 40;
/// Number of such looks after which a tracer is tried.
const TRACED: u32 = 4;
/// Number of looks after which the signal is sent again: a handler that found the thread busy used it up.
const AGAIN: u32 = 20;
/// Time that a thread that has announced its end may take to end.
const EXITING: Duration = Duration::from_millis(50);
/// Time between two looks at a thread that does not answer.
const LOOK: Duration = Duration::from_millis(5);

/// The reason why a thread could not be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// There is no suspension signal, or another component installed a handler for it.
    Displaced,
    /// The thread has it blocked.
    Blocked,
    /// The system refuses to send it.
    Refused,
    /// The thread did not get there in time.
    TimedOut,
}

/// Result of an attempt to stop a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It runs no code of the program until nothing is wanted of it any more.
    Stopped,
    /// It has ended, or is past its last code of the program.
    Gone,
    Unreachable(Unreachable),
}

/// Request to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    Hold,
    End,
}

/// A thread that was asked to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    slot: Slot,
    owner: Identity,
}

impl Target {
    /// Returns the thread that has a slot. Called under the kernel's lock, so that the slot is that thread's.
    pub(crate) fn of(slot: SlotId) -> Option<Self> {
        let slot = Slot::of(slot)?;
        let owner = slot.header().owner();
        (owner != Identity::NONE).then_some(Self { slot, owner })
    }

    /// Returns the thread's identifier.
    pub(crate) fn thread_id(&self) -> u64 {
        self.owner.bits()
    }

    /// Returns whether it is the calling thread.
    pub(crate) fn is_this_thread(&self) -> bool {
        self.owner.tid() == gettid()
    }

    /// Says what is wanted of the thread. Called under the kernel's lock.
    pub(crate) fn want(&self, wanted: Wanted) {
        let bits = match wanted {
            Wanted::Nothing => 0,
            Wanted::Hold => HOLD,
            Wanted::End => END,
        };
        self.slot.header().suspension.want(bits);
    }

    /// Aborts the thread's wait in a kernel call. Returns the object that it waits for; 0 for none. Called under the kernel's lock; the caller wakes
    /// the threads that wait for the object.
    pub(crate) fn abort_wait(&self) -> u32 {
        self.slot.header().suspension.abort_wait()
    }

    /// Returns the thread's wait in a kernel call. Called under the kernel's lock.
    pub(crate) fn waits(&self) -> Waits {
        self.slot.header().suspension.waits()
    }

    /// Sends the suspension signal, unless the thread looks by itself. [`wait`](Self::wait) is to follow.
    pub(crate) fn ask(&self) -> Result<(), Unreachable> {
        if self.slot.header().suspension.is_out() {
            return Ok(());
        }
        if task_status::waits_for_signals(self.owner.tid()) && self.trace().is_ok() {
            // `sigwait` would have returned the signal.
            return Ok(());
        }
        self.poke()
    }

    /// Has the suspension signal delivered by a tracer, whatever the thread has blocked.
    fn trace(&self) -> Result<(), tracer::Refused> {
        let suspension = &self.slot.header().suspension;
        let tid = self.owner.tid();
        let blocked = task_status::blocks(tid, mask::suspension()) == Some(true)
            || task_status::waits_for_signals(tid);
        suspension.set_reblock(blocked);
        tracer::deliver(tid).inspect_err(|_| suspension.set_reblock(false))
    }

    /// Sends the suspension signal.
    pub(crate) fn poke(&self) -> Result<(), Unreachable> {
        if !signal::is_intact() {
            return Err(Unreachable::Displaced);
        }
        let sent = send_signal(self.owner.tid(), mask::suspension());
        if sent == 0 || sent == -(libc::ESRCH as isize) {
            return Ok(());
        }
        Err(Unreachable::Refused)
    }

    /// Waits until the thread has stopped, has ended, or cannot be reached.
    pub(crate) fn wait(&self) -> Reached {
        let header = self.slot.header();
        let suspension = &header.suspension;
        let mut patience = Patience::begin();
        let (mut all, mut looks, mut ran) = (0_u32, 0, 0);
        loop {
            let event = suspension.event().load(Ordering::SeqCst);
            if header.owner() != self.owner {
                return Reached::Gone;
            }
            if suspension.is_out() {
                return Reached::Stopped;
            }
            futex::wait(suspension.event(), event, Some(LOOK));
            let waited = patience.waited();
            if waited < LOOK || suspension.is_out() {
                continue;
            }
            if exists(self.owner.tid()) == Some(false) {
                return Reached::Gone;
            }
            let is_blocked = task_status::blocks(self.owner.tid(), mask::suspension());
            if is_blocked == Some(true) {
                if waited > EXITING && header.exiting.load(Ordering::Acquire) {
                    return Reached::Gone;
                }
                let stat = task_stat::read(self.owner.tid());
                looks +=
                    u32::from(stat.is_some_and(|stat| stat.state != b'R' || stat.ran() != ran));
                ran = stat.map_or(0, |stat| stat.ran());
                if looks == TRACED {
                    // Where it is refused, the thread may still unblock the signal by itself.
                    let _ = self.trace();
                }
            }
            all += 1;
            if all % AGAIN == 0 {
                let _ = self.poke();
            }
            if looks > BLOCKED || waited > DEADLINE {
                return Reached::Unreachable(match is_blocked {
                    Some(true) => Unreachable::Blocked,
                    _ => Unreachable::TimedOut,
                });
            }
        }
    }

    /// Waits for an event of the thread: it may have shown its registers. Returns whether there is still time.
    pub(crate) fn wait_for_event(&self, patience: &mut Patience, seen: u32) -> bool {
        futex::wait(self.slot.header().suspension.event(), seen, Some(LOOK));
        patience.waited() < DEADLINE
    }

    /// Returns the number of the thread's last event, for [`wait_for_event`](Self::wait_for_event).
    pub(crate) fn event(&self) -> u32 {
        self.slot.header().suspension.event().load(Ordering::SeqCst)
    }
}
