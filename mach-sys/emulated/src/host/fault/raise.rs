//! An exception that a kernel call raises on the thread that makes it.

use super::trap::{Trap, Verdict, ask_in};
use crate::host::context::classify::Raised;
use crate::host::slot::inside;
use crate::host::suspend::own;
use crate::host::sys::thread::kill_this_process;

/// Raises an exception on the calling thread, which holds no lock, and returns what came of it; `None` if the thread cannot be reached. Its
/// registers are those inside this call.
pub(crate) fn raise(raised: Raised) -> Option<Verdict> {
    let slot = inside::slot()?;
    let mut verdict = None;
    let visited = own::visit(|context| {
        let outer = context.signal_mask();
        let mut trap = Trap {
            slot: slot.id(),
            raised,
            context,
        };
        verdict = Some(ask_in(slot, outer, &mut trap));
    });
    visited.ok().and(verdict)
}

/// Ends the process as the kernel ends one: no handler runs.
pub(crate) fn kill() -> ! {
    loop {
        kill_this_process();
    }
}
