//! States of arm64.

#![allow(non_upper_case_globals)] // C's names, in patterns

use super::words::{Out, exactly};
use crate::host::context::Context;
use mach_wire::kern_return::KernReturn;
use mach_wire::thread_state::{
    ARM_DEBUG_STATE, ARM_DEBUG_STATE64, ARM_EXCEPTION_STATE, ARM_EXCEPTION_STATE64,
    ARM_EXCEPTION_STATE64_V2, ARM_NEON_STATE64, ARM_PAGEIN_STATE, ARM_PAGEIN_STATE_COUNT,
    ARM_THREAD_STATE64, ARM_UNIFIED_THREAD_STATE, ARM_VFP_STATE, ARM_VFP_STATE_COUNT, ThreadState,
    arm_debug_state64_t, arm_exception_state64_t, arm_exception_state64_v2_t, arm_neon_state64_t,
    arm_thread_state64_t, arm_unified_thread_state_t,
};

/// `osfmk/mach/arm/thread_status.h`: those that exception ports take; SVE and SME are not among them.
pub(super) const REGISTRABLE: &[i32] = &[1, 2, 3, 4, 5, 6, 7, 9, 10, 14, 15, 16, 17, 27];

/// The flavors that list flavors, and those that they list for a 64-bit thread (A9.6).
const LISTS: [(i32, &[i32]); 3] = [
    (
        0,
        &[
            ARM_UNIFIED_THREAD_STATE,
            ARM_VFP_STATE,
            ARM_EXCEPTION_STATE,
            ARM_DEBUG_STATE,
        ],
    ),
    (
        128,
        &[
            ARM_UNIFIED_THREAD_STATE,
            ARM_VFP_STATE,
            ARM_EXCEPTION_STATE64,
            ARM_DEBUG_STATE64,
        ],
    ),
    (
        131,
        &[
            ARM_UNIFIED_THREAD_STATE,
            ARM_VFP_STATE,
            ARM_EXCEPTION_STATE64,
            ARM_DEBUG_STATE64,
            ARM_PAGEIN_STATE,
        ],
    ),
];

/// Words of the VFP state of an older processor, and of any (A4.6).
const VFP_COUNTS: [usize; 2] = [33, ARM_VFP_STATE_COUNT as usize];

/// Returns how many words of the VFP state a reader with this room gets. XNU copies them from the start of the vector registers of
/// the thread, whatever its width: the last one is a register's too, and not the status word of a 32-bit thread.
fn vfp_count(room: usize) -> Option<usize> {
    let [old, all] = VFP_COUNTS;
    match room {
        _ if room >= all => Some(all),
        _ if room >= old => Some(old),
        _ => None,
    }
}

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
        ARM_VFP_STATE => {
            let count = vfp_count(out.words.len()).ok_or(KernReturn::INVALID_ARGUMENT)?;
            let state = context.float().ok_or(KernReturn::INVALID_ARGUMENT)?;
            out.put_words(&state.as_words()[..count])
        }
        // A process cannot set its own debug registers on a system without Mach: those of a thread that has no breakpoint.
        ARM_DEBUG_STATE64 => out.put_zeros(arm_debug_state64_t::COUNT),
        // No page of the system's was ever looked for in vain by this kernel.
        ARM_PAGEIN_STATE => out.put_zeros(ARM_PAGEIN_STATE_COUNT),
        list => {
            let known = LISTS.iter().find(|(flavor, _)| *flavor == list);
            let (_, flavors) = known.ok_or(KernReturn::INVALID_ARGUMENT)?;
            out.put_list(flavors)
        }
    }
}

pub(super) fn set(context: &mut Context, flavor: i32, words: &[u32]) -> Result<(), KernReturn> {
    match flavor {
        ARM_THREAD_STATE64 => set_general(context, &exactly(words)?),
        ARM_UNIFIED_THREAD_STATE => set_unified(context, words),
        ARM_NEON_STATE64 => set_float(context, &exactly(words)?),
        // A4.7: accepted, and without effect.
        ARM_EXCEPTION_STATE64 => exactly::<arm_exception_state64_t>(words).map(|_| ()),
        ARM_EXCEPTION_STATE64_V2 => exactly::<arm_exception_state64_v2_t>(words).map(|_| ()),
        ARM_VFP_STATE if VFP_COUNTS.contains(&words.len()) => {
            let mut state = context.float().ok_or(KernReturn::INVALID_ARGUMENT)?;
            state.as_words_mut()[..words.len()].copy_from_slice(words);
            set_float(context, &state)
        }
        ARM_DEBUG_STATE64 => set_debug(&exactly(words)?),
        _ => Err(KernReturn::INVALID_ARGUMENT),
    }
}

/// Writes the program counter alone of a state of general registers, and any other state whole (A4.12). Where such a state is of the other flavor
/// than was sent, XNU's kernel panics; here the level fails.
pub(super) fn set_hardened(
    context: &mut Context,
    sent: i32,
    flavor: i32,
    words: &[u32],
) -> Result<(), KernReturn> {
    let before = context.general();
    match flavor {
        ARM_THREAD_STATE64 | ARM_UNIFIED_THREAD_STATE if flavor != sent => {
            return Err(KernReturn::FAILURE);
        }
        ARM_THREAD_STATE64 | ARM_UNIFIED_THREAD_STATE => {}
        _ => return set(context, flavor, words),
    }
    set(context, flavor, words)?;
    let pc = context.general().pc;
    context.set_general(&arm_thread_state64_t { pc, ..before });
    Ok(())
}

fn set_float(context: &mut Context, state: &arm_neon_state64_t) -> Result<(), KernReturn> {
    if context.set_float(state) {
        Ok(())
    } else {
        Err(KernReturn::INVALID_ARGUMENT)
    }
}

/// Refuses what XNU refuses (A9.7), and with `KERN_NOT_SUPPORTED` what the system cannot do: to enable a breakpoint or a single step.
fn set_debug(state: &arm_debug_state64_t) -> Result<(), KernReturn> {
    const LINKED: u64 = 0x0010_0000;
    const TYPE: u64 = 0x00e0_0000;
    const ENABLED: u64 = 1;
    const STEP: u64 = 1;
    let is_linked = |control: &u64| control & LINKED != 0;
    let is_typed = |control: &u64| control & TYPE != 0;
    if state
        .bcr
        .iter()
        .any(|control| is_linked(control) || is_typed(control))
        || state.wcr.iter().any(is_linked)
    {
        return Err(KernReturn::PROTECTION_FAILURE);
    }
    let is_enabled = |control: &u64| control & ENABLED != 0;
    if state.mdscr_el1 & STEP != 0 || state.bcr.iter().chain(&state.wcr).any(is_enabled) {
        return Err(KernReturn::NOT_SUPPORTED);
    }
    Ok(())
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
