//! Vector and matrix registers of arm (`mach/arm/_structs.h`).
//!
//! The NEON states are aligned to 16, but only to 4 in a message, so they are copied out of it.

use crate::machine::Machine;
use crate::pod::plain_struct;
use crate::thread_state::thread_state;

plain_struct! {
    /// NEON registers.
    pub struct arm_neon_state64_t: 528, align 16 {
        0 v: [u128; 32],
        512 fpsr: u32,
        516 fpcr: u32,
        520 reserved: [u32; 2],
    }
}
thread_state!(arm_neon_state64_t: Machine::Arm64, super::super::ARM_NEON_STATE64, 132);

plain_struct! {
    /// NEON registers of a 32-bit thread.
    pub struct arm_neon_state_t: 272, align 16 {
        0 v: [u128; 16],
        256 fpsr: u32,
        260 fpcr: u32,
        264 reserved: [u32; 2],
    }
}
thread_state!(arm_neon_state_t: Machine::Arm64, super::super::ARM_NEON_STATE, 68);

plain_struct! {
    /// VFP registers of a 32-bit thread.
    pub struct arm_vfp_state_t: 260, align 4 {
        0 r: [u32; 64],
        256 fpscr: u32,
    }
}
thread_state!(arm_vfp_state_t: Machine::Arm64, super::super::ARM_VFP_STATE, 65);

plain_struct! {
    /// Streaming mode of SME. This state and those below are for `thread_get_state` and `thread_set_state` only, not for exception ports.
    pub struct arm_sme_state_t: 24, align 8 {
        0 svcr: u64,
        8 tpidr2_el0: u64,
        /// Size of a streaming vector in bytes.
        ///
        16 svl_b: u16,
        18 reserved: [u16; 3],
    }
}
thread_state!(arm_sme_state_t: Machine::Arm64, super::super::ARM_SME_STATE, 6);

plain_struct! {
    /// Sixteen scalable vector registers: z0 to z15 of `ARM_SVE_Z_STATE1`, z16 to z31 of `ARM_SVE_Z_STATE2`.
    pub struct arm_sve_z_state_t: 4096, align 4, raised 4 {
        0 z: [[u8; 256]; 16],
    }
}
thread_state!(arm_sve_z_state_t: Machine::Arm64, super::super::ARM_SVE_Z_STATE1, 1024);

plain_struct! {
    /// Predicate registers.
    pub struct arm_sve_p_state_t: 512, align 4, raised 4 {
        0 p: [[u8; 32]; 16],
    }
}
thread_state!(arm_sve_p_state_t: Machine::Arm64, super::super::ARM_SVE_P_STATE, 128);

plain_struct! {
    /// A sixteenth of the matrix: `ARM_SME_ZA_STATE1` to `ARM_SME_ZA_STATE16`.
    pub struct arm_sme_za_state_t: 4096, align 4, raised 4 {
        0 za: [u8; 4096],
    }
}
thread_state!(arm_sme_za_state_t: Machine::Arm64, super::super::ARM_SME_ZA_STATE1, 1024);

plain_struct! {
    /// The lookup table register.
    pub struct arm_sme2_state_t: 64, align 4, raised 4 {
        0 zt0: [u8; 64],
    }
}
thread_state!(arm_sme2_state_t: Machine::Arm64, super::super::ARM_SME2_STATE, 16);
