//! An exception that a kernel call raises on the thread that makes it.

use super::crash;
use super::trap::{Then, Trap, Verdict, ask_in};
use crate::host::context::classify::Raised;
use crate::host::slot::inside;
use crate::host::suspend::own;
use crate::host::sys::thread::kill_this_process;
use mach_wire::darwin::DarwinSignal;

/// Raises an exception on the calling thread, which holds no lock, and returns what came of it; `None` if the thread cannot be reached. Its
/// registers are those inside this call.
pub(crate) fn raise(raised: Raised) -> Option<Verdict> {
    ask(raised, Then::Parks)
}

fn ask(raised: Raised, then: Then) -> Option<Verdict> {
    let slot = inside::slot()?;
    let mut verdict = None;
    let visited = own::visit(|context| {
        let outer = context.signal_mask();
        let mut trap = Trap {
            slot: slot.id(),
            raised,
            context,
        };
        verdict = Some(ask_in(slot, outer, &mut trap, then));
    });
    visited.ok().and(verdict)
}

/// Raises an exception on the calling thread, which holds no lock, then ends the process as the kernel ends one: no signal handler runs. If no
/// exception handler took it, `EXC_CRASH` comes between (A13.5).
pub(crate) fn raise_and_kill(raised: Raised) -> ! {
    let verdict = ask(raised, Then::EndsProcess);
    if let (Some(slot), Some(Verdict::HostLevel)) = (inside::slot(), verdict) {
        crash::store(slot.header(), &raised);
        let _ = own::visit(|context| {
            crash::raise(slot, context, DarwinSignal::KILL);
        });
    }
    loop {
        kill_this_process();
    }
}
