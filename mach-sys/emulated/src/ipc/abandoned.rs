//! The things that a kernel call holds while it waits, and gives back if its thread is terminated there: a terminated thread runs no code, not even the
//! call's own (A8.4).
#![allow(unsafe_code)]

use super::id::{Id, WaiterId};
use super::right;
use super::semaphore;
use super::state::Ipc;
use super::waitq::WaitOn;
use crate::host::Waits;

/// The thing that a call holds while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// A reference on the object that it waits for.
    Reference,
    /// That, and a place among those that wait for a semaphore.
    Waiter(WaiterId),
    /// The message that it sends, by its buffer's identifier.
    Message(u32),
}

const REFERENCE: u32 = 0;
/// The bit of a wait for a semaphore: identifiers of buffers and waits are below.
const WAITER: u32 = 1 << 31;

impl Holding {
    /// Returns the wait for an object.
    pub(super) fn in_wait_for(self, object: WaitOn) -> Waits {
        Waits {
            object: object.to_word(),
            holds: match self {
                Self::Reference => REFERENCE,
                Self::Waiter(waiter) => waiter.to_word() | WAITER,
                Self::Message(id) => id,
            },
        }
    }

    fn of(word: u32) -> Self {
        match (word, WaiterId::from_word(word & !WAITER)) {
            (REFERENCE, _) | (_, None) => Self::Reference,
            (_, Some(waiter)) if word & WAITER != 0 => Self::Waiter(waiter),
            (id, _) => Self::Message(id),
        }
    }

    /// Returns the wait for a semaphore that a thread's wait in a kernel call is; `None` if it is another one.
    pub(super) fn waiter_for(waits: Waits, semaphore: WaitOn) -> Option<WaiterId> {
        match Self::of(waits.holds) {
            Self::Waiter(waiter) if waits.object == semaphore.to_word() => Some(waiter),
            _ => None,
        }
    }
}

/// Gives back what a call held whose thread was terminated in its wait. A message that was not sent yet is destroyed.
///
/// # Safety
/// The thread is gone, and this is called once for its wait.
pub(crate) unsafe fn give_back(ipc: &mut Ipc<'_, '_>, waits: Waits) {
    let Some(object) = WaitOn::from_word(waits.object) else {
        return;
    };
    match Holding::of(waits.holds) {
        Holding::Reference => ipc.release(object),
        Holding::Waiter(waiter) => {
            if let WaitOn::Port(port) = object {
                semaphore::end_wait(ipc, port, waiter);
            }
            ipc.release(object);
        }
        Holding::Message(id) => {
            // SAFETY: the thread that owned the buffer is gone, and did not drop it: it waited with it.
            let message = unsafe { ipc.pool.reclaim(id) };
            right::destroy_message(ipc, message);
        }
    }
}
