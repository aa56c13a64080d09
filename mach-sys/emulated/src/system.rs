//! Functions beyond Mach's, behind `mach_sys::kernel::system` on systems that are not Apple's.
#![allow(unsafe_code)]

use super::host;
use super::host::threads::{self, Arranged, Changed};
use super::process;
use crate::config::Config;
use crate::error::{StartError, StopError};
use crate::ipc::name::Name;
use crate::stopped::Stopped;
use crate::thread::kernel::Kernel;
use crate::thread::life;
use core::marker::PhantomData;
use core::ops::Range;
use mach_wire::types::{MACH_PORT_NULL, mach_port_name_t};

/// Starts the emulated kernel with a configuration, unless it is running already.
///
/// # Errors
/// Starts the emulation with a configuration, by [`start_with`](crate::start_with).
pub fn configure(config: Config) -> Result<(), &'static StartError> {
    process::start_with(config)
}

pub fn task_self() -> mach_port_name_t {
    process::task_name().unwrap_or(MACH_PORT_NULL)
}

pub unsafe fn thread_port(thread: usize) -> mach_port_name_t {
    let thread = thread as libc::pthread_t;
    let Ok(process) = process::current() else {
        return MACH_PORT_NULL;
    };
    // SAFETY: asking for the own identifier has no preconditions.
    let name = if thread == unsafe { libc::pthread_self() } {
        process.this_threads_name()
    } else {
        let known = || process.known_thread(threads::of_pthread(thread)?);
        let object = known().or_else(|| {
            // One that has made no kernel call yet (D1.2).
            process.meet_everyone();
            known()
        });
        object.and_then(|object| {
            let mut held = process.mach.lock();
            life::name(&Kernel::of(&mut held), object)
        })
    };
    name.map_or(MACH_PORT_NULL, Name::raw)
}

pub use crate::calls::suspend_threads;

pub fn stack_bounds() -> Option<Range<usize>> {
    host::stack::bounds()
}

pub fn thread_id() -> u64 {
    // A thread of a child process keeps the system's identifier, as does one that there was no slot for.
    match process::current() {
        Ok(_) => threads::id(),
        Err(_) => u64::from(host::gettid()),
    }
}

pub fn own_identifier() -> u64 {
    threads::id()
}

pub fn current_cpu() -> u32 {
    host::cpu::current()
}

pub fn stack_overhead() -> usize {
    host::stack::overhead()
}

pub fn stack_size_for(bytes: usize) -> usize {
    host::stack::size_for(bytes)
}

pub fn errno_address() -> usize {
    // SAFETY: the C library has a place for every thread of its own.
    unsafe { libc::__errno_location() as usize }
}

/// Returns the process identifier; the parent's in a child that shares its memory, and one that no process has in a child with its own.
pub fn process_id() -> libc::pid_t {
    host::process_id() as libc::pid_t
}

/// Returns the number of times that the emulation was stopped in this process.
pub fn stops() -> u32 {
    host::stops()
}

/// Stops the emulated kernel.
///
/// # Errors
/// The errors of [`stop`](crate::stop).
///
/// # Safety
/// The safety requirements of [`stop`](crate::stop) apply.
pub unsafe fn stop() -> Result<Stopped, StopError> {
    // SAFETY: the caller's promise.
    unsafe { process::stop() }
}

/// A thread's signal mask, a bit for each signal.
pub type SignalMask = u64;

/// Returns whether a mask has a signal of the system's.
pub fn has_signal(mask: &SignalMask, signal: libc::c_int) -> bool {
    mask >> (signal - 1) & 1 != 0
}

/// Puts a signal of the system's into a mask, or takes it out.
pub fn put_signal(mask: &mut SignalMask, signal: libc::c_int, there: bool) {
    *mask = *mask & !(1 << (signal - 1)) | SignalMask::from(there) << (signal - 1);
}

/// Changes the calling thread's mask, and returns the one before. Uses no thread-local storage.
pub fn change_signal_mask(how: libc::c_int, mask: &SignalMask) -> SignalMask {
    let mut before: SignalMask = 0;
    // SAFETY: both masks are as long as the call is told. Not by the C library's own function, which may look at its thread-local storage.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            how,
            core::ptr::from_ref(mask),
            &raw mut before,
            size_of::<SignalMask>(),
        );
    }
    before
}

pub fn enter_server_thread() -> SignalMask {
    host::block_for_good()
}

pub fn leave_server_thread(outer: &SignalMask) {
    host::unblock(*outer);
}

pub fn group_calls() -> CallGroup {
    CallGroup(host::Group::begin())
}

#[derive(Debug)]
pub struct CallGroup(host::Group);

impl CallGroup {
    pub fn end(&mut self) {
        self.0.end();
    }
}

pub fn prepare_for_faults() -> FaultReadiness {
    // Before the first kernel call: what registration changes is undone, too.
    let before = Arranged::now();
    // A thread that cannot be known is not served; its registration says so when it is routed.
    let slot = process::current()
        .ok()
        .and_then(|_| threads::register().ok());
    FaultReadiness {
        changed: match slot {
            Some(slot) => before.make_ready(slot),
            None => before.keep(),
        },
        not_send: PhantomData,
    }
}

/// The changes made by [`prepare_for_faults`].
#[derive(Debug)]
pub struct FaultReadiness {
    changed: Changed,
    /// It is about the thread that made it.
    not_send: PhantomData<*const ()>,
}

impl FaultReadiness {
    pub fn undo(self) {
        self.changed.undo();
    }
}

/// Returns `false`: the emulation runs on no Mac.
pub fn is_translated() -> Option<bool> {
    Some(false)
}

/// Returns whether a tracer follows the process (`ptrace`); `None` where there is no `/proc`.
pub fn is_debugged() -> Option<bool> {
    host::is_traced()
}

/// Returns 0: no system of the emulation signs code as Apple does.
pub fn code_signing() -> Option<u32> {
    Some(0)
}

/// Returns `false`: Apple's sandbox is not there.
pub fn is_sandboxed() -> Option<bool> {
    Some(false)
}

/// Calls `then` with no entitlements.
pub fn with_entitlements<R>(then: impl FnOnce(Option<&[u8]>) -> R) -> R {
    then(Some(&[]))
}
