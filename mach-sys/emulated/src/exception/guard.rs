//! `EXC_GUARD` for a misused port (A13).

use crate::host::context::classify::Raised;
use crate::host::fault;
use crate::ipc::guard::is_fatal;
use mach_wire::exception::{EXC_GUARD, GuardCode};

/// Raises a guard on the calling thread, which made the call and holds no lock. A fatal one ends the process, handled or not (A13.5);
/// after any other the thread goes on, handled or not (A13.6).
pub(crate) fn deliver(guard: GuardCode) {
    fault::raise(Raised {
        exception: EXC_GUARD,
        codes: guard.encode(),
    });
    if is_fatal(&guard) {
        fault::kill();
    }
}
