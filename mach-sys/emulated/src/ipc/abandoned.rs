//! The things that a kernel call holds while it waits, and gives back if its thread is terminated there: a terminated thread runs no code, not even the
//! call's own (A8.4).
#![allow(unsafe_code)]

use super::port::PortKind;
use super::right;
use super::state::Ipc;
use super::waitq::WaitOn;
use crate::host::Waits;

/// The thing that a call holds while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// A reference on the object that it waits for.
    Reference,
    /// That, and a place among those that wait for a semaphore.
    Waiter,
    /// The message that it sends, by its buffer's identifier.
    Message(u32),
}

const REFERENCE: u32 = 0;
const WAITER: u32 = u32::MAX;

impl Holding {
    /// Returns the wait for an object.
    pub(super) fn in_wait_for(self, object: WaitOn) -> Waits {
        Waits {
            object: object.to_word(),
            holds: match self {
                Self::Reference => REFERENCE,
                Self::Waiter => WAITER,
                Self::Message(id) => id,
            },
        }
    }

    fn of(word: u32) -> Self {
        match word {
            REFERENCE => Self::Reference,
            WAITER => Self::Waiter,
            id => Self::Message(id),
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
        Holding::Waiter => {
            if let WaitOn::Port(port) = object {
                if let PortKind::Semaphore(semaphore) = &mut ipc.port_mut(port).kind {
                    semaphore.leave();
                }
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
