//! Linux's signal frame, accessed by offsets, so that this compiles where the C library declares another one.

use core::ffi::c_void;
use mach_sys::thread_state::NativeState;

/// The context of a signal frame.
#[derive(Clone, Copy)]
pub(crate) struct Context(*mut c_void);

/// Offsets of `si_code` and `si_addr` in a siginfo, in bytes.
const CODE: usize = 8;
const ADDRESS: usize = 16;

/// Returns the code and the address of a siginfo.
///
/// # Safety
/// `info` is a siginfo that the kernel wrote for a synchronous signal.
pub(crate) unsafe fn code_and_address(info: *mut c_void) -> (i32, i64) {
    // SAFETY: the caller's promise.
    unsafe { (*info.byte_add(CODE).cast(), *info.byte_add(ADDRESS).cast()) }
}

impl Context {
    /// Wraps the context of a signal frame.
    ///
    /// # Safety
    /// `context` is the context of a signal frame, and nothing else uses it while the value or a copy lives.
    pub(crate) unsafe fn new(context: *mut c_void) -> Self {
        Self(context)
    }

    fn get(self, offset: usize) -> u64 {
        // SAFETY: the contract of `new`; every offset used is in the context.
        unsafe { *self.0.byte_add(offset).cast() }
    }

    fn set(self, offset: usize, value: u64) {
        // SAFETY: as above.
        unsafe { *self.0.byte_add(offset).cast() = value };
    }
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use super::{Context, NativeState};

    /// Offset of r8. r9 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip and rflags follow it.
    const FIRST: usize = 40;
    const SELECTORS: usize = 184;

    fn fields(state: &mut NativeState) -> [&mut u64; 18] {
        [
            &mut state.r8,
            &mut state.r9,
            &mut state.r10,
            &mut state.r11,
            &mut state.r12,
            &mut state.r13,
            &mut state.r14,
            &mut state.r15,
            &mut state.rdi,
            &mut state.rsi,
            &mut state.rbp,
            &mut state.rbx,
            &mut state.rdx,
            &mut state.rax,
            &mut state.rcx,
            &mut state.rsp,
            &mut state.rip,
            &mut state.rflags,
        ]
    }

    impl Context {
        pub(crate) fn state(self) -> NativeState {
            let mut state = NativeState {
                cs: self.get(SELECTORS) & 0xffff,
                ..NativeState::default()
            };
            for (index, field) in fields(&mut state).into_iter().enumerate() {
                *field = self.get(FIRST + 8 * index);
            }
            state
        }

        pub(crate) fn set_state(self, state: &NativeState) {
            for (index, field) in fields(&mut state.clone()).into_iter().enumerate() {
                self.set(FIRST + 8 * index, *field);
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use super::{Context, NativeState};

    const X: usize = 184;
    const SP: usize = 432;
    const PC: usize = 440;
    const PSTATE: usize = 448;

    impl Context {
        pub(crate) fn state(self) -> NativeState {
            let mut state = NativeState {
                fp: self.get(X + 8 * 29),
                lr: self.get(X + 8 * 30),
                sp: self.get(SP),
                pc: self.get(PC),
                cpsr: self.get(PSTATE) as u32,
                ..NativeState::default()
            };
            for (index, register) in state.x.iter_mut().enumerate() {
                *register = self.get(X + 8 * index);
            }
            state
        }

        pub(crate) fn set_state(self, state: &NativeState) {
            for (index, register) in state.x.iter().enumerate() {
                self.set(X + 8 * index, *register);
            }
            self.set(X + 8 * 29, state.fp);
            self.set(X + 8 * 30, state.lr);
            self.set(SP, state.sp);
            self.set(PC, state.pc);
            self.set(PSTATE, state.cpsr.into());
        }
    }
}
