//! Signals that end the process while its threads wait in their fault handlers.
//!
//! A thread has its signals blocked while its fault waits for an answer, the emulation's own thread and a server's always. Where no other
//! thread is left, a signal of the process's would wait as long as the answer does, which may be for ever. So the watching thread takes the
//! default action in place of a thread whose own mask lets the signal through. A signal that each thread blocks by itself stays pending,
//! for `sigwait` or `signalfd`; one with a handler does, too, until a thread may run that.

use crate::host::slot::header::WAITS;
use crate::host::slot::region::{self, Slot};
use crate::host::sys::mask::{Mask, bit};
use crate::host::sys::signals;
use core::sync::atomic::Ordering;

/// Ends the process by a pending signal, if one has the default action, that ends processes, and if a thread that waits in its fault
/// handler would have taken it. Called by the watching thread, which has all signals blocked.
pub(super) fn act_upon_pending() {
    let pending = signals::pending();
    if pending == 0 {
        return;
    }
    let wanted = pending & let_through() & !WAITS;
    for signal in (1..=64).filter(|signal| wanted & bit(*signal) != 0) {
        // A component that installs a handler after this look does so after the signal was sent.
        if signals::ends_the_process(signal) && signals::is_default(signal) && signals::take(signal)
        {
            signals::end_by(signal);
        }
    }
}

/// Returns the signals that some thread that waits in its fault handler would take.
fn let_through() -> Mask {
    let Some(keys) = region::keys() else {
        return 0;
    };
    keys.taken()
        .filter_map(|seen| Slot::of(region::from_index(seen.index())?))
        .fold(0, |all, slot| {
            all | slot.header().lets_through.load(Ordering::Acquire)
        })
}
