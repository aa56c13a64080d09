//! States of x86_64.

#![allow(non_upper_case_globals)] // C's names, in patterns

use super::words::{Out, exactly};
use crate::host::context::Context;
use mach_wire::kern_return::KernReturn;
use mach_wire::pod;
use mach_wire::thread_state::{
    ThreadState, x86_AVX_STATE, x86_AVX_STATE64, x86_EXCEPTION_STATE, x86_EXCEPTION_STATE64,
    x86_FLOAT_STATE, x86_FLOAT_STATE64, x86_THREAD_STATE, x86_THREAD_STATE64, x86_avx_state64_t,
    x86_exception_state_t, x86_float_state_t, x86_float_state64_t, x86_thread_state_t,
    x86_thread_state64_t,
};

/// `osfmk/mach/i386/thread_status.h`: all but the kernel's saved states, 14 and 15.
pub(super) const REGISTRABLE: &[i32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
];

/// Where user addresses end (A4.8).
const ADDRESS_END: u64 = 0x7fff_ffff_f000;
/// Flags that a user cannot set, and the one that is always set (A4.8).
const IOPL_NT_RF: u64 = 0x3000 | 0x4000 | 0x1_0000;
const INTERRUPTS: u64 = 0x200;

pub(super) fn get(context: &Context, flavor: i32, out: &mut Out<'_>) -> Result<(), KernReturn> {
    match flavor {
        x86_THREAD_STATE64 => out.put(&context.general()),
        x86_THREAD_STATE => out.put(&x86_thread_state_t::from(context.general())),
        x86_FLOAT_STATE64 => out.put(&float(context)?),
        x86_FLOAT_STATE => out.put(&x86_float_state_t::from(float(context)?)),
        x86_AVX_STATE64 => get_avx(context, out, &[]),
        x86_AVX_STATE => get_avx(context, out, &AVX_HEADER),
        x86_EXCEPTION_STATE64 => out.put(&context.exception()),
        x86_EXCEPTION_STATE => out.put(&x86_exception_state_t::from(context.exception())),
        _ => Err(KernReturn::INVALID_ARGUMENT),
    }
}

fn float(context: &Context) -> Result<x86_float_state64_t, KernReturn> {
    context.float().ok_or(KernReturn::INVALID_ARGUMENT)
}

/// What stands before the words of one width in the state of either (A4.14).
const AVX_HEADER: [u32; 2] = [x86_AVX_STATE64 as u32, x86_avx_state64_t::COUNT];

/// Reads the vector registers. A thread without them has another error than an unknown flavor (A4.2).
fn get_avx(context: &Context, out: &mut Out<'_>, header: &[u32]) -> Result<(), KernReturn> {
    let count = header.len() + x86_avx_state64_t::COUNT as usize;
    let words = out
        .words
        .get_mut(..count)
        .ok_or(KernReturn::INVALID_ARGUMENT)?;
    let (first, state) = words.split_at_mut(header.len());
    if !context.get_avx(pod::word_bytes_mut(state)) {
        return Err(KernReturn::FAILURE);
    }
    first.copy_from_slice(header);
    *out.count = count as u32;
    Ok(())
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
        x86_AVX_STATE64 => set_avx(context, words, &[]),
        x86_AVX_STATE => set_avx(context, words, &AVX_HEADER),
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

/// Writes the vector registers: the count exactly, and a header that matches (A4.6).
fn set_avx(context: &mut Context, words: &[u32], header: &[u32]) -> Result<(), KernReturn> {
    let state = words
        .strip_prefix(header)
        .filter(|state| state.len() == x86_avx_state64_t::COUNT as usize)
        .ok_or(KernReturn::INVALID_ARGUMENT)?;
    if context.set_avx(pod::word_bytes(state)) {
        Ok(())
    } else {
        Err(KernReturn::FAILURE)
    }
}
