//! The question to the layers above.

use crate::host::context::Context;
use crate::host::context::classify::Raised;
use crate::host::slot::header::WAITS;
use crate::host::slot::region::{Slot, SlotId};
use crate::host::suspend::park;
use crate::host::sys::mask::Mask;
use core::sync::atomic::Ordering;
use std::sync::OnceLock;

/// A thread faulted.
#[derive(Debug)]
pub(crate) struct Trap<'a> {
    /// The thread.
    pub(crate) slot: SlotId,
    pub(crate) raised: Raised,
    /// Its registers: the thread resumes with what they are afterwards.
    pub(crate) context: &'a mut Context,
}

/// Decision of the layers above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The thread goes on with its registers as they are now.
    Resume,
    /// No handler took it.
    HostLevel,
}

type Hook = fn(&mut Trap<'_>) -> Verdict;

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Sets the function that decides, before the entry is installed.
pub(in crate::host) fn set_hook(hook: Hook) {
    HOOK.get_or_init(|| hook);
}

/// The way of a thread after the answer, if it was suspended or terminated meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It waits, or ends, before it runs code of the program (A8.5).
    Parks,
    /// It ends the process, which neither stops (A8.11).
    EndsProcess,
}

/// Asks the layers above, and waits for the answer. `outer` is what the interrupted code has blocked: the watching thread acts upon the
/// other signals meanwhile, as far as they end the process. If the thread `Parks`, waits on while it is suspended, and does not return if it is terminated.
pub(super) fn ask_in(slot: Slot, outer: Mask, trap: &mut Trap<'_>, then: Then) -> Verdict {
    let header = slot.header();
    header.suspension.leave_program();
    header.lets_through.store(!outer | WAITS, Ordering::Release);
    let verdict = HOOK.get().map_or(Verdict::HostLevel, |hook| hook(trap));
    if then == Then::Parks {
        // A8.5: a suspended thread waits with the reply applied, before it runs code of the program.
        park::look(slot, trap.context);
    }
    header.lets_through.store(0, Ordering::Release);
    verdict
}
