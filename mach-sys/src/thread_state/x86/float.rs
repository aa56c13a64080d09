//! Floating-point and vector registers of x86 (`mach/i386/_structs.h`, `mach/i386/fp_reg.h`).
//!
//! C numbers the registers as fields (`__fpu_xmm0`, …); here they are arrays. The structures are aligned to 4: a float state
//! is 524 bytes, the processor's FXSAVE image of 512 after eight bytes and before four.

use crate::machine::Machine;
use crate::pod::plain_struct;
use crate::thread_state::thread_state;

plain_struct! {
    /// The x87 control word.
    pub struct fp_control_t: 2, align 2 {
        0 bits: u16,
    }
}

plain_struct! {
    /// The x87 status word.
    pub struct fp_status_t: 2, align 2 {
        0 bits: u16,
    }
}

/// A part of a word: lowest bit and width.
const fn part(word: u16, low: u16, width: u16) -> u16 {
    word >> low & ((1 << width) - 1)
}

impl fp_control_t {
    /// Which exceptions are masked: the six lowest bits, as in the status word.
    pub const fn masked(self) -> u16 {
        part(self.bits, 0, 6)
    }

    /// Precision control (0 is 24 bits, 2 is 53, 3 is 64).
    pub const fn pc(self) -> u16 {
        part(self.bits, 8, 2)
    }

    /// Rounding control (0 nearest, 1 down, 2 up, 3 to zero).
    pub const fn rc(self) -> u16 {
        part(self.bits, 10, 2)
    }
}

impl fp_status_t {
    /// Exceptions raised: invalid, denormal, zero divide, overflow, underflow, precision (bits 0 to 5).
    pub const fn raised(self) -> u16 {
        part(self.bits, 0, 6)
    }

    /// Stack fault (bit 6).
    pub const fn stkflt(self) -> bool {
        part(self.bits, 6, 1) != 0
    }

    /// An exception that is not masked is pending (bit 7).
    pub const fn errsumm(self) -> bool {
        part(self.bits, 7, 1) != 0
    }

    /// The register on top of the stack (bits 11 to 13).
    pub const fn tos(self) -> u16 {
        part(self.bits, 11, 3)
    }
}

plain_struct! {
    /// An x87 or MMX register.
    pub struct mmst_reg_t: 16, align 1 {
        0 mmst_reg: [u8; 10],
        10 mmst_rsrv: [u8; 6],
    }
}

plain_struct! {
    /// 128 bits of a vector register.
    pub struct xmm_reg_t: 16, align 1 {
        0 xmm_reg: [u8; 16],
    }
}

plain_struct! {
    /// 256 bits of a vector register.
    pub struct ymm_reg_t: 32, align 1 {
        0 ymm_reg: [u8; 32],
    }
}

plain_struct! {
    /// A vector register of AVX-512.
    pub struct zmm_reg_t: 64, align 1 {
        0 zmm_reg: [u8; 64],
    }
}

plain_struct! {
    /// A mask register of AVX-512.
    pub struct opmask_reg_t: 8, align 1 {
        0 opmask_reg: [u8; 8],
    }
}

plain_struct! {
    /// x87 and SSE registers.
    pub struct x86_float_state64_t: 524, align 4 {
        0 fpu_reserved: [i32; 2],
        8 fpu_fcw: fp_control_t,
        10 fpu_fsw: fp_status_t,
        12 fpu_ftw: u8,
        13 fpu_rsrv1: u8,
        14 fpu_fop: u16,
        16 fpu_ip: u32,
        20 fpu_cs: u16,
        22 fpu_rsrv2: u16,
        24 fpu_dp: u32,
        28 fpu_ds: u16,
        30 fpu_rsrv3: u16,
        32 fpu_mxcsr: u32,
        36 fpu_mxcsrmask: u32,
        40 fpu_stmm: [mmst_reg_t; 8],
        168 fpu_xmm: [xmm_reg_t; 16],
        424 fpu_rsrv4: [u8; 96],
        520 fpu_reserved1: i32,
    }
}
thread_state!(x86_float_state64_t: Machine::X86_64, super::super::x86_FLOAT_STATE64, 131);

plain_struct! {
    /// x87 and SSE registers of a 32-bit thread.
    pub struct x86_float_state32_t: 524, align 4 {
        0 fpu_reserved: [i32; 2],
        8 fpu_fcw: fp_control_t,
        10 fpu_fsw: fp_status_t,
        12 fpu_ftw: u8,
        13 fpu_rsrv1: u8,
        14 fpu_fop: u16,
        16 fpu_ip: u32,
        20 fpu_cs: u16,
        22 fpu_rsrv2: u16,
        24 fpu_dp: u32,
        28 fpu_ds: u16,
        30 fpu_rsrv3: u16,
        32 fpu_mxcsr: u32,
        36 fpu_mxcsrmask: u32,
        40 fpu_stmm: [mmst_reg_t; 8],
        168 fpu_xmm: [xmm_reg_t; 8],
        296 fpu_rsrv4: [u8; 224],
        520 fpu_reserved1: i32,
    }
}
thread_state!(x86_float_state32_t: Machine::X86_64, super::super::x86_FLOAT_STATE32, 131);

plain_struct! {
    /// x87, SSE and AVX registers.
    pub struct x86_avx_state64_t: 844, align 4 {
        0 fpu_reserved: [i32; 2],
        8 fpu_fcw: fp_control_t,
        10 fpu_fsw: fp_status_t,
        12 fpu_ftw: u8,
        13 fpu_rsrv1: u8,
        14 fpu_fop: u16,
        16 fpu_ip: u32,
        20 fpu_cs: u16,
        22 fpu_rsrv2: u16,
        24 fpu_dp: u32,
        28 fpu_ds: u16,
        30 fpu_rsrv3: u16,
        32 fpu_mxcsr: u32,
        36 fpu_mxcsrmask: u32,
        40 fpu_stmm: [mmst_reg_t; 8],
        168 fpu_xmm: [xmm_reg_t; 16],
        424 fpu_rsrv4: [u8; 96],
        520 fpu_reserved1: i32,
        524 avx_reserved1: [u8; 64],
        588 fpu_ymmh: [xmm_reg_t; 16],
    }
}
thread_state!(x86_avx_state64_t: Machine::X86_64, super::super::x86_AVX_STATE64, 211);

plain_struct! {
    /// x87, SSE and AVX registers of a 32-bit thread.
    pub struct x86_avx_state32_t: 716, align 4 {
        0 fpu_reserved: [i32; 2],
        8 fpu_fcw: fp_control_t,
        10 fpu_fsw: fp_status_t,
        12 fpu_ftw: u8,
        13 fpu_rsrv1: u8,
        14 fpu_fop: u16,
        16 fpu_ip: u32,
        20 fpu_cs: u16,
        22 fpu_rsrv2: u16,
        24 fpu_dp: u32,
        28 fpu_ds: u16,
        30 fpu_rsrv3: u16,
        32 fpu_mxcsr: u32,
        36 fpu_mxcsrmask: u32,
        40 fpu_stmm: [mmst_reg_t; 8],
        168 fpu_xmm: [xmm_reg_t; 8],
        296 fpu_rsrv4: [u8; 224],
        520 fpu_reserved1: i32,
        524 avx_reserved1: [u8; 64],
        588 fpu_ymmh: [xmm_reg_t; 8],
    }
}
thread_state!(x86_avx_state32_t: Machine::X86_64, super::super::x86_AVX_STATE32, 179);

plain_struct! {
    /// x87, SSE, AVX and AVX-512 registers.
    pub struct x86_avx512_state64_t: 2444, align 4 {
        0 fpu_reserved: [i32; 2],
        8 fpu_fcw: fp_control_t,
        10 fpu_fsw: fp_status_t,
        12 fpu_ftw: u8,
        13 fpu_rsrv1: u8,
        14 fpu_fop: u16,
        16 fpu_ip: u32,
        20 fpu_cs: u16,
        22 fpu_rsrv2: u16,
        24 fpu_dp: u32,
        28 fpu_ds: u16,
        30 fpu_rsrv3: u16,
        32 fpu_mxcsr: u32,
        36 fpu_mxcsrmask: u32,
        40 fpu_stmm: [mmst_reg_t; 8],
        168 fpu_xmm: [xmm_reg_t; 16],
        424 fpu_rsrv4: [u8; 96],
        520 fpu_reserved1: i32,
        524 avx_reserved1: [u8; 64],
        588 fpu_ymmh: [xmm_reg_t; 16],
        844 fpu_k: [opmask_reg_t; 8],
        908 fpu_zmmh: [ymm_reg_t; 16],
        /// zmm16 to zmm31.
        ///
        1420 fpu_zmm: [zmm_reg_t; 16],
    }
}
thread_state!(x86_avx512_state64_t: Machine::X86_64, super::super::x86_AVX512_STATE64, 611);

plain_struct! {
    /// x87, SSE, AVX and AVX-512 registers of a 32-bit thread.
    pub struct x86_avx512_state32_t: 1036, align 4 {
        0 fpu_reserved: [i32; 2],
        8 fpu_fcw: fp_control_t,
        10 fpu_fsw: fp_status_t,
        12 fpu_ftw: u8,
        13 fpu_rsrv1: u8,
        14 fpu_fop: u16,
        16 fpu_ip: u32,
        20 fpu_cs: u16,
        22 fpu_rsrv2: u16,
        24 fpu_dp: u32,
        28 fpu_ds: u16,
        30 fpu_rsrv3: u16,
        32 fpu_mxcsr: u32,
        36 fpu_mxcsrmask: u32,
        40 fpu_stmm: [mmst_reg_t; 8],
        168 fpu_xmm: [xmm_reg_t; 8],
        296 fpu_rsrv4: [u8; 224],
        520 fpu_reserved1: i32,
        524 avx_reserved1: [u8; 64],
        588 fpu_ymmh: [xmm_reg_t; 8],
        716 fpu_k: [opmask_reg_t; 8],
        780 fpu_zmmh: [ymm_reg_t; 8],
    }
}
thread_state!(x86_avx512_state32_t: Machine::X86_64, super::super::x86_AVX512_STATE32, 259);
