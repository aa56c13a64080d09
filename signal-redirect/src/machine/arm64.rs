//! The rewriter of arm64.

use core::mem::offset_of;

use mach_sys::darwin::*;
use mach_sys::exception::*;
use mach_sys::thread_state::{arm_exception_state64_t, arm_neon_state64_t, arm_thread_state64_t};

use crate::error::{RedirectError, ReturnError};
use crate::machine::sealed::Rewrite;
use crate::machine::{CONTEXT_STATE, Kept, Rewriter};
use crate::memory::{Memory, Unmapped};
use crate::signal_info::{SignalInfo, software_signal};
use crate::vector_save::VectorSave;

/// The arm64 machine: Apple silicon and every other 64-bit ARM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm64 {}

/// Bits of cpsr that a handler must not inherit: branch type (BTI), single step, illegal execution state.
const NOT_INHERITED: u32 = 0b11 << 10 | 1 << 21 | 1 << 20;
/// Bits of cpsr that user code may set (A4.9).
const NZCV: u32 = 0xf000_0000;

/// Distance of the stack pointer below the frame at the return trap, in bytes, if the vector registers did not fit.
pub(crate) const TOO_LONG: u64 = 16;

impl Rewriter for Arm64 {
    type State = arm_thread_state64_t;
    type ExceptionState = arm_exception_state64_t;
    type FloatState = arm_neon_state64_t;
    type Context = arm_mcontext64_t;

    const RETURN_MASK: ExceptionMask = ExceptionMask::BAD_INSTRUCTION;
}

static_assertions::const_assert!(offset_of!(arm_mcontext64_t, ss) as u64 == CONTEXT_STATE);

impl Rewrite for Arm64 {
    const FLOAT_AT: u64 = offset_of!(arm_mcontext64_t, ns) as u64;

    fn check(state: &arm_thread_state64_t) -> Result<(), RedirectError> {
        if state.is_signed() {
            return Err(RedirectError::Signed(state.flags));
        }
        Ok(())
    }

    fn kept(state: &arm_thread_state64_t) -> Kept {
        [u64::from(state.cpsr & !NZCV), u64::from(state.flags), 0, 0]
    }

    fn restore_kept(state: &mut arm_thread_state64_t, [cpsr, flags, ..]: Kept) {
        state.cpsr = state.cpsr & NZCV | cpsr as u32;
        state.flags = flags as u32;
    }

    fn check_resumable(_: &arm_thread_state64_t) -> Result<(), ReturnError> {
        // The kernel accepts any state (A4.9). A thread that resumes at a bad address takes its next exception there.
        Ok(())
    }

    fn enter(state: &mut arm_thread_state64_t, frame: u64, _: u64) {
        state.cpsr &= !NOT_INHERITED;
        state.x[19] = frame;
    }

    fn frame(state: &arm_thread_state64_t) -> u64 {
        state.x[19]
    }

    fn is_too_long(state: &arm_thread_state64_t) -> bool {
        state.sp == state.x[19].wrapping_sub(TOO_LONG)
    }

    fn context_size(_: VectorSave) -> u64 {
        size_of::<arm_mcontext64_t>() as u64
    }

    fn exception_state(
        exception_type: ExceptionType,
        [code, subcode]: [i64; 2],
    ) -> arm_exception_state64_t {
        // far is 0 except for aborts, watchpoints and a misaligned pc (A12.15). The codes do not contain the syndrome.
        let has_address = match exception_type {
            ExceptionType::BAD_ACCESS => !matches!(code, EXC_ARM_SP_ALIGN | EXC_ARM_PAC_FAIL),
            ExceptionType::BREAKPOINT => code == EXC_ARM_DA_DEBUG,
            _ => false,
        };
        arm_exception_state64_t {
            far: if has_address { subcode as u64 } else { 0 },
            ..Default::default()
        }
    }

    fn codes_tell(_: ExceptionType, _: [i64; 2]) -> bool {
        // The codes do not contain the syndrome.
        false
    }

    fn looked_up(
        exception_type: ExceptionType,
        codes: [i64; 2],
        found: arm_exception_state64_t,
    ) -> arm_exception_state64_t {
        if found.esr == 0 {
            // No exception has the syndrome 0: the kernel has not filled the state in.
            return Self::exception_state(exception_type, codes);
        }
        found
    }

    fn signal(
        exception_type: ExceptionType,
        [code, _]: [i64; 2],
        exception: &arm_exception_state64_t,
        pc: u64,
    ) -> Option<SignalInfo> {
        const INVALID_ADDRESS: i64 = 1;
        let (signal, si_code, address) = match (exception_type, code) {
            (ExceptionType::BAD_ACCESS, INVALID_ADDRESS) => {
                (DarwinSignal::SEGV, SEGV_ACCERR, exception.far)
            }
            (ExceptionType::BAD_ACCESS, _) => (DarwinSignal::BUS, BUS_ADRALN, exception.far),
            (ExceptionType::BAD_INSTRUCTION, _) => (DarwinSignal::ILL, ILL_ILLTRP, pc),
            (ExceptionType::ARITHMETIC, _) => {
                let si_code = match code {
                    EXC_ARM_FP_IO => FPE_FLTINV,
                    EXC_ARM_FP_DZ => FPE_FLTDIV,
                    EXC_ARM_FP_OF => FPE_FLTOVF,
                    EXC_ARM_FP_UF => FPE_FLTUND,
                    EXC_ARM_FP_IX => FPE_FLTRES,
                    _ => FPE_NOOP,
                };
                (DarwinSignal::FPE, si_code, pc)
            }
            // Not TRAP_BRKPT (A12.7).
            (ExceptionType::BREAKPOINT, _) => (DarwinSignal::TRAP, 0, pc),
            _ => (software_signal(exception_type, code)?, 0, pc),
        };
        Some(SignalInfo {
            signal,
            code: si_code,
            address,
        })
    }

    fn returned(
        state: &arm_thread_state64_t,
        value: u64,
        _: &impl Memory,
    ) -> Result<arm_thread_state64_t, Unmapped> {
        let mut caller = *state;
        caller.x[0] = value;
        caller.pc = state.lr;
        Ok(caller)
    }

    fn initial_float() -> arm_neon_state64_t {
        arm_neon_state64_t::default()
    }
}
