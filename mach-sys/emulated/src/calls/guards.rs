//! The guard exception that the thread's calls would raise on XNU, and a task's behavior at guards (A13).
#![allow(unsafe_code)]

use super::mig;
use super::target::{code, put, task_behind};
use crate::config::GuardPolicy;
use crate::exception::guard::deliver;
use crate::ipc::guard::is_fatal;
use crate::process;
use crate::thread::exc_guard::ExcGuard;
use crate::thread::kernel::Kernel;
use core::cell::Cell;
use mach_wire::exception::GuardCode;
use mach_wire::info::task_exc_guard_behavior_t;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::{kern_return_t, mach_port_name_t};

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
    let behavior = {
        let mut held = process.mach.lock();
        Kernel::of(&mut held).tables.task(process.task).exc_guard
    };
    // What is fatal in every process ends this one only where the configuration says so.
    if process.guards == GuardPolicy::Deliver || !is_fatal(&guard) {
        deliver(guard, behavior);
    }
}

pub unsafe fn task_get_exc_guard_behavior(
    task: mach_port_name_t,
    behavior: *mut task_exc_guard_behavior_t,
) -> kern_return_t {
    code(on_behavior(task, |of_task| Ok(of_task.bits())).map(|bits| {
        // SAFETY: the seam's contract: `behavior` is valid for a write.
        unsafe { put(behavior, bits) };
    }))
}

pub unsafe fn task_set_exc_guard_behavior(
    task: mach_port_name_t,
    behavior: task_exc_guard_behavior_t,
) -> kern_return_t {
    code(on_behavior(task, |of_task| of_task.set(behavior)))
}

/// Reads or changes the behavior of the task behind a name.
fn on_behavior<T>(
    task: mach_port_name_t,
    call: impl FnOnce(&mut ExcGuard) -> Result<T, KernReturn>,
) -> Result<T, KernReturn> {
    let process = mig::process()?;
    let mut held = process.mach.lock();
    let kernel = &mut Kernel::of(&mut held);
    let task = task_behind(kernel, process.task, task)?;
    call(&mut kernel.tables.task_mut(task).exc_guard)
}

/// Takes what the last misuse of a name by the calling thread was, if there was one since it was taken before.
///
/// On XNU a misuse raises `EXC_GUARD` after the call has returned its error (A13.1): with the flavors up to
/// [`MAX_FATAL_kGUARD_EXC_CODE`](mach_wire::exception::MAX_FATAL_kGUARD_EXC_CODE) the process ends, whatever a handler replies (A13.5);
/// the others are ignored in a third party's process (A13.6) that has not asked for them by `task_set_exc_guard_behavior`. The emulated kernel
/// tells it here, unless [`Config::guards`](crate::Config::guards) says [`GuardPolicy::Off`], so that what would end the process on a Mac can be
/// tested without one.
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
