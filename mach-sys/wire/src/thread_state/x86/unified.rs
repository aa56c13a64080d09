//! The unified states of x86: a header with the flavor of one of two widths, and its state (`mach/i386/thread_status.h`, A4.14).

use crate::machine::Machine;
use crate::pod::{overlay, plain_struct};
use crate::thread_state::{thread_state, unified_state};

use super::super::flavor::*;
use super::{
    x86_avx_state32_t, x86_avx_state64_t, x86_avx512_state32_t, x86_avx512_state64_t,
    x86_debug_state32_t, x86_debug_state64_t, x86_exception_state32_t, x86_exception_state64_t,
    x86_float_state32_t, x86_float_state64_t, x86_thread_state32_t, x86_thread_state64_t,
};

plain_struct! {
    /// The header of a unified state: the flavor of one width, and its number of words.
    pub struct x86_state_hdr_t: 8, align 4 {
        0 flavor: u32,
        4 count: u32,
    }
}

unified_state! {
    /// General registers of either width.
    pub struct x86_thread_state_t: 176, align 8 {
        0 tsh: x86_state_hdr_t,
        8 uts: x86_thread_state_uts_t [u64; 21] { ts32: x86_thread_state32_t, ts64: x86_thread_state64_t },
    }
}
thread_state!(x86_thread_state_t: Machine::X86_64, x86_THREAD_STATE, 44);

unified_state! {
    /// x87 and SSE registers of either width.
    pub struct x86_float_state_t: 532, align 4 {
        0 fsh: x86_state_hdr_t,
        8 ufs: x86_float_state_ufs_t [u32; 131] { fs32: x86_float_state32_t, fs64: x86_float_state64_t },
    }
}
thread_state!(x86_float_state_t: Machine::X86_64, x86_FLOAT_STATE, 133);

unified_state! {
    /// The last trap of either width.
    pub struct x86_exception_state_t: 24, align 8 {
        0 esh: x86_state_hdr_t,
        8 ues: x86_exception_state_ues_t [u64; 2] { es32: x86_exception_state32_t, es64: x86_exception_state64_t },
    }
}
thread_state!(x86_exception_state_t: Machine::X86_64, x86_EXCEPTION_STATE, 6);

unified_state! {
    /// Debug registers of either width.
    pub struct x86_debug_state_t: 72, align 8 {
        0 dsh: x86_state_hdr_t,
        8 uds: x86_debug_state_uds_t [u64; 8] { ds32: x86_debug_state32_t, ds64: x86_debug_state64_t },
    }
}
thread_state!(x86_debug_state_t: Machine::X86_64, x86_DEBUG_STATE, 18);

unified_state! {
    /// x87, SSE and AVX registers of either width.
    pub struct x86_avx_state_t: 852, align 4 {
        0 ash: x86_state_hdr_t,
        8 ufs: x86_avx_state_ufs_t [u32; 211] { as32: x86_avx_state32_t, as64: x86_avx_state64_t },
    }
}
thread_state!(x86_avx_state_t: Machine::X86_64, x86_AVX_STATE, 213);

unified_state! {
    /// x87, SSE, AVX and AVX-512 registers of either width.
    pub struct x86_avx512_state_t: 2452, align 4 {
        0 ash: x86_state_hdr_t,
        8 ufs: x86_avx512_state_ufs_t [u32; 611] { as32: x86_avx512_state32_t, as64: x86_avx512_state64_t },
    }
}
thread_state!(x86_avx512_state_t: Machine::X86_64, x86_AVX512_STATE, 613);
