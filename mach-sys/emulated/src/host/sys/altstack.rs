//! The calling thread's alternate signal stack.
#![allow(unsafe_code)]

use super::call::call;

/// The kernel's `stack_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(in crate::host) struct Stack {
    pub(in crate::host) base: usize,
    pub(in crate::host) flags: i32,
    pub(in crate::host) size: usize,
}

/// `SS_ONSTACK`: the thread runs on it.
const SS_ONSTACK: i32 = 1;
/// `SS_DISABLE`: no alternate stack.
const SS_DISABLE: i32 = 2;
/// `SS_AUTODISARM`: the kernel disarms the stack when it delivers a signal on it.
const SS_AUTODISARM: i32 = 1 << 31;

impl Stack {
    /// No alternate stack.
    pub(in crate::host) const NONE: Self = Self {
        base: 0,
        flags: SS_DISABLE,
        size: 0,
    };

    pub(in crate::host) fn is_disabled(&self) -> bool {
        self.flags & SS_DISABLE != 0
    }

    /// Returns whether the thread runs on it, as the kernel says.
    pub(in crate::host) fn is_in_use(&self) -> bool {
        self.flags & SS_ONSTACK != 0
    }

    pub(in crate::host) fn disarms_itself(&self) -> bool {
        self.flags & SS_AUTODISARM != 0
    }

    /// Returns whether both are the same memory, or both are no stack.
    pub(in crate::host) fn is_same(&self, other: &Self) -> bool {
        match (self.is_disabled(), other.is_disabled()) {
            (true, true) => true,
            (false, false) => self.base == other.base && self.size == other.size,
            _ => false,
        }
    }

    /// Returns whether a stack pointer lies on the stack, its top included.
    pub(in crate::host) fn holds(&self, sp: usize) -> bool {
        sp.wrapping_sub(self.base) <= self.size
    }
}

/// Registers an alternate signal stack. Fails with the error number if the kernel refuses: `EPERM` while the thread runs on the one
/// that is registered.
///
/// # Safety
/// The stack is memory that nothing else uses while it is registered.
pub(in crate::host) unsafe fn register(stack: &Stack) -> Result<(), i32> {
    let address = core::ptr::from_ref(stack) as usize;
    // SAFETY: the kernel reads one `stack_t`; its meaning is the caller's promise.
    match unsafe { call(libc::SYS_sigaltstack, [address, 0, 0, 0, 0, 0]) } {
        0 => Ok(()),
        error => Err(-error as i32),
    }
}

/// Returns how many bytes the calling thread has left on its alternate signal stack; `None` if it does not run on it.
pub(crate) fn room() -> Option<usize> {
    let stack = registered();
    let here = core::ptr::from_ref(&stack) as usize;
    stack.is_in_use().then(|| here.saturating_sub(stack.base))
}

/// Returns the alternate signal stack that the calling thread has registered.
pub(in crate::host) fn registered() -> Stack {
    let mut stack = Stack::default();
    let address = core::ptr::from_mut(&mut stack) as usize;
    // SAFETY: the kernel writes one `stack_t`.
    unsafe { call(libc::SYS_sigaltstack, [0, address, 0, 0, 0, 0]) };
    stack
}
