//! Debug registers. A process cannot set its own on a system without Mach: they read as those of a thread that has no breakpoint, and
//! a state that enables one is refused with `KERN_NOT_SUPPORTED`, which XNU does not return here.

use super::ADDRESS_END;
use crate::thread::state::words::Out;
use mach_wire::kern_return::KernReturn;
use mach_wire::thread_state::{
    ThreadState, x86_DEBUG_STATE64, x86_debug_state_t, x86_debug_state64_t,
};

/// Reads them: all zero, as on XNU where none was ever set.
pub(super) fn get(flavor: i32, out: &mut Out<'_>) -> Result<(), KernReturn> {
    let state = x86_debug_state64_t::default();
    match flavor {
        x86_DEBUG_STATE64 => out.put(&state),
        _ => out.put(&x86_debug_state_t::from(state)),
    }
}

/// Writes them. The state of one width may be short: missing words are zero. That of either width has its count exactly, and a header
/// that matches (A4.6).
pub(super) fn set(flavor: i32, words: &[u32]) -> Result<(), KernReturn> {
    let state = match flavor {
        x86_DEBUG_STATE64 => {
            let mut whole = [0; x86_debug_state64_t::COUNT as usize];
            let length = words.len().min(whole.len());
            whole[..length].copy_from_slice(&words[..length]);
            x86_debug_state64_t::from_words(&whole).ok()
        }
        _ => {
            let unified = x86_debug_state_t::from_words(words).ok();
            unified.and_then(|unified| unified.wide())
        }
    };
    let state = state.filter(is_valid).ok_or(KernReturn::INVALID_ARGUMENT)?;
    if enabled(&state).any(|enabled| enabled) {
        Err(KernReturn::NOT_SUPPORTED)
    } else {
        Ok(())
    }
}

/// Returns which breakpoints are enabled for the thread.
fn enabled(state: &x86_debug_state64_t) -> impl Iterator<Item = bool> {
    let control = state.dr7;
    (0..4).map(move |index| control >> (2 * index) & 1 != 0)
}

/// Finds out whether XNU takes the registers (A9.7): no breakpoint on input and output, none on the execution of more than one byte, none
/// for all threads, and none beyond user addresses.
fn is_valid(state: &x86_debug_state64_t) -> bool {
    let addresses = [state.dr0, state.dr1, state.dr2, state.dr3];
    let on_input_and_output = 2;
    let kinds_are_valid = (0..4).all(|index| {
        let field = state.dr7 >> (16 + 4 * index);
        let (access, length) = (field & 3, field >> 2 & 3);
        access != on_input_and_output && (access != 0 || length == 0)
    });
    let is_global = state.dr7 & 0xaa != 0;
    let are_user_addresses = enabled(state)
        .zip(addresses)
        .all(|(enabled, address)| !enabled || address < ADDRESS_END);
    kinds_are_valid && !is_global && are_user_addresses
}
