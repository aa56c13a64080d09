//! General registers of arm (`mach/arm/_structs.h`).

use crate::machine::Machine;
use crate::pod::{overlay, plain_struct};
use crate::thread_state::{thread_state, unified_state};

plain_struct! {
    /// General registers of a 64-bit thread.
    ///
    /// On **arm64e** the C header names fp, lr, sp, pc and flags `__opaque_*`, because the four registers are signed pointers, at the same
    /// offsets. The kernel signs the registers that it sends to a server with the discriminators "fp", "lr", "sp" and "pc" (A4.11). To
    /// read one, strip its signature (`ptrauth_strip`, or mask to the address bits). To write pc or lr, clear
    /// [`KERNEL_SIGNED_PC`](Self::KERNEL_SIGNED_PC) (or `_LR`), and sign the pointer with the process-independent code key and the
    /// discriminator blended with the diversifier in the top byte of the flags that the kernel sent. While the flag is set, the kernel
    /// restores the old value. 0 is never signed. The accessors of [`Registers`](crate::thread_state::Registers) neither sign nor strip:
    /// they are right only if [`is_signed`](Self::is_signed) is false, which is always so on plain arm64, this crate's target.
    pub struct arm_thread_state64_t: 272, align 8 {
        0 x: [u64; 29],
        232 fp: u64,
        240 lr: u64,
        248 sp: u64,
        256 pc: u64,
        264 cpsr: u32,
        /// `__opaque_flags` on arm64e; `__pad` on arm64, where it is 0.
        ///
        268 flags: u32,
    }
}
thread_state!(arm_thread_state64_t: Machine::Arm64, super::super::ARM_THREAD_STATE64, 68);

impl arm_thread_state64_t {
    /// arm64e: the thread runs without pointer authentication (`__DARWIN_ARM_THREAD_STATE64_FLAGS_NO_PTRAUTH`).
    pub const NO_PTRAUTH: u32 = 1;
    /// arm64e: lr is signed as a return address (`…_FLAGS_IB_SIGNED_LR`).
    pub const IB_SIGNED_LR: u32 = 2;
    /// arm64e: the kernel signed pc, and restores the old value while this flag is set (`…_FLAGS_KERNEL_SIGNED_PC`).
    pub const KERNEL_SIGNED_PC: u32 = 4;
    /// arm64e: the kernel signed lr (`…_FLAGS_KERNEL_SIGNED_LR`).
    pub const KERNEL_SIGNED_LR: u32 = 8;
    /// arm64e: the bits of the message's diversifier (`…_FLAGS_USER_DIVERSIFIER_MASK`).
    pub const USER_DIVERSIFIER_MASK: u32 = 0xff00_0000;

    /// Returns `true` if the pointers in this state are signed, so that the accessors of [`Registers`](crate::thread_state::Registers) do
    /// not apply.
    pub const fn is_signed(&self) -> bool {
        let signed = Self::IB_SIGNED_LR | Self::KERNEL_SIGNED_PC | Self::KERNEL_SIGNED_LR;
        self.flags & signed != 0 && self.flags & Self::NO_PTRAUTH == 0
    }
}

plain_struct! {
    /// General registers of a 32-bit thread.
    pub struct arm_thread_state32_t: 68, align 4 {
        0 r: [u32; 13],
        52 sp: u32,
        56 lr: u32,
        60 pc: u32,
        64 cpsr: u32,
    }
}
thread_state!(arm_thread_state32_t: Machine::Arm64, super::super::ARM_THREAD_STATE32, 17);

plain_struct! {
    /// The header of a unified state: the flavor of one width, and its number of words.
    pub struct arm_state_hdr_t: 8, align 4 {
        0 flavor: u32,
        4 count: u32,
    }
}

unified_state! {
    /// General registers of either width. On arm64 this is the state of `ARM_THREAD_STATE`, with 70 words.
    pub struct arm_unified_thread_state_t: 280, align 8 {
        0 ash: arm_state_hdr_t,
        8 uts: arm_unified_thread_state_uts_t [u64; 34] { ts_32: arm_thread_state32_t, ts_64: arm_thread_state64_t },
    }
}
thread_state!(arm_unified_thread_state_t: Machine::Arm64, super::super::ARM_UNIFIED_THREAD_STATE, 70);
