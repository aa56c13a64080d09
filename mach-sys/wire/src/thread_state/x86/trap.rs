//! Exception, debug and page-in states of x86 (`mach/i386/_structs.h`).

use crate::machine::Machine;
use crate::pod::{bit_struct, plain_struct};
use crate::thread_state::thread_state;

plain_struct! {
    /// The processor's description of the last trap.
    pub struct x86_exception_state64_t: 16, align 8 {
        0 trapno: u16,
        2 cpu: u16,
        4 err: u32,
        8 faultvaddr: u64,
    }
}
thread_state!(x86_exception_state64_t: Machine::X86_64, super::super::x86_EXCEPTION_STATE64, 4);

plain_struct! {
    /// The processor's description of the last trap of a 32-bit thread.
    pub struct x86_exception_state32_t: 12, align 4 {
        0 trapno: u16,
        2 cpu: u16,
        4 err: u32,
        8 faultvaddr: u32,
    }
}
thread_state!(x86_exception_state32_t: Machine::X86_64, super::super::x86_EXCEPTION_STATE32, 3);

plain_struct! {
    /// Debug registers.
    pub struct x86_debug_state64_t: 64, align 8 {
        0 dr0: u64,
        8 dr1: u64,
        16 dr2: u64,
        24 dr3: u64,
        32 dr4: u64,
        40 dr5: u64,
        48 dr6: u64,
        56 dr7: u64,
    }
}
thread_state!(x86_debug_state64_t: Machine::X86_64, super::super::x86_DEBUG_STATE64, 16);

plain_struct! {
    /// Debug registers of a 32-bit thread.
    pub struct x86_debug_state32_t: 32, align 4 {
        0 dr0: u32,
        4 dr1: u32,
        8 dr2: u32,
        12 dr3: u32,
        16 dr4: u32,
        20 dr5: u32,
        24 dr6: u32,
        28 dr7: u32,
    }
}
thread_state!(x86_debug_state32_t: Machine::X86_64, super::super::x86_DEBUG_STATE32, 8);

plain_struct! {
    /// The error of the last failed page-in.
    pub struct x86_pagein_state_t: 4, align 4 {
        0 pagein_error: i32,
    }
}
thread_state!(x86_pagein_state_t: Machine::X86_64, super::super::x86_PAGEIN_STATE, 1);

plain_struct! {
    /// Instruction bytes around the program counter of the last invalid-opcode trap.
    pub struct x86_instruction_state_t: 2456, align 4 {
        0 insn_stream_valid_bytes: i32,
        4 insn_offset: i32,
        8 out_of_synch: i32,
        12 insn_bytes: [u8; 2380],
        2392 insn_cacheline: [u8; 64],
    }
}
thread_state!(x86_instruction_state_t: Machine::X86_64, super::super::x86_INSTRUCTION_STATE, 614);

bit_struct! {
    /// The attributes of a branch record.
    pub struct last_branch_info_t: u32 {
        0 mispredict set_mispredict: 1,
        1 tsx_abort set_tsx_abort: 1,
        2 in_tsx set_in_tsx: 1,
        3 cycle_count set_cycle_count: 16,
    }
}

plain_struct! {
    /// A branch that was taken.
    pub struct last_branch_record_t: 24, align 8 {
        0 from_ip: u64,
        8 to_ip: u64,
        16 info: last_branch_info_t,
        20 reserved: u32,
    }
}

bit_struct! {
    /// The attributes of branch records that this processor supports.
    pub struct last_branch_support_t: u32 {
        0 lbr_supported_tsx set_lbr_supported_tsx: 1,
        1 lbr_supported_cycle_count set_lbr_supported_cycle_count: 1,
        2 reserved set_reserved: 30,
    }
}

plain_struct! {
    /// The last branches, if the processor records them.
    pub struct last_branch_state_t: 776, align 8 {
        0 lbr_count: i32,
        4 lbr_supported: last_branch_support_t,
        8 lbrs: [last_branch_record_t; 32],
    }
}
thread_state!(last_branch_state_t: Machine::X86_64, super::super::x86_LAST_BRANCH_STATE, 194);
