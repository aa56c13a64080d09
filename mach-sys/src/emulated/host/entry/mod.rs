//! The fault handler's entry: decides where it is before any Rust code runs, moves to a stack that the emulation owns, and leaves
//! by `rt_sigreturn` or into a handler that was installed before.
//!
//! Where are we?
//! 1. On the slot's private part: nested in our own handler. Stay.
//! 2. On the slot's lent part, interrupted elsewhere: the thread has no alternate stack of its own. Stay.
//! 3. On the slot's lent part, interrupted on the same slot: an application's handler on the stack that we lent it faulted. Move.
//! 4. Elsewhere: on the thread's own alternate stack, or on none. Find the slot by the thread's identifier, and move.
//!
//! Moving means: the private part becomes the stack and is registered as such, all in a few instructions (whatever arrived before
//! would start over the live frame), and the Rust side copies the kernel's frame. A fault of the probed copy is recognised before all that, by its program
//! counter, and needs no stack.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub(super) mod frame;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use super::fault;

unsafe extern "C" {
    /// The entry. Never called from Rust: its address is what `sigaction` gets.
    fn mach_sys_fault_entry();
}

/// What `sigaction` gets.
pub(super) fn address() -> usize {
    mach_sys_fault_entry as *const () as usize
}

/// What the entry hands to the Rust side, and takes back: frame, siginfo and context may be others afterwards. The layout is the
/// entry's.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Entered {
    /// The kernel's frame: where the stack pointer was, and will be when the entry leaves.
    pub(super) frame: usize,
    pub(super) signal: usize,
    pub(super) info: usize,
    pub(super) context: usize,
    /// The thread's slot, by address; 0 when all are taken.
    pub(super) slot: usize,
    /// Whether the entry moved to the slot's private part.
    pub(super) moved: usize,
}

/// The entry's one call. The answer is the handler to leave for; 0 means: return from the frame. Where the frame, its siginfo and
/// context are by then stands in `entered`.
///
/// # Safety
/// Called by the entry only, which hands over what the kernel gave it.
unsafe extern "C" fn entered(entered: *mut Entered) -> usize {
    // SAFETY: the entry built the value on the stack that this runs on, and nobody else knows of it.
    let entered = unsafe { &mut *entered };
    // SAFETY: as above; the frame it describes is the kernel's, live until the entry leaves.
    unsafe { fault::serve(entered) }.unwrap_or(0)
}
