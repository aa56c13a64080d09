//! The signal mask around the emulated kernel's lock.

use super::sys::{How, Mask, change_mask};


use core::cell::Cell;
use mach_wire::darwin::DarwinSignal;

/// The bit of a signal in a mask.
pub(super) const fn bit(signal: i32) -> Mask {
    1 << (signal - 1)
}

/// The signals that a thread's own faults raise.
pub(super) const SYNCHRONOUS: [i32; 5] = DarwinSignal::HOST_FAULTS;

/// The mask of [`SYNCHRONOUS`].
pub(super) const SYNCHRONOUS_MASK: Mask = {
    let mut mask = 0;
    let mut index = 0;
    while index < SYNCHRONOUS.len() {
        mask |= bit(SYNCHRONOUS[index]);
        index += 1;
    }
    mask
};

/// The signal by which the C library's `setuid` reaches every thread: a thread that waited with it blocked would hold that up.
const SETXID: i32 = 33;

/// All signals but those five and that one.
pub(super) const ASYNCHRONOUS_MASK: Mask = !(SYNCHRONOUS_MASK | bit(SETXID));

thread_local! {
    /// Whether the calling thread has them blocked for good.
    static FOR_GOOD: Cell<bool> = const { Cell::new(false) };
}

/// Blocks the asynchronous signals until it is dropped. In a thread that has them blocked for good it costs nothing.
#[derive(Debug)]
pub(crate) struct Blocked {
    before: Option<Mask>,
}

impl Blocked {
    pub(crate) fn new() -> Self {
        let before =
            (!FOR_GOOD.with(Cell::get)).then(|| change_mask(How::Block, ASYNCHRONOUS_MASK));
        Self { before }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            change_mask(How::Set, before);
        }
    }
}

/// Blocks them in the calling thread, until it ends or [`unblock`] is called. Returns the mask before, without the five.
pub(crate) fn block_for_good() -> Mask {
    let before = change_mask(How::Set, ASYNCHRONOUS_MASK);
    FOR_GOOD.with(|flag| flag.set(true));
    before & !SYNCHRONOUS_MASK
}

/// Ends [`block_for_good`] with a mask that it returned.
pub(crate) fn unblock(outer: Mask) {
    // Cleared first: from the first signal that arrives on, the lock's holder must block them itself.
    FOR_GOOD.with(|flag| flag.set(false));
    change_mask(How::Set, outer);
}
