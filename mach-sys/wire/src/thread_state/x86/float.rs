//! Floating-point and vector registers of x86 (`mach/i386/_structs.h`, `mach/i386/fp_reg.h`).
//!
//! C has a field for each register (`__fpu_xmm0`, …); here they are arrays. The structures are aligned to 4. A float state has 524
//! bytes: 8 reserved, the processor's FXSAVE image of 512, and 4 reserved.

use crate::machine::Machine;
use crate::pod::{bit_struct, plain_struct};
use crate::thread_state::thread_state;

bit_struct! {
    /// The x87 control word.
    pub struct fp_control_t: u16 {
        /// Invalid operation is masked.
        ///
        0 invalid set_invalid: 1,
        /// Denormal operand is masked.
        ///
        1 denorm set_denorm: 1,
        /// Division by zero is masked.
        ///
        2 zdiv set_zdiv: 1,
        /// Overflow is masked.
        ///
        3 ovrfl set_ovrfl: 1,
        /// Underflow is masked.
        ///
        4 undfl set_undfl: 1,
        /// Loss of precision is masked.
        ///
        5 precis set_precis: 1,
        /// Precision: 0 for 24 bits, 2 for 53, 3 for 64.
        ///
        8 pc set_pc: 2,
        /// Rounding: 0 nearest, 1 down, 2 up, 3 to zero.
        ///
        10 rc set_rc: 2,
    }
}

bit_struct! {
    /// The x87 status word.
    pub struct fp_status_t: u16 {
        /// Invalid operation was raised.
        ///
        0 invalid set_invalid: 1,
        /// Denormal operand was raised.
        ///
        1 denorm set_denorm: 1,
        /// Division by zero was raised.
        ///
        2 zdiv set_zdiv: 1,
        /// Overflow was raised.
        ///
        3 ovrfl set_ovrfl: 1,
        /// Underflow was raised.
        ///
        4 undfl set_undfl: 1,
        /// Loss of precision was raised.
        ///
        5 precis set_precis: 1,
        /// A stack fault was raised.
        ///
        6 stkflt set_stkflt: 1,
        /// An unmasked exception is pending.
        ///
        7 errsumm set_errsumm: 1,
        8 c0 set_c0: 1,
        9 c1 set_c1: 1,
        10 c2 set_c2: 1,
        /// Number of the register on top of the stack.
        ///
        11 tos set_tos: 3,
        14 c3 set_c3: 1,
        15 busy set_busy: 1,
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
