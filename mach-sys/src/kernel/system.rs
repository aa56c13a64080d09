//! What a runtime needs from the system beside Mach, with one signature on every host.
#![allow(unsafe_code)]

use crate::types::mach_port_name_t;
use core::ops::Range;

#[cfg(target_vendor = "apple")]
use super::apple as host;
#[cfg(not(target_vendor = "apple"))]
use mach_emulated::system as host;

/// The calling task's own name. Takes no reference: it must not be released.
#[must_use]
pub fn task_self() -> mach_port_name_t {
    host::task_self()
}

/// The port name of a thread's kernel port, without a new reference: `pthread_mach_thread_np` (D1.2).
/// `MACH_PORT_NULL` when this kernel does not know the thread.
///
/// # Safety
/// `thread` denotes a thread that was not joined, and whose identifier was therefore not given to another.
#[must_use]
pub unsafe fn thread_port(thread: libc::pthread_t) -> mach_port_name_t {
    // SAFETY: the same contract, passed on unchanged.
    unsafe { host::thread_port(thread) }
}

/// The calling thread's stack, lowest address first. `None` if the system does not say.
///
/// May allocate: to be asked when a thread is attached, not when it has faulted.
#[must_use]
pub fn stack_bounds() -> Option<Range<usize>> {
    host::stack_bounds()
}

/// The calling thread's 64-bit identifier. Darwin never uses one again while the system runs; the emulation never within a
/// process, as long as the host does not wrap its thread identifiers.
#[must_use]
pub fn thread_id() -> u64 {
    host::thread_id()
}

/// The page size in bytes, a power of two.
#[must_use]
pub fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// The CPU the calling thread ran on a moment ago: a hint for spinning, nothing else.
#[must_use]
pub fn current_cpu() -> u32 {
    host::current_cpu()
}

/// Makes the calling thread a server thread: it takes no signal but the five that its own faults raise, and those that the
/// emulation stops threads with. Meant for a thread that answers exceptions until it ends; there is no way back.
///
/// A synchronous signal that is blocked would kill the process at the thread's first fault, hence the exceptions.
pub fn enter_server_thread() {
    host::enter_server_thread();
}

/// Makes the calling thread ready to have its faults answered, however its owner has arranged it since the last time. On Apple's
/// kernel that takes nothing. The emulation lends it an alternate signal stack if it has none, and unblocks the five signals that
/// its own faults raise: a blocked one would kill the process. Who gives the thread back puts both back.
pub fn prepare_for_faults() {
    host::prepare_for_faults();
}
