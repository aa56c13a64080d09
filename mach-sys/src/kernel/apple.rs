//! [`system`](super::system) on Apple's systems. Type-checked, linted and linked on Linux; not yet run on a Mac.
#![allow(unsafe_code)]

use crate::types::mach_port_name_t;
use core::ops::Range;

unsafe extern "C" {
    /// What the C macro `mach_task_self()` reads (`mach/mach_init.h`); written once, before `main`.
    static mach_task_self_: mach_port_name_t;
    /// `pthread.h`, since macOS 11.
    fn pthread_cpu_number_np(number: *mut usize) -> libc::c_int;
}

#[cfg(feature = "std")]
pub(super) fn configure(
    _: mach_emulated::Config,
) -> Result<(), &'static mach_emulated::StartError> {
    Ok(())
}

pub(super) fn task_self() -> mach_port_name_t {
    // SAFETY: libSystem initialises the variable before any other code of the process runs and never changes it.
    unsafe { mach_task_self_ }
}

pub(super) unsafe fn thread_port(thread: usize) -> mach_port_name_t {
    // SAFETY: the caller vouches for the thread's identifier.
    unsafe { libc::pthread_mach_thread_np(thread as libc::pthread_t) }
}

pub(super) fn stack_bounds() -> Option<Range<usize>> {
    // SAFETY: asking about the calling thread is always allowed; Darwin gives the stack's *highest* address.
    let (top, size) = unsafe {
        let this = libc::pthread_self();
        (
            libc::pthread_get_stackaddr_np(this) as usize,
            libc::pthread_get_stacksize_np(this),
        )
    };
    Some(top.checked_sub(size)?..top)
}

pub(super) fn thread_id() -> u64 {
    let mut id = 0;
    // SAFETY: 0 means the calling thread; the result goes to a local variable.
    unsafe { libc::pthread_threadid_np(0, &mut id) };
    id
}

pub(super) fn current_cpu() -> u32 {
    let mut number = 0;
    // SAFETY: the result goes to a local variable.
    let error = unsafe { pthread_cpu_number_np(&mut number) };
    if error == 0 { number as u32 } else { u32::MAX }
}

/// Changes nothing: the kernel asks the exception ports before it looks at signals or stacks.
pub(super) fn prepare_for_faults() -> FaultReadiness {
    FaultReadiness
}

/// Nothing to undo.
#[derive(Debug)]
pub(super) struct FaultReadiness;

impl FaultReadiness {
    pub(super) fn undo(self) {}
}

/// Darwin's C library keeps the identifier, and `fork` renews it.
pub(super) fn process_id() -> libc::pid_t {
    // SAFETY: getpid has no preconditions and cannot fail.
    unsafe { libc::getpid() }
}

pub(super) type SignalMask = libc::sigset_t;

/// Returns the mask before, without the five.
pub(super) fn enter_server_thread() -> SignalMask {
    // SAFETY: both sets are filled before they are read; changing the calling thread's own mask has no other precondition.
    unsafe {
        let mut set = core::mem::zeroed();
        let mut before = core::mem::zeroed();
        libc::sigfillset(&mut set);
        for signal in crate::darwin::DarwinSignal::HOST_FAULTS {
            libc::sigdelset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, &mut before);
        for signal in crate::darwin::DarwinSignal::HOST_FAULTS {
            libc::sigdelset(&mut before, signal);
        }
        before
    }
}

pub(super) fn leave_server_thread(outer: &SignalMask) {
    // SAFETY: the set is one that `enter_server_thread` filled.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, outer, core::ptr::null_mut()) };
}
