//! Signals that end the process while its threads wait in their fault handlers.
//!
//! A thread has its signals blocked while its fault waits for an answer, the emulation's own thread and a server's always. Where no other
//! thread is left, a signal of the process's would wait as long as the answer does, which may be for ever. So the watching thread takes the
//! default action in place of a thread whose own mask lets the signal through. A signal that each thread blocks by itself stays pending,
//! for `sigwait` or `signalfd`; one with a handler does, too, until a thread may run that.
//!
//! A signal that was sent to such a thread alone ends the process, too, whatever other threads there are.

use crate::host::slot::header::WAITS;
use crate::host::slot::region::{self, Slot};
use crate::host::sys::mask::{Mask, bit};
use crate::host::sys::signals;
use crate::host::sys::task_status;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Ends the process by a pending signal, if one has the default action, that ends processes, and if a thread that waits in its fault
/// handler would have taken it. Called by the watching thread, which has all signals blocked.
pub(super) fn act_upon_pending() {
    for signal in all_of(sent_to_waiting_threads()) {
        if is_deadly(signal) {
            signals::end_by(signal);
        }
    }
    let pending = signals::pending();
    if pending == 0 {
        return;
    }
    let wanted = pending & let_through() & !WAITS;
    for signal in all_of(wanted) {
        // A component that installs a handler after this look does so after the signal was sent.
        if is_deadly(signal) && signals::take(signal) {
            signals::end_by(signal);
        }
    }
}

fn all_of(signals: Mask) -> impl Iterator<Item = i32> {
    (1..=64).filter(move |signal| signals & bit(*signal) != 0)
}

fn is_deadly(signal: i32) -> bool {
    signals::ends_the_process(signal) && signals::ends_by_default(signal)
}

/// Threads whose own pending signals are read in one look: each costs a file. Where more wait it is the next ones' turn at the next look.
const AT_A_TIME: usize = 32;

/// Returns the signals that are pending for one thread alone which waits in its fault handler, and whose own mask lets them through. None
/// where the system does not say.
fn sent_to_waiting_threads() -> Mask {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let Some(keys) = region::keys() else {
        return 0;
    };
    let first = NEXT.load(Ordering::Relaxed);
    let (mut sent, mut looked) = (0, 0);
    let slots = keys
        .taken()
        .filter_map(|seen| Slot::of(region::from_index(seen.index())?));
    for header in slots
        .map(Slot::header)
        .filter(|header| header.is_waiting())
        .skip(first)
        .take(AT_A_TIME)
    {
        looked += 1;
        let pending = task_status::pending(header.owner().tid()).unwrap_or(0);
        // Read afterwards: one that no longer waits takes its signals itself.
        sent |= pending & header.lets_through.load(Ordering::Acquire) & !WAITS;
    }
    let next = if looked < AT_A_TIME {
        0
    } else {
        first + looked
    };
    NEXT.store(next, Ordering::Relaxed);
    sent
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
