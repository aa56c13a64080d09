//! General registers of x86 (`mach/i386/_structs.h`).

use crate::machine::Machine;
use crate::pod::plain_struct;
use crate::thread_state::thread_state;

plain_struct! {
    /// General registers of a 64-bit thread. `ss`, `ds`, `es` and the `gs` base are in [`x86_thread_full_state64_t`].
    pub struct x86_thread_state64_t: 168, align 8 {
        0 rax: u64,
        8 rbx: u64,
        16 rcx: u64,
        24 rdx: u64,
        32 rdi: u64,
        40 rsi: u64,
        48 rbp: u64,
        56 rsp: u64,
        64 r8: u64,
        72 r9: u64,
        80 r10: u64,
        88 r11: u64,
        96 r12: u64,
        104 r13: u64,
        112 r14: u64,
        120 r15: u64,
        128 rip: u64,
        136 rflags: u64,
        144 cs: u64,
        152 fs: u64,
        160 gs: u64,
    }
}
thread_state!(x86_thread_state64_t: Machine::X86_64, super::super::x86_THREAD_STATE64, 42);

plain_struct! {
    /// General registers of a 32-bit thread.
    pub struct x86_thread_state32_t: 64, align 4 {
        0 eax: u32,
        4 ebx: u32,
        8 ecx: u32,
        12 edx: u32,
        16 edi: u32,
        20 esi: u32,
        24 ebp: u32,
        28 esp: u32,
        32 ss: u32,
        36 eflags: u32,
        40 eip: u32,
        44 cs: u32,
        48 ds: u32,
        52 es: u32,
        56 fs: u32,
        60 gs: u32,
    }
}
thread_state!(x86_thread_state32_t: Machine::X86_64, super::super::x86_THREAD_STATE32, 16);

plain_struct! {
    /// General registers with all segments, of a thread with a local descriptor table.
    pub struct x86_thread_full_state64_t: 200, align 8 {
        0 ss64: x86_thread_state64_t,
        168 ds: u64,
        176 es: u64,
        184 ss: u64,
        192 gsbase: u64,
    }
}
thread_state!(x86_thread_full_state64_t: Machine::X86_64, super::super::x86_THREAD_FULL_STATE64, 50);
