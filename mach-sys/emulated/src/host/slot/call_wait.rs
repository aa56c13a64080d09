//! A thread's wait in a kernel call: what suspends a thread must not end the wait, an abort must, and what the call holds is not lost with a
//! thread that is terminated in it.

use super::header::Header;
use super::inside;
use super::region::{Slot, SlotId};
use super::suspension::Waits;

/// The calling thread's wait in a kernel call, from before the kernel's lock is given back.
#[derive(Debug)]
pub(crate) struct CallWait {
    header: Option<&'static Header>,
    /// The wait that a signal handler interrupted, which makes this call, and whether it was aborted.
    outer: (Waits, bool),
    arrivals: u32,
}

/// An event that reached the thread during its wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Nothing,
    /// The suspension signal arrived: the system ended its wait, and none of the program's handlers ran.
    Suspended,
    /// Another thread aborted the wait (A8.2).
    Aborted,
}

impl CallWait {
    /// Begins a wait for an object. Called under the kernel's lock.
    pub(crate) fn begin(waits: Waits) -> Self {
        let header = inside::slot().map(Slot::header);
        Self {
            header,
            outer: header.map_or_else(Default::default, |header| {
                header.suspension.begin_wait(waits)
            }),
            arrivals: header.map_or(0, |header| header.suspension.arrivals()),
        }
    }

    /// Ends the wait, under the kernel's lock.
    pub(crate) fn end(self) -> Meanwhile {
        let Some(header) = self.header else {
            return Meanwhile::Nothing;
        };
        // What is dropped at the end of this function ends it.
        if header.suspension.is_aborted() {
            return Meanwhile::Aborted;
        }
        match header.suspension.arrivals() == self.arrivals {
            true => Meanwhile::Nothing,
            false => Meanwhile::Suspended,
        }
    }
}

impl Drop for CallWait {
    /// A signal handler may end its thread by unwinding, which drops what the call holds: then none of it is [abandoned].
    fn drop(&mut self) {
        if let Some(header) = self.header {
            let (waits, aborted) = self.outer;
            header.suspension.set_waits(waits, aborted);
        }
    }
}

/// Takes the wait in which the thread of a slot ended, if it was in one. The thread is gone.
pub(crate) fn abandoned(slot: SlotId) -> Waits {
    let slot = Slot::of(slot);
    slot.map_or(Waits::default(), |slot| {
        slot.header().suspension.begin_wait(Waits::default()).0
    })
}
