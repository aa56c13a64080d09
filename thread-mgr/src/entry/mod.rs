//! The call from which a managed thread may return early: it saves the callee-saved registers, calls the body, and returns once, when the
//! body returns or when code inside it jumps back.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use core::ffi::c_void;

/// The place to jump back to: the stack pointer of the call; 0 while no call is in progress.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct WayBack(core::cell::Cell<usize>);

unsafe extern "C" {
    fn thread_mgr_call(
        argument: *mut c_void,
        body: extern "C" fn(*mut c_void),
        way_back: *mut usize,
    );
    fn thread_mgr_return(stack_pointer: usize) -> !;
}

impl WayBack {
    /// Calls `body`; returns when it returns, or when [`go`](Self::go) is called from inside it.
    pub(crate) fn call(&self, body: extern "C" fn(*mut c_void), argument: *mut c_void) {
        // SAFETY: the routine keeps to the C calling convention, and `body` does not unwind.
        unsafe { thread_mgr_call(argument, body, self.0.as_ptr()) };
        self.0.set(0);
    }

    /// Returns whether the call is in progress.
    pub(crate) fn is_open(&self) -> bool {
        self.0.get() != 0
    }

    /// Jumps back to the call, which returns.
    ///
    /// # Safety
    /// The calling thread is inside the call, which is in progress, and every frame between it and here may be skipped: see
    /// [`exit_now`](crate::exit_now).
    pub(crate) unsafe fn go(&self) -> ! {
        // SAFETY: the stack pointer that the call in progress saved, on the calling thread's own stack.
        unsafe { thread_mgr_return(self.0.get()) }
    }
}
