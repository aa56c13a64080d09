//! `EXC_GUARD` for a misused port (A13).

use crate::host::context::classify::Raised;
use crate::host::fault;
use crate::ipc::guard::is_fatal;
use crate::thread::exc_guard::ExcGuard;
use mach_wire::exception::{EXC_GUARD, GuardCode, MAX_OPTIONAL_kGUARD_EXC_CODE};

/// Raises a guard on the calling thread, which made the call and holds no lock. A flavor that is always fatal ends the process, handled or
/// not (A13.5); any other is raised if the task's behavior says so, and fatal if that does (A13.6).
pub(crate) fn deliver(guard: GuardCode, behavior: ExcGuard) {
    let raised = Raised {
        exception: EXC_GUARD,
        codes: guard.encode(),
    };
    let always = is_fatal(&guard);
    let by_behavior = behavior.is_fatal() && guard.flavor <= MAX_OPTIONAL_kGUARD_EXC_CODE;
    if always || behavior.is_delivered() && by_behavior {
        fault::raise_and_kill(raised);
    }
    if behavior.is_delivered() {
        fault::raise(raised);
    }
}
