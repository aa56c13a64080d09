//! A way out of a fault: a call that a handler may end, on the caller's stack or on one of its own.
//!
//! A runtime has such a thing already: its catch frames, its `longjmp`. Here it is as small as it can be. [`call`] notes where it is
//! and calls a function. A handler that wants to give up what the function does points the interrupted registers at the note
//! ([`Point::leave`]) and returns: the thread goes on behind [`call`].
#![allow(unsafe_code)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use mach_sys::thread_state::{NativeState, Registers};

/// Place at which a call goes on when a handler ends it.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Point {
    /// The stack pointer; 0 outside of the call.
    sp: AtomicU64,
    /// The program counter.
    pc: AtomicU64,
    /// The registers that the compiler cannot be told to save: rbx and rbp, x19 and x29.
    saved: [AtomicU64; 2],
}

impl Point {
    /// A point that no call has set yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sp: AtomicU64::new(0),
            pc: AtomicU64::new(0),
            saved: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    /// Makes a thread that stopped inside of [`call`] leave it, with a value that is not 0. Returns `false` outside of a call.
    #[must_use]
    pub fn leave(&self, state: &mut NativeState, value: u64) -> bool {
        let sp = self.sp.load(Ordering::Relaxed);
        if sp == 0 {
            return false;
        }
        state.set_sp(sp);
        state.set_pc(self.pc.load(Ordering::Relaxed));
        state.set_argument(0, value) && state.set_argument(1, core::ptr::from_ref(self) as u64)
    }
}

/// Calls `body`, below `stack_top` if there is one. Returns 0 when it returned, or the value with which a handler left it.
///
/// # Safety
/// Leaving drops nothing: nothing in `body` may need its destructor, and no lock may be held there. `stack_top` is the end of memory
/// that nothing else uses, a multiple of 16. Panics in `body` abort the process.
pub unsafe fn call<F: FnOnce()>(point: &Point, stack_top: Option<u64>, body: F) -> u64 {
    extern "C" fn enter<F: FnOnce()>(body: *mut Option<F>) {
        // SAFETY: `call` hands over a pointer to its own variable, and waits.
        if let Some(body) = unsafe { (*body).take() } {
            body();
        }
    }
    let mut body = Some(body);
    // SAFETY: the caller's promise covers what `body` does and the stack.
    let value = unsafe {
        call_raw(
            core::ptr::from_ref(point),
            stack_top.unwrap_or(0),
            enter::<F> as *const () as u64,
            core::ptr::from_mut(&mut body) as u64,
        )
    };
    point.sp.store(0, Ordering::Relaxed);
    value
}

/// Notes stack pointer and label, changes stacks, calls. Both ways out meet at the label, with the value in the first argument register
/// and the point in the second.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
unsafe fn call_raw(point: *const Point, stack_top: u64, function: u64, argument: u64) -> u64 {
    let value;
    // SAFETY: every register that the call or a handler may leave changed is named, or put back from the point.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "mov [r12], rsp",
            "mov [r12 + 8], rax",
            "mov [r12 + 16], rbx",
            "mov [r12 + 24], rbp",
            "test r13, r13",
            "cmovnz rsp, r13",
            "call r14",
            "mov rsp, [r12]",
            "mov rsi, r12",
            "xor edi, edi",
            "2:",
            "mov rbx, [rsi + 16]",
            "mov rbp, [rsi + 24]",
            inout("r12") point => _,
            inout("r13") stack_top => _,
            inout("r14") function => _,
            inout("rdi") argument => value,
            out("r15") _,
            clobber_abi("C"),
        );
    }
    value
}

/// Notes stack pointer and label, changes stacks, calls. Both ways out meet at the label, with the value in the first argument register
/// and the point in the second.
#[cfg(target_arch = "aarch64")]
#[inline(never)]
unsafe fn call_raw(point: *const Point, stack_top: u64, function: u64, argument: u64) -> u64 {
    let value;
    // SAFETY: every register that the call or a handler may leave changed is named, or put back from the point.
    unsafe {
        asm!(
            "mov x9, sp",
            "adr x10, 2f",
            "stp x9, x10, [x20]",
            "stp x19, x29, [x20, #16]",
            "cbz x21, 3f",
            "mov sp, x21",
            "3:",
            "blr x22",
            "ldr x9, [x20]",
            "mov sp, x9",
            "mov x1, x20",
            "mov x0, xzr",
            "2:",
            "ldp x19, x29, [x1, #16]",
            inout("x20") point => _,
            inout("x21") stack_top => _,
            inout("x22") function => _,
            inout("x0") argument => value,
            out("x23") _, out("x24") _, out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            clobber_abi("C"),
        );
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_runs_on_the_stack_it_is_given_and_returns() {
        let mut stack = vec![0_u128; 4096];
        let low = stack.as_ptr() as u64;
        let top = low + 16 * stack.len() as u64;
        let mut ran_at = 0;
        let point = Point::new();
        // SAFETY: the vector is the stack's alone, and large enough for two stores.
        let value = unsafe {
            call(&point, Some(top), || {
                let here = 0_u64;
                ran_at = std::hint::black_box(core::ptr::from_ref(&here)) as u64;
            })
        };
        assert_eq!(value, 0);
        assert!((low..top).contains(&ran_at), "{ran_at:#x}");
        std::hint::black_box(&mut stack);
        assert!(
            !point.leave(&mut NativeState::default(), 1),
            "the call is over"
        );
    }
}
