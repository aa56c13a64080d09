//! AVX and AVX-512 states: a thread whose processor or frame has no such registers answers `KERN_FAILURE` (A4.2).

#![allow(non_upper_case_globals)] // C's names, in patterns

use crate::host::context::Context;
use crate::thread::state::words::Out;
use mach_wire::kern_return::KernReturn;
use mach_wire::pod;
use mach_wire::thread_state::{
    ThreadState, x86_AVX_STATE, x86_AVX_STATE64, x86_AVX512_STATE, x86_AVX512_STATE64,
    x86_avx_state64_t, x86_avx512_state64_t,
};

/// Words before those of one width in a state of either (A4.14).
const AVX_HEADER: [u32; 2] = [x86_AVX_STATE64 as u32, x86_avx_state64_t::COUNT];
const AVX512_HEADER: [u32; 2] = [x86_AVX512_STATE64 as u32, x86_avx512_state64_t::COUNT];

/// Returns the header and the number of words of a flavor.
fn form(flavor: i32) -> (&'static [u32], usize) {
    let header: &[u32] = match flavor {
        x86_AVX_STATE => &AVX_HEADER,
        x86_AVX512_STATE => &AVX512_HEADER,
        _ => &[],
    };
    let count = match flavor {
        x86_AVX_STATE64 | x86_AVX_STATE => x86_avx_state64_t::COUNT,
        _ => x86_avx512_state64_t::COUNT,
    };
    (header, header.len() + count as usize)
}

/// Reads the registers. A state of one width needs room for exactly its words, a state of either width for at least its words (A9.6).
pub(super) fn get(context: &Context, flavor: i32, out: &mut Out<'_>) -> Result<(), KernReturn> {
    let (header, count) = form(flavor);
    if header.is_empty() && out.words.len() != count {
        return Err(KernReturn::INVALID_ARGUMENT);
    }
    let words = out.words.get_mut(..count);
    let words = words.ok_or(KernReturn::INVALID_ARGUMENT)?;
    let (first, state) = words.split_at_mut(header.len());
    let state = pod::word_bytes_mut(state);
    let has_them = match flavor {
        x86_AVX_STATE64 | x86_AVX_STATE => context.get_avx(state),
        _ => context.get_avx512(state),
    };
    if !has_them {
        return Err(KernReturn::FAILURE);
    }
    first.copy_from_slice(header);
    *out.count = count as u32;
    Ok(())
}

/// Writes the registers: the count exactly, and a header that matches (A4.6).
pub(super) fn set(context: &mut Context, flavor: i32, words: &[u32]) -> Result<(), KernReturn> {
    let (header, count) = form(flavor);
    let state = words
        .strip_prefix(header)
        .filter(|_| words.len() == count)
        .ok_or(KernReturn::INVALID_ARGUMENT)?;
    let state = pod::word_bytes(state);
    let has_them = match flavor {
        x86_AVX_STATE64 | x86_AVX_STATE => context.set_avx(state),
        _ => context.set_avx512(state),
    };
    if has_them {
        Ok(())
    } else {
        Err(KernReturn::FAILURE)
    }
}
