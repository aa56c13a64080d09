//! Exception, debug and page-in states of arm (`mach/arm/_structs.h`).

use crate::machine::Machine;
use crate::pod::plain_struct;
use crate::thread_state::thread_state;

plain_struct! {
    /// The last exception's syndrome and address. `exception` is always 0 (A12.15).
    pub struct arm_exception_state64_t: 16, align 8 {
        0 far: u64,
        8 esr: u32,
        12 exception: u32,
    }
}
thread_state!(arm_exception_state64_t: Machine::Arm64, super::super::ARM_EXCEPTION_STATE64, 4);

plain_struct! {
    /// The last exception's syndrome at its full width, and its address.
    pub struct arm_exception_state64_v2_t: 16, align 8 {
        0 far: u64,
        8 esr: u64,
    }
}
thread_state!(arm_exception_state64_v2_t: Machine::Arm64, super::super::ARM_EXCEPTION_STATE64_V2, 4);

plain_struct! {
    /// The last exception of a 32-bit thread.
    pub struct arm_exception_state_t: 12, align 4 {
        0 exception: u32,
        4 fsr: u32,
        8 far: u32,
    }
}
thread_state!(arm_exception_state_t: Machine::Arm64, super::super::ARM_EXCEPTION_STATE, 3);

plain_struct! {
    /// Breakpoints and watchpoints.
    pub struct arm_debug_state64_t: 520, align 8 {
        0 bvr: [u64; 16],
        128 bcr: [u64; 16],
        256 wvr: [u64; 16],
        384 wcr: [u64; 16],
        512 mdscr_el1: u64,
    }
}
thread_state!(arm_debug_state64_t: Machine::Arm64, super::super::ARM_DEBUG_STATE64, 130);

plain_struct! {
    /// Breakpoints and watchpoints of a 32-bit thread.
    pub struct arm_debug_state32_t: 264, align 8 {
        0 bvr: [u32; 16],
        64 bcr: [u32; 16],
        128 wvr: [u32; 16],
        192 wcr: [u32; 16],
        256 mdscr_el1: u64,
    }
}
thread_state!(arm_debug_state32_t: Machine::Arm64, super::super::ARM_DEBUG_STATE32, 66);

plain_struct! {
    /// Breakpoints and watchpoints, in the old layout of 32-bit arm.
    pub struct arm_debug_state_t: 256, align 4 {
        0 bvr: [u32; 16],
        64 bcr: [u32; 16],
        128 wvr: [u32; 16],
        192 wcr: [u32; 16],
    }
}
thread_state!(arm_debug_state_t: Machine::Arm64, super::super::ARM_DEBUG_STATE, 64);

plain_struct! {
    /// The error of the last failed page-in.
    pub struct arm_pagein_state_t: 4, align 4 {
        0 pagein_error: i32,
    }
}
thread_state!(arm_pagein_state_t: Machine::Arm64, super::super::ARM_PAGEIN_STATE, 1);
