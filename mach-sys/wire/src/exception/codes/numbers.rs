//! The code numbers of both machines and of Unix (`mach/i386/exception.h`, `mach/arm/exception.h`, `mach/exception_types.h`,
//! `sys/ux_exception.h`). The same number has different meanings for different exception types: see [`Meaning`](super::Meaning).

use crate::names::raw_constants;
use crate::types::mach_exception_data_type_t;

raw_constants! {
    mach_exception_data_type_t; I386_CODES;
    /// Invalid opcode, of `EXC_BAD_INSTRUCTION`.
    ///
    EXC_I386_INVOP = 1;
    /// Divide error, of `EXC_ARITHMETIC`.
    ///
    EXC_I386_DIV = 1;
    /// `into`, of `EXC_ARITHMETIC`.
    ///
    EXC_I386_INTO = 2;
    EXC_I386_NOEXT = 3;
    EXC_I386_EXTOVR = 4;
    /// x87 error, of `EXC_ARITHMETIC`; the subcode is the status word.
    ///
    EXC_I386_EXTERR = 5;
    EXC_I386_EMERR = 6;
    /// `bound`, of `EXC_SOFTWARE`.
    ///
    EXC_I386_BOUND = 7;
    /// SSE error, of `EXC_ARITHMETIC`; the subcode is MXCSR.
    ///
    EXC_I386_SSEEXTERR = 8;
    /// Single step or watchpoint, of `EXC_BREAKPOINT`.
    ///
    EXC_I386_SGL = 1;
    /// `int3`, of `EXC_BREAKPOINT`.
    ///
    EXC_I386_BPT = 2;
    EXC_I386_DIVERR = 0;
    EXC_I386_SGLSTP = 1;
    EXC_I386_NMIFLT = 2;
    EXC_I386_BPTFLT = 3;
    EXC_I386_INTOFLT = 4;
    EXC_I386_BOUNDFLT = 5;
    EXC_I386_INVOPFLT = 6;
    EXC_I386_NOEXTFLT = 7;
    EXC_I386_DBLFLT = 8;
    EXC_I386_EXTOVRFLT = 9;
    EXC_I386_INVTSSFLT = 10;
    EXC_I386_SEGNPFLT = 11;
    EXC_I386_STKFLT = 12;
    /// General protection, of `EXC_BAD_ACCESS`; the subcode is the hardware's error code, not an address.
    ///
    EXC_I386_GPFLT = 13;
    EXC_I386_PGFLT = 14;
    EXC_I386_EXTERRFLT = 16;
    EXC_I386_ALIGNFLT = 17;
    EXC_I386_ENDPERR = 33;
    EXC_I386_ENOEXTFLT = 32;
}

raw_constants! {
    mach_exception_data_type_t; ARM_CODES;
    /// Undefined, of `EXC_BAD_INSTRUCTION`; the subcode is the instruction.
    ///
    EXC_ARM_UNDEFINED = 1;
    EXC_ARM_SME_DISALLOWED = 2;
    EXC_ARM_FP_UNDEFINED = 0;
    EXC_ARM_FP_IO = 1;
    EXC_ARM_FP_DZ = 2;
    EXC_ARM_FP_OF = 3;
    EXC_ARM_FP_UF = 4;
    EXC_ARM_FP_IX = 5;
    EXC_ARM_FP_ID = 6;
    /// Misaligned access, of `EXC_BAD_ACCESS`.
    ///
    EXC_ARM_DA_ALIGN = 0x101;
    /// Watchpoint, of `EXC_BREAKPOINT`; the subcode is the address.
    ///
    EXC_ARM_DA_DEBUG = 0x102;
    /// Misaligned stack pointer, of `EXC_BAD_ACCESS`.
    ///
    EXC_ARM_SP_ALIGN = 0x103;
    /// `swp` instruction, of `EXC_BAD_ACCESS`.
    ///
    EXC_ARM_SWP = 0x104;
    /// Pointer authentication failed, of `EXC_BAD_ACCESS`; the subcode is the instruction.
    ///
    EXC_ARM_PAC_FAIL = 0x105;
    /// `brk`, of `EXC_BREAKPOINT`.
    ///
    EXC_ARM_BREAKPOINT = 1;
    /// Memory tag check failed, of `EXC_BAD_ACCESS` (macOS 26).
    ///
    EXC_ARM_MTE_TAGCHECK_FAIL = 0x106;
    /// Address not canonical, of `EXC_BAD_ACCESS` (macOS 26, with memory tagging).
    ///
    EXC_ARM_MTE_CANONICAL_FAIL = 0x107;
}

raw_constants! {
    mach_exception_data_type_t; SOFTWARE_CODES;
    EXC_UNIX_BAD_SYSCALL = 0x1_0000;
    EXC_UNIX_BAD_PIPE = 0x1_0001;
    EXC_UNIX_ABORT = 0x1_0002;
    /// A Unix signal; the subcode is its number.
    ///
    EXC_SOFT_SIGNAL = 0x1_0003;
    /// First code of the mandatory access control framework.
    ///
    EXC_MACF_MIN = 0x2_0000;
    /// Last code of the mandatory access control framework.
    ///
    EXC_MACF_MAX = 0x2_ffff;
}
