//! A plain signal handler that repairs the fault itself: what a runtime has that does without Mach exceptions.
#![allow(unsafe_code)]

use crate::faults::LENGTH;
use core::ffi::{c_int, c_void};

/// A handler as the host calls it.
pub type Handler = extern "C" fn(c_int, *mut c_void, *mut c_void);

/// Offset of the program counter in Linux's `ucontext`.
const PC: usize = if cfg!(target_arch = "x86_64") {
    168
} else {
    440
};

/// Skips the instruction.
pub extern "C" fn repair(_: c_int, _: *mut c_void, context: *mut c_void) {
    // SAFETY: the host's context, at whose offset the program counter is.
    unsafe {
        let pc = context.cast::<u8>().add(PC).cast::<u64>();
        pc.write(pc.read() + LENGTH);
    }
}

/// A handler that is installed until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Installed {
    signal: c_int,
    before: Saved,
}

struct Saved(libc::sigaction);

impl core::fmt::Debug for Saved {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{:#x}", self.0.sa_sigaction)
    }
}

/// Installs a handler that skips the faulting instruction, over the emulation's own. It runs on the thread's alternate signal stack.
///
/// # Panics
/// If the host has no such signal.
pub fn install(signal: c_int, handler: Handler) -> Installed {
    install_with(signal, handler, |action| action.sa_flags = libc::SA_ONSTACK)
}

/// Installs such a handler, which runs on the interrupted stack with all signals blocked, as the start of a round trip does.
///
/// # Panics
/// If the host has no such signal.
pub fn install_with_signals_blocked(signal: c_int, handler: Handler) -> Installed {
    install_with(signal, handler, |action| {
        // SAFETY: the mask is valid for a write.
        unsafe { libc::sigfillset(&mut action.sa_mask) };
    })
}

fn install_with(
    signal: c_int,
    handler: Handler,
    change: impl FnOnce(&mut libc::sigaction),
) -> Installed {
    // SAFETY: zeroes are a valid action.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    change(&mut action);
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags |= libc::SA_SIGINFO | libc::SA_NODEFER;
    Installed {
        signal,
        before: Saved(swap(signal, &action)),
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        swap(self.signal, &self.before.0);
    }
}

fn swap(signal: c_int, action: &libc::sigaction) -> libc::sigaction {
    // SAFETY: zeroes are a valid action to write over; the new one has a handler of three arguments, or is one that was there.
    unsafe {
        let mut old = core::mem::zeroed();
        assert_eq!(libc::sigaction(signal, action, &mut old), 0, "sigaction");
        old
    }
}
