//! States of arm64.

#![allow(non_upper_case_globals)] // C's names, in patterns

use super::words::{Out, exactly};
use crate::host::context::Context;
use mach_wire::kern_return::KernReturn;
use mach_wire::thread_state::{
    ARM_EXCEPTION_STATE64, ARM_EXCEPTION_STATE64_V2, ARM_NEON_STATE64, ARM_THREAD_STATE64,
    ARM_UNIFIED_THREAD_STATE, ThreadState, arm_exception_state64_t, arm_exception_state64_v2_t,
    arm_neon_state64_t, arm_thread_state64_t, arm_unified_thread_state_t,
};

/// `osfmk/mach/arm/thread_status.h`: those that exception ports take; SVE and SME are not among them.
pub(super) const REGISTRABLE: &[i32] = &[1, 2, 3, 4, 5, 6, 7, 9, 10, 14, 15, 16, 17, 27];

pub(super) fn get(context: &Context, flavor: i32, out: &mut Out<'_>) -> Result<(), KernReturn> {
    match flavor {
        ARM_THREAD_STATE64 => out.put(&context.general()),
        ARM_UNIFIED_THREAD_STATE => out.put(&arm_unified_thread_state_t::from(context.general())),
        ARM_NEON_STATE64 => out.put(&context.float().ok_or(KernReturn::INVALID_ARGUMENT)?),
        ARM_EXCEPTION_STATE64 => out.put(&context.exception()),
        ARM_EXCEPTION_STATE64_V2 => {
            let state = context.exception();
            out.put(&arm_exception_state64_v2_t {
                far: state.far,
                esr: u64::from(state.esr),
            })
        }
        _ => Err(KernReturn::INVALID_ARGUMENT),
    }
}

pub(super) fn set(context: &mut Context, flavor: i32, words: &[u32]) -> Result<(), KernReturn> {
    match flavor {
        ARM_THREAD_STATE64 => set_general(context, &exactly(words)?),
        ARM_UNIFIED_THREAD_STATE => set_unified(context, words),
        ARM_NEON_STATE64 => {
            let state: arm_neon_state64_t = exactly(words)?;
            if context.set_float(&state) {
                Ok(())
            } else {
                Err(KernReturn::INVALID_ARGUMENT)
            }
        }
        // A4.7: accepted, and without effect.
        ARM_EXCEPTION_STATE64 => exactly::<arm_exception_state64_t>(words).map(|_| ()),
        ARM_EXCEPTION_STATE64_V2 => exactly::<arm_exception_state64_v2_t>(words).map(|_| ()),
        _ => Err(KernReturn::INVALID_ARGUMENT),
    }
}

/// Writes the general registers (A4.9). The context keeps what a user cannot set.
fn set_general(context: &mut Context, state: &arm_thread_state64_t) -> Result<(), KernReturn> {
    context.set_general(state);
    Ok(())
}

/// Writes the unified state (A4.6): at least 70 words, the inner flavor that of a 64-bit thread, the inner count ignored.
fn set_unified(context: &mut Context, words: &[u32]) -> Result<(), KernReturn> {
    let needed = arm_unified_thread_state_t::COUNT as usize;
    let words = words.get(..needed).ok_or(KernReturn::INVALID_ARGUMENT)?;
    let unified: arm_unified_thread_state_t = exactly(words)?;
    if unified.ash.flavor != ARM_THREAD_STATE64 as u32 {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    set_general(context, &unified.uts.ts_64())
}
