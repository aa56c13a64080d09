//! The guard exception that the thread's calls would raise on XNU (A13).

use crate::config::GuardPolicy;
use crate::exception::guard::deliver;
use crate::process;
use core::cell::Cell;
use mach_wire::exception::GuardCode;

thread_local! {
    /// Constant and without a destructor: nothing is allocated for it. No code of the fault handler comes here.
    static LAST: Cell<Option<GuardCode>> = const { Cell::new(None) };
}

/// Treats what a call of this thread raised, as the configuration says. The thread holds no lock.
pub(super) fn note(guard: Option<GuardCode>) {
    let (Some(guard), Ok(process)) = (guard, process::current()) else {
        return;
    };
    if process.guards != GuardPolicy::Off {
        LAST.set(Some(guard));
    }
    if process.guards == GuardPolicy::Deliver {
        deliver(guard);
    }
}

/// Takes what the last misuse of a name by the calling thread was, if there was one since it was taken before.
///
/// On XNU a misuse raises `EXC_GUARD` after the call has returned its error (A13.1): with the flavors up to
/// [`MAX_FATAL_kGUARD_EXC_CODE`](mach_wire::exception::MAX_FATAL_kGUARD_EXC_CODE) the process ends, whatever a handler replies (A13.5);
/// the others are ignored in a third party's process (A13.6). The emulated kernel tells it here, unless
/// [`Config::guards`](crate::Config::guards) says [`GuardPolicy::Off`], so that what would end the process on a Mac can be tested without
/// one, and raises nothing, unless that says [`GuardPolicy::Deliver`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use mach_emulated::{calls, Config, start_with};
/// # use mach_wire::exception::PortGuardFlavor;
/// start_with(Config::default())?;
/// let task = mach_emulated::system::task_self();
/// // SAFETY: the name is absent; no pointer is passed.
/// let error = unsafe { calls::mach_port_deallocate(task, 0xdead03) };
/// assert_eq!(error, 15);
/// let guard = mach_emulated::take_guard().expect("misuse");
/// assert_eq!(guard.flavor, PortGuardFlavor::INVALID_NAME.raw());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn take_guard() -> Option<GuardCode> {
    LAST.take()
}
