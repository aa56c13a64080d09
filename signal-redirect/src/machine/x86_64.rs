//! The rewriter of x86_64.

use core::mem::offset_of;

use mach_sys::darwin::*;
use mach_sys::exception::*;
use mach_sys::pod::bytes_of_mut;
use mach_sys::thread_state::{x86_exception_state64_t, x86_float_state64_t, x86_thread_state64_t};

use crate::error::{RedirectError, ReturnError};
use crate::machine::sealed::Rewrite;
use crate::machine::{CONTEXT_STATE, Kept, Rewriter};
use crate::memory::{Memory, Unmapped};
use crate::signal_info::{SignalInfo, software_signal};
use crate::vector_save::VectorSave;

/// The x86_64 machine: Intel's and AMD's 64-bit processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum X86_64 {}

/// Flags that a handler must not inherit: direction, trap, alignment check, nested task, resume.
const NOT_INHERITED: u64 = DF | TF | AC | NT | RF;
const TF: u64 = 1 << 8;
const DF: u64 = 1 << 10;
const NT: u64 = 1 << 14;
const RF: u64 = 1 << 16;
const AC: u64 = 1 << 18;
/// Flags that user code may set: CF, PF, AF, ZF, SF, TF, DF, OF, AC, ID.
const USER_FLAGS: u64 = 0xcd5 | TF | AC | 1 << 21;
/// End of the addresses that the kernels accept as program counter or stack pointer (A4.8).
const USER_END: u64 = 0x7fff_ffff_f000;
/// Code selectors of 32-bit user code: XNU's and Linux's.
const CODE_32: [u64; 2] = [0x1b, 0x23];

/// Trap numbers (`mach/i386/exception.h` numbers them as the processor does).
mod trap {
    pub(super) const DIVIDE: u16 = 0;
    pub(super) const DEBUG: u16 = 1;
    pub(super) const INT3: u16 = 3;
    pub(super) const OVERFLOW: u16 = 4;
    pub(super) const BOUND: u16 = 5;
    pub(super) const INVALID_OPCODE: u16 = 6;
    pub(super) const GENERAL_PROTECTION: u16 = 13;
    pub(super) const PAGE_FAULT: u16 = 14;
    pub(super) const X87: u16 = 16;
    pub(super) const SSE: u16 = 19;
}
/// Bit of a page fault's error code: the fault was in user mode.
const ERR_USER: u32 = 4;

/// Exception flags of the x87 status word and of MXCSR with their `si_code`, in the order in which XNU tests them (A12.6).
const FLOAT_CAUSES: [(i64, i32); 5] = [
    (1 << 2, FPE_FLTDIV),
    (1 << 3, FPE_FLTOVF),
    (1 << 4, FPE_FLTUND),
    (1 << 5, FPE_FLTRES),
    (1 << 0, FPE_FLTINV),
];

impl Rewriter for X86_64 {
    type State = x86_thread_state64_t;
    type ExceptionState = x86_exception_state64_t;
    type FloatState = x86_float_state64_t;
    type Context = x86_mcontext64_t;

    const RETURN_MASK: ExceptionMask = ExceptionMask::BAD_ACCESS;
}

static_assertions::const_assert!(offset_of!(x86_mcontext64_t, ss) as u64 == CONTEXT_STATE);

impl Rewrite for X86_64 {
    const FLOAT_AT: u64 = offset_of!(x86_mcontext64_t, fs) as u64;

    fn check(state: &x86_thread_state64_t) -> Result<(), RedirectError> {
        if CODE_32.contains(&state.cs) {
            return Err(RedirectError::CodeSegment(state.cs));
        }
        Ok(())
    }

    fn check_way_back(state: &x86_thread_state64_t) -> Result<(), RedirectError> {
        if state.rsp >= USER_END {
            return Err(RedirectError::Unresumable(state.rsp));
        }
        Ok(())
    }

    fn kept(state: &x86_thread_state64_t) -> Kept {
        // The kernel uses 16 bits of a selector. All 64 bits are kept, in case the others have a meaning.
        [state.rflags & !USER_FLAGS, state.cs, state.fs, state.gs]
    }

    fn restore_kept(state: &mut x86_thread_state64_t, [flags, cs, fs, gs]: Kept) {
        state.rflags = state.rflags & USER_FLAGS | flags;
        state.cs = cs;
        state.fs = fs;
        state.gs = gs;
    }

    fn check_resumable(state: &x86_thread_state64_t) -> Result<(), ReturnError> {
        if state.rip >= USER_END || state.rsp >= USER_END {
            return Err(ReturnError::Unresumable {
                pc: state.rip,
                sp: state.rsp,
            });
        }
        Ok(())
    }

    fn enter(state: &mut x86_thread_state64_t, frame: u64, innermost: u64) {
        state.rflags &= !NOT_INHERITED;
        state.rbx = frame;
        state.r12 = innermost;
    }

    fn frame(state: &x86_thread_state64_t) -> u64 {
        state.rbx
    }

    fn context_size(save: VectorSave) -> u64 {
        if save.has_avx() {
            size_of::<x86_mcontext_avx64_t>() as u64
        } else {
            size_of::<x86_mcontext64_t>() as u64
        }
    }

    fn exception_state(
        exception_type: ExceptionType,
        [code, subcode]: [i64; 2],
    ) -> x86_exception_state64_t {
        let trapno = match (exception_type, code) {
            (ExceptionType::BAD_ACCESS, EXC_I386_GPFLT) => {
                return x86_exception_state64_t {
                    trapno: trap::GENERAL_PROTECTION,
                    err: subcode as u32,
                    ..Default::default()
                };
            }
            (ExceptionType::BAD_ACCESS, _) => {
                return x86_exception_state64_t {
                    trapno: trap::PAGE_FAULT,
                    err: ERR_USER,
                    faultvaddr: subcode as u64,
                    ..Default::default()
                };
            }
            (ExceptionType::BAD_INSTRUCTION, EXC_I386_INVOP) => trap::INVALID_OPCODE,
            (ExceptionType::BAD_INSTRUCTION, fault) => {
                return x86_exception_state64_t {
                    // 10 to 12 are the trap's own numbers (A12.10).
                    trapno: fault as u16,
                    err: subcode as u32,
                    ..Default::default()
                };
            }
            (ExceptionType::ARITHMETIC, EXC_I386_DIV) => trap::DIVIDE,
            (ExceptionType::ARITHMETIC, EXC_I386_INTO) => trap::OVERFLOW,
            (ExceptionType::ARITHMETIC, EXC_I386_EXTERR) => trap::X87,
            (ExceptionType::ARITHMETIC, EXC_I386_SSEEXTERR) => trap::SSE,
            (ExceptionType::SOFTWARE, EXC_I386_BOUND) => trap::BOUND,
            (ExceptionType::BREAKPOINT, EXC_I386_SGL) => trap::DEBUG,
            (ExceptionType::BREAKPOINT, _) => trap::INT3,
            _ => 0,
        };
        x86_exception_state64_t {
            trapno,
            ..Default::default()
        }
    }

    fn codes_tell(exception_type: ExceptionType, [code, _]: [i64; 2]) -> bool {
        // Not a page fault's: they do not say whether it was a write. (`int 0x7f` has the codes of an undefined instruction.)
        matches!(
            (exception_type, code),
            (ExceptionType::BAD_ACCESS, EXC_I386_GPFLT)
                | (
                    ExceptionType::BAD_INSTRUCTION,
                    EXC_I386_INVOP | EXC_I386_INVTSSFLT..=EXC_I386_STKFLT
                )
                | (
                    ExceptionType::ARITHMETIC,
                    EXC_I386_DIV | EXC_I386_INTO | EXC_I386_EXTERR | EXC_I386_SSEEXTERR
                )
                | (ExceptionType::SOFTWARE, EXC_I386_BOUND)
                | (ExceptionType::BREAKPOINT, EXC_I386_SGL | EXC_I386_BPT)
        )
    }

    fn looked_up(
        exception_type: ExceptionType,
        codes: [i64; 2],
        found: x86_exception_state64_t,
    ) -> x86_exception_state64_t {
        let derived = Self::exception_state(exception_type, codes);
        match found.trapno {
            // Trap 0 without a division: the kernel has not filled the state in.
            trap::DIVIDE if derived.trapno != trap::DIVIDE => derived,
            // The address comes from the codes.
            trap::PAGE_FAULT if derived.trapno == trap::PAGE_FAULT => x86_exception_state64_t {
                faultvaddr: derived.faultvaddr,
                ..found
            },
            _ => found,
        }
    }

    fn signal(
        exception_type: ExceptionType,
        [code, subcode]: [i64; 2],
        exception: &x86_exception_state64_t,
        pc: u64,
    ) -> Option<SignalInfo> {
        const INVALID_ADDRESS: i64 = 1;
        let (signal, si_code, address) = match (exception_type, code) {
            (ExceptionType::BAD_ACCESS, INVALID_ADDRESS) => {
                (DarwinSignal::SEGV, SEGV_MAPERR, exception.faultvaddr)
            }
            // General protection has no address.
            (ExceptionType::BAD_ACCESS, EXC_I386_GPFLT) => (DarwinSignal::SEGV, SEGV_NOOP, 0),
            (ExceptionType::BAD_ACCESS, _) => (DarwinSignal::BUS, BUS_ADRERR, exception.faultvaddr),
            (ExceptionType::BAD_INSTRUCTION, EXC_I386_INVOP) => (DarwinSignal::ILL, ILL_ILLOPC, pc),
            (ExceptionType::BAD_INSTRUCTION, _) => (DarwinSignal::ILL, ILL_NOOP, pc),
            (ExceptionType::ARITHMETIC, EXC_I386_DIV) => (DarwinSignal::FPE, FPE_INTDIV, pc),
            (ExceptionType::ARITHMETIC, EXC_I386_INTO) => (DarwinSignal::FPE, FPE_INTOVF, pc),
            (ExceptionType::ARITHMETIC, _) => {
                let cause = FLOAT_CAUSES.iter().find(|(bit, _)| subcode & bit != 0);
                let si_code = cause.map_or(FPE_NOOP, |&(_, si_code)| si_code);
                (DarwinSignal::FPE, si_code, pc)
            }
            (ExceptionType::SOFTWARE, EXC_I386_BOUND) => (DarwinSignal::TRAP, TRAP_BRKPT, pc),
            (ExceptionType::BREAKPOINT, _) => (DarwinSignal::TRAP, TRAP_BRKPT, pc),
            _ => (software_signal(exception_type, code)?, 0, pc),
        };
        Some(SignalInfo {
            signal,
            code: si_code,
            address,
        })
    }

    fn returned(
        state: &x86_thread_state64_t,
        value: u64,
        memory: &impl Memory,
    ) -> Result<x86_thread_state64_t, Unmapped> {
        let mut return_address = [0; 8];
        memory.read(state.rsp, &mut return_address)?;
        Ok(x86_thread_state64_t {
            rax: value,
            rip: u64::from_le_bytes(return_address),
            rsp: state.rsp.wrapping_add(8),
            ..*state
        })
    }

    fn initial_float() -> x86_float_state64_t {
        let mut state = x86_float_state64_t {
            fpu_mxcsr: 0x1f80,
            ..Default::default()
        };
        // The control word of `fninit`.
        bytes_of_mut(&mut state)[8..10].copy_from_slice(&0x37fu16.to_le_bytes());
        state
    }
}
