//! Machine contexts (`i386/_mcontext.h`, `arm/_mcontext.h`): the exception, general and vector registers of the interrupted
//! thread. `uc_mcsize` distinguishes the three of x86_64.

use crate::pod::plain_struct;
use crate::thread_state::{
    arm_exception_state64_t, arm_neon_state64_t, arm_thread_state64_t, x86_avx_state64_t,
    x86_avx512_state64_t, x86_exception_state64_t, x86_float_state64_t, x86_thread_state64_t,
};

plain_struct! {
    /// Machine context of x86_64 with SSE (`struct __darwin_mcontext64` of i386).
    pub struct x86_mcontext64_t: 712, align 8 {
        0 es: x86_exception_state64_t,
        16 ss: x86_thread_state64_t,
        184 fs: x86_float_state64_t,
        708 reserved: u32,
    }
}

plain_struct! {
    /// Machine context of x86_64 with AVX (`struct __darwin_mcontext_avx64`).
    pub struct x86_mcontext_avx64_t: 1032, align 8 {
        0 es: x86_exception_state64_t,
        16 ss: x86_thread_state64_t,
        184 fs: x86_avx_state64_t,
        1028 reserved: u32,
    }
}

plain_struct! {
    /// Machine context of x86_64 with AVX-512 (`struct __darwin_mcontext_avx512_64`).
    pub struct x86_mcontext_avx512_64_t: 2632, align 8 {
        0 es: x86_exception_state64_t,
        16 ss: x86_thread_state64_t,
        184 fs: x86_avx512_state64_t,
        2628 reserved: u32,
    }
}

plain_struct! {
    /// Machine context of arm64 (`struct __darwin_mcontext64` of arm).
    pub struct arm_mcontext64_t: 816, align 16 {
        0 es: arm_exception_state64_t,
        16 ss: arm_thread_state64_t,
        288 ns: arm_neon_state64_t,
    }
}
