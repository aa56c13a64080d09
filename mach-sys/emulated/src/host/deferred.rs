//! Signals that are sent to a thread while it is in our fault handler.
//!
//! They wait until it has left it, as they do on XNU while a thread is in the kernel: a handler that ran on top of ours might jump
//! out of it, and would leave the exception's delivery half done.
#![allow(unsafe_code)]

use super::previous::{self, HostAction};
use super::signals;
use super::slot::{self, Header, SlotId};
use super::sys::{self, How};

/// Puts a sent signal off, if the thread is in our handler and somebody else's handler would run. Whether it did.
pub(super) fn defer(slot: SlotId, signal: i32, info: usize) -> bool {
    let header = slot::header(slot);
    if !header.serving.get() || !matches!(previous::action(signal), HostAction::Handler(_)) {
        return false;
    }
    // One at a time: signals that are pending are merged.
    if header.deferred.get() == 0 {
        // SAFETY: a siginfo of the kernel's has 128 bytes.
        header
            .deferred_info
            .set(unsafe { (info as *const [u64; 16]).read_unaligned() });
        header.deferred.set(signal);
    }
    true
}

/// Raises what was put off. The signal is blocked here; the mask of the frame that is returned from, or of the handler that is gone
/// on to, lets it through.
pub(super) fn raise(header: &Header) {
    let signal = header.deferred.replace(0);
    if signal != 0 {
        sys::change_mask(How::Block, signals::bit(signal));
        let info = header.deferred_info.as_ptr() as usize;
        // SAFETY: the siginfo is the kernel's, copied whole; the signal has a handler, and comes through the entry again.
        unsafe { sys::queue_signal(slot::gettid(), signal, info) };
    }
}
