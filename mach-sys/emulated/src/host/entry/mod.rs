//! The fault handler's entry: decides where it is, moves to a stack that the emulation owns, and leaves by `rt_sigreturn` or into a
//! handler that was installed before.
//!
//! The stack it runs on decides whether it moves (`locate`):
//! 1. On the slot's private part: nested in the fault handler. Stay.
//! 2. On the slot's lent part, interrupted elsewhere: the thread has no alternate stack of its own. Stay.
//! 3. On the slot's lent part, interrupted on the same slot: an application's handler on the lent stack faulted. Move.
//! 4. Elsewhere: on the thread's own alternate stack, or on none. Find the slot by the thread's identifier, and move.
//! 5. In another process than the one that the slots belong to, or with all slots taken: stay, without a slot.
//!
//! Moving means: the private part becomes the stack, is registered as such, and the kernel's frame is copied. It can only be registered
//! from another stack than the one that is. So a signal may be sent between the two, and would start at the top of the owner's stack,
//! over the live frame. In case 4 with an interrupted stack elsewhere the frame is copied before, and put back should that happen; where
//! more than the frame lies there the signals are blocked meanwhile. It is registered in case 4, too, though nothing would be lost if signals
//! started over a frame that has a copy: several at once need more room than an owner's stack may have, 8 KiB for threads of Rust's std.
//! A fault of the probed copy is recognised before all that, by its program counter, and needs no stack.
//!
//! A handler that was installed over this one may pass a fault on by calling the entry. That is an ordinary call, and the handler goes
//! on when it returns, if its frame is on an alternate stack. If it is on the interrupted stack itself, what a redirect writes there
//! would go over the handler's frames: then the fault is served from a copy as always, and the handler is left behind, as by a
//! `siglongjmp`.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub(super) mod entered;
mod extent;
pub(super) mod frame;
mod locate;
#[cfg(target_arch = "x86_64")]
mod x86_64;

unsafe extern "C" {
    /// The entry's addresses. Never called from Rust: one of them is what `sigaction` gets.
    fn mach_sys_fault_entries();
    /// Address in the entry after the move, before the new stack is registered.
    fn mach_sys_fault_between();
}

/// Number of addresses of the entry. A handler that restores one of them shows when it was installed.
pub(super) const ALIASES: usize = 16;

/// Bytes from one to the next.
const ALIAS_SIZE: usize = 16;

/// Returns one of the entry's addresses, for `sigaction`.
pub(super) fn address(alias: usize) -> usize {
    mach_sys_fault_entries as *const () as usize + alias * ALIAS_SIZE
}

/// Returns which of the entry's addresses this is, if it is one.
pub(super) fn alias_of(handler: usize) -> Option<usize> {
    let offset = handler.wrapping_sub(address(0));
    (offset < ALIASES * ALIAS_SIZE && offset % ALIAS_SIZE == 0).then_some(offset / ALIAS_SIZE)
}

/// Returns whether a program counter is where a signal starts over the frame that the entry serves.
pub(super) fn is_between(program_counter: usize) -> bool {
    program_counter == mach_sys_fault_between as *const () as usize
}
