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
//!
//! A handler that was installed over us may pass a fault on by calling the entry. That is an ordinary call, and he goes on when
//! it returns, if his frame is on an alternate stack. If it is on the interrupted stack itself, what a redirect writes there would
//! go over his frames: then the fault is served from a copy as always, and he is left behind, as by a `siglongjmp`.
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
    /// [`MOVED`] and [`CHAINED`].
    pub(super) how: usize,
}

/// The entry moved to the slot's private part.
pub(super) const MOVED: usize = 1;
/// A handler that was installed over us called us.
pub(super) const CHAINED: usize = 2;

impl Entered {
    pub(super) fn moved(&self) -> bool {
        self.how & MOVED != 0
    }

    pub(super) fn chained(&self) -> bool {
        self.how & CHAINED != 0
    }
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

/// The call by a handler that was installed over us, where we can return to him. The answer is the handler to go on to; 0 for none.
///
/// # Safety
/// Called by the entry only, with what that handler gave it.
unsafe extern "C" fn chained(signal: usize, info: usize, context: usize) -> usize {
    // SAFETY: who chains passes on what the kernel gave him.
    unsafe { fault::serve_chained(signal as i32, info, context) }.unwrap_or(0)
}
