//! States of x86_64.

#![allow(non_upper_case_globals)] // C's names, in patterns

mod debug;
mod vectors;

use super::words::{Out, exactly};
use crate::host::context::Context;
use mach_wire::kern_return::KernReturn;
use mach_wire::thread_state::{
    x86_AVX_STATE, x86_AVX_STATE64, x86_AVX512_STATE, x86_AVX512_STATE64, x86_DEBUG_STATE,
    x86_DEBUG_STATE64, x86_EXCEPTION_STATE, x86_EXCEPTION_STATE32, x86_EXCEPTION_STATE64,
    x86_FLOAT_STATE, x86_FLOAT_STATE32, x86_FLOAT_STATE64, x86_INSTRUCTION_STATE,
    x86_INSTRUCTION_STATE_COUNT, x86_PAGEIN_STATE, x86_PAGEIN_STATE_COUNT, x86_THREAD_STATE,
    x86_THREAD_STATE32, x86_THREAD_STATE64, x86_exception_state_t, x86_float_state_t,
    x86_float_state64_t, x86_thread_state_t, x86_thread_state64_t,
};

/// `osfmk/mach/i386/thread_status.h`: all but the kernel's saved states, 14 and 15.
pub(super) const REGISTRABLE: &[i32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
];

/// The flavors that list flavors, and how many of the flavors below they list (A9.6). Flavor 0 lists the 32-bit forms.
const LISTS: [(i32, usize); 4] = [(128, 4), (129, 5), (130, 6), (131, 7)];
const LISTED: [i32; 7] = [
    x86_THREAD_STATE,
    x86_FLOAT_STATE,
    x86_EXCEPTION_STATE,
    x86_DEBUG_STATE,
    x86_AVX_STATE,
    x86_AVX512_STATE,
    x86_PAGEIN_STATE,
];

/// End of the user addresses (A4.8).
const ADDRESS_END: u64 = 0x7fff_ffff_f000;
/// Flags that a user cannot set, and the one that is always set (A4.8).
const IOPL_NT_RF: u64 = 0x3000 | 0x4000 | 0x1_0000;
const INTERRUPTS: u64 = 0x200;

/// Writes it as any other: x86 takes all of it (A4.12).
pub(super) fn set_hardened(
    context: &mut Context,
    _sent: i32,
    flavor: i32,
    words: &[u32],
) -> Result<(), KernReturn> {
    set(context, flavor, words)
}

pub(super) fn get(context: &Context, flavor: i32, out: &mut Out<'_>) -> Result<(), KernReturn> {
    match flavor {
        x86_THREAD_STATE64 => out.put(&context.general()),
        x86_THREAD_STATE => out.put(&x86_thread_state_t::from(context.general())),
        x86_FLOAT_STATE64 => out.put(&float(context)?),
        x86_FLOAT_STATE => out.put(&x86_float_state_t::from(float(context)?)),
        x86_AVX_STATE64 | x86_AVX_STATE | x86_AVX512_STATE64 | x86_AVX512_STATE => {
            vectors::get(context, flavor, out)
        }
        x86_EXCEPTION_STATE64 => out.put(&context.exception()),
        x86_EXCEPTION_STATE => out.put(&x86_exception_state_t::from(context.exception())),
        x86_DEBUG_STATE64 | x86_DEBUG_STATE => debug::get(flavor, out),
        // No page of the system's was ever looked for in vain by this kernel.
        x86_PAGEIN_STATE => out.put_zeros(x86_PAGEIN_STATE_COUNT),
        // No instruction bytes are recorded, which has no words, but wants room for all of them (A4.2, A9.6).
        x86_INSTRUCTION_STATE => {
            out.put_zeros(x86_INSTRUCTION_STATE_COUNT)?;
            out.put_words(&[])
        }
        0 => out.put_list(&[x86_THREAD_STATE32, x86_FLOAT_STATE32, x86_EXCEPTION_STATE32]),
        list => {
            let known = LISTS.iter().find(|(flavor, _)| *flavor == list);
            let (_, length) = known.ok_or(KernReturn::INVALID_ARGUMENT)?;
            out.put_list(&LISTED[..*length])
        }
    }
}

fn float(context: &Context) -> Result<x86_float_state64_t, KernReturn> {
    context.float().ok_or(KernReturn::INVALID_ARGUMENT)
}

pub(super) fn set(context: &mut Context, flavor: i32, words: &[u32]) -> Result<(), KernReturn> {
    match flavor {
        x86_THREAD_STATE64 => set_general(context, exactly(words)?),
        x86_THREAD_STATE => {
            let unified: x86_thread_state_t = exactly(words)?;
            set_general(context, unified.wide().ok_or(KernReturn::INVALID_ARGUMENT)?)
        }
        x86_FLOAT_STATE64 => set_float(context, exactly(words)?),
        x86_FLOAT_STATE => {
            let unified: x86_float_state_t = exactly(words)?;
            set_float(context, unified.wide().ok_or(KernReturn::INVALID_ARGUMENT)?)
        }
        x86_AVX_STATE64 | x86_AVX_STATE | x86_AVX512_STATE64 | x86_AVX512_STATE => {
            vectors::set(context, flavor, words)
        }
        x86_DEBUG_STATE64 | x86_DEBUG_STATE => debug::set(flavor, words),
        _ => Err(KernReturn::INVALID_ARGUMENT),
    }
}

/// Writes the general registers (A4.8).
fn set_general(context: &mut Context, mut state: x86_thread_state64_t) -> Result<(), KernReturn> {
    if state.rip >= ADDRESS_END || state.rsp >= ADDRESS_END {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    state.rflags = state.rflags & !IOPL_NT_RF | INTERRUPTS;
    context.set_general(&state);
    Ok(())
}

fn set_float(context: &mut Context, state: x86_float_state64_t) -> Result<(), KernReturn> {
    if context.set_float(&state) {
        Ok(())
    } else {
        Err(KernReturn::INVALID_ARGUMENT)
    }
}
