//! Translation of a signal to an exception, as a pure function of the delivered signal (G1).
//!
//! The pair (signal, si_code) decides first. Only for a pair that a CPU fault produces do the hardware's words count: trap number,
//! error code and fault address are those of the thread's *last* trap, stale in every other signal (G1.3, G1.4). On systems that
//! never fill them in (R22) the pair and si_addr alone decide.

use mach_wire::exception::{
    EXC_ARITHMETIC, EXC_BAD_ACCESS, EXC_BAD_INSTRUCTION, EXC_BREAKPOINT, EXC_I386_BOUND,
    EXC_SOFTWARE,
};
use mach_wire::types::exception_type_t;

/// An exception with its two codes (A3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) exception: exception_type_t,
    pub(crate) codes: [i64; 2],
}

impl Raised {
    /// Returns whether the instruction faults again when the thread resumes. After a step, an x86_64 breakpoint or an
    /// overflow trap it does not (G3.2).
    pub(in crate::host) fn recurs(&self) -> bool {
        match (self.exception, self.codes) {
            (EXC_BREAKPOINT, codes) => cfg!(target_arch = "aarch64") && codes != [1, 0],
            (EXC_ARITHMETIC, [2, 0]) => cfg!(target_arch = "aarch64"),
            _ => true,
        }
    }
}

const fn raised(exception: exception_type_t, code: i64, subcode: u64) -> Option<Raised> {
    Some(Raised {
        exception,
        codes: [code, subcode as i64],
    })
}

/// A delivered signal, with the interrupted pc and the hardware's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) signal: i32,
    pub(crate) si_code: i32,
    pub(crate) si_addr: u64,
    pub(crate) pc: u64,
    pub(crate) hardware: Hardware,
}

/// The hardware's words, of either machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hardware {
    /// x86_64: trap number. arm64: address of the last abort, without its top byte.
    pub(crate) trap: u64,
    /// x86_64: error code. arm64: syndrome, 0 where the system gave none.
    pub(crate) error: u64,
    /// x86_64: x87 status word in the low half, MXCSR in the high half. arm64: the instruction at pc, 0 where it is unreadable.
    pub(crate) detail: u64,
    /// arm64: the stack pointer.
    pub(crate) sp: u64,
}

/// Source of the trap data: the hardware's words, if this system fills them in, or the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Hardware,
    /// Trap number and error code are always 0 here (R22).
    SignalOnly,
}

// `si_code` values of Linux.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
const SI_KERNEL: i32 = 0x80;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const SEGV_PKUERR: i32 = 4;
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const BUS_MCEERR_AR: i32 = 4;
const FPE_INTDIV: i32 = 1;
const FPE_FLTDIV: i32 = 3;
const FPE_FLTINV: i32 = 7;
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const TRAP_HWBKPT: i32 = 4;

// The kernel's codes for a bad access (A12.12).
const KERN_INVALID_ADDRESS: i64 = 1;
const KERN_PROTECTION_FAILURE: i64 = 2;
const KERN_MEMORY_ERROR: i64 = 10;

/// Returns a page fault's code, from a pair that only page faults have.
const fn page_fault(signal: i32, si_code: i32) -> Option<i64> {
    match (signal, si_code) {
        (libc::SIGSEGV, SEGV_MAPERR) => Some(KERN_INVALID_ADDRESS),
        (libc::SIGSEGV, SEGV_ACCERR | SEGV_PKUERR) => Some(KERN_PROTECTION_FAILURE),
        (libc::SIGBUS, BUS_ADRERR | BUS_MCEERR_AR) => Some(KERN_MEMORY_ERROR),
        _ => None,
    }
}

/// Classifies a signal on x86_64 (A12.10). Compiled and tested on both machines, used on its own. `None`: no exception, the signal goes to the host level.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) fn x86_64(delivered: Delivered, trust: Trust) -> Option<Raised> {
    let Delivered {
        signal,
        si_code,
        si_addr,
        hardware,
        ..
    } = delivered;
    if si_code <= 0 {
        return None;
    }
    let trap = match trust {
        Trust::Hardware => hardware.trap,
        Trust::SignalOnly => implied_trap(signal, si_code)?,
    };
    match (signal, si_code, trap) {
        (libc::SIGFPE, FPE_INTDIV, 0) => raised(EXC_ARITHMETIC, 1, 0),
        (libc::SIGTRAP, TRAP_TRACE | TRAP_HWBKPT | TRAP_BRKPT, 1) => raised(EXC_BREAKPOINT, 1, 0),
        (libc::SIGTRAP, SI_KERNEL, 3) => raised(EXC_BREAKPOINT, 2, 0),
        (libc::SIGSEGV, SI_KERNEL, 4) => raised(EXC_ARITHMETIC, 2, 0),
        (libc::SIGILL, _, 6) => raised(EXC_BAD_INSTRUCTION, 1, 0),
        (libc::SIGBUS, SI_KERNEL, 12) => raised(EXC_BAD_INSTRUCTION, 12, hardware.error),
        (libc::SIGSEGV, SI_KERNEL, 13) => raised(EXC_BAD_ACCESS, 13, hardware.error),
        (libc::SIGSEGV | libc::SIGBUS, _, 14) => {
            raised(EXC_BAD_ACCESS, page_fault(signal, si_code)?, si_addr)
        }
        (libc::SIGFPE, FPE_FLTDIV..=FPE_FLTINV, 16) => {
            raised(EXC_ARITHMETIC, 5, hardware.detail & 0xffff)
        }
        (libc::SIGFPE, FPE_FLTDIV..=FPE_FLTINV, 19) => {
            raised(EXC_ARITHMETIC, 8, hardware.detail >> 32)
        }
        _ => None,
    }
}

/// Error code of a general protection fault by the instruction `int 5`.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) const INT_5: u64 = 5 << 3 | 2;
/// The same of `int 0x7f`.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) const INT_7F: u64 = 0x7f << 3 | 2;

/// Returns what an `int` instruction raises whose gate is open to user code on XNU, and not here: a general protection fault with this error code, at
/// these two bytes (G1.12). `None` for every other.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) const fn software_interrupt(error: u64, instruction: [u8; 2]) -> Option<Raised> {
    match (error, instruction) {
        (INT_5, [0xcd, 5]) => raised(EXC_SOFTWARE, EXC_I386_BOUND, 0),
        (INT_7F, [0xcd, 0x7f]) => raised(EXC_BAD_INSTRUCTION, 1, 0),
        _ => None,
    }
}

/// Returns whether an arm64 instruction is a `brk` that ends a process which is not debugged, since macOS 26 (F6.7).
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
pub(super) const fn is_fatal_breakpoint(instruction: u32) -> bool {
    const BRK: u32 = 0xd420_0000;
    let operand = instruction >> 5 & 0xffff;
    instruction & 0xffe0_001f == BRK && operand >= 0xb000 && operand <= 0xbfff
}

/// Returns the trap that a pair stands for, where the system does not say (G1.3).
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
const fn implied_trap(signal: i32, si_code: i32) -> Option<u64> {
    match (signal, si_code) {
        (libc::SIGFPE, FPE_INTDIV) => Some(0),
        (libc::SIGFPE, FPE_FLTDIV..=FPE_FLTINV) => Some(19),
        (libc::SIGTRAP, TRAP_TRACE | TRAP_HWBKPT) => Some(1),
        (libc::SIGTRAP, _) => Some(3),
        (libc::SIGILL, _) => Some(6),
        (libc::SIGSEGV, SI_KERNEL) => Some(13),
        (libc::SIGBUS, SI_KERNEL) => Some(12),
        _ => match page_fault(signal, si_code) {
            Some(_) => Some(14),
            None => None,
        },
    }
}

/// Classifies a signal on arm64 (A12.11). `None`: no exception, the signal goes to the host level.
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code))]
pub(crate) fn arm64(delivered: Delivered, trust: Trust) -> Option<Raised> {
    const PC_ALIGNMENT: u64 = 0x22;
    const SP_ALIGNMENT: u64 = 0x26;
    let Delivered {
        signal,
        si_code,
        si_addr,
        pc,
        hardware,
    } = delivered;
    if si_code <= 0 {
        return None;
    }
    match (signal, si_code) {
        (libc::SIGBUS, BUS_ADRALN) => {
            let class = hardware.error >> 26;
            let told = trust == Trust::Hardware;
            if told && class == SP_ALIGNMENT {
                raised(EXC_BAD_ACCESS, 0x103, hardware.sp)
            } else if told && class == PC_ALIGNMENT || pc % 4 != 0 {
                raised(EXC_BAD_ACCESS, 0x101, pc)
            } else {
                raised(EXC_BAD_ACCESS, 0x101, si_addr)
            }
        }
        (libc::SIGILL, _) => raised(EXC_BAD_INSTRUCTION, 1, hardware.detail),
        (libc::SIGTRAP, TRAP_BRKPT) => raised(EXC_BREAKPOINT, 1, pc),
        (libc::SIGTRAP, TRAP_TRACE) => raised(EXC_BREAKPOINT, 1, 0),
        (libc::SIGTRAP, TRAP_HWBKPT) if si_addr == pc => raised(EXC_BREAKPOINT, 1, pc),
        (libc::SIGTRAP, TRAP_HWBKPT) => raised(EXC_BREAKPOINT, 0x102, si_addr),
        (libc::SIGFPE, FPE_FLTDIV..=FPE_FLTINV) => {
            // FLTINV, FLTDIV, FLTOVF, FLTUND, FLTRES are 1 to 5 here.
            let code = match si_code {
                FPE_FLTINV => 1,
                FPE_FLTDIV => 2,
                code @ 4..=6 => i64::from(code) - 1,
                _ => 0,
            };
            raised(EXC_ARITHMETIC, code, hardware.detail)
        }
        // A bad frame at sigreturn says SIGSEGV, too, with the new stack pointer as its address: no abort (G1.6).
        (libc::SIGSEGV, _)
            if trust == Trust::Hardware && (hardware.trap ^ si_addr) & WITHOUT_TOP_BYTE != 0 =>
        {
            None
        }
        _ => page_fault(signal, si_code).and_then(|code| raised(EXC_BAD_ACCESS, code, si_addr)),
    }
}

/// The part of an address that arm64 translates (G1.8).
pub(super) const WITHOUT_TOP_BYTE: u64 = 0x00ff_ffff_ffff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(signal: i32, si_code: i32, si_addr: u64, trap: u64, error: u64) -> Delivered {
        Delivered {
            signal,
            si_code,
            si_addr,
            pc: 0x40_1000,
            hardware: Hardware {
                trap,
                error,
                detail: 0x1d84 << 32 | 0xb084,
                sp: 0x7fff_0008,
            },
        }
    }

    fn is(exception: i32, code: i64, subcode: u64) -> Option<Raised> {
        raised(exception, code, subcode)
    }

    #[test]
    fn a12_10_every_row_of_the_x86_64_table() {
        let rows = [
            (libc::SIGFPE, 1, 0x40_1000, 0, 0, is(EXC_ARITHMETIC, 1, 0)),
            (libc::SIGTRAP, 2, 0x40_1000, 1, 0, is(EXC_BREAKPOINT, 1, 0)),
            (libc::SIGTRAP, 4, 0x40_1000, 1, 0, is(EXC_BREAKPOINT, 1, 0)),
            (libc::SIGTRAP, 0x80, 0, 3, 0, is(EXC_BREAKPOINT, 2, 0)),
            (libc::SIGSEGV, 0x80, 0, 4, 0, is(EXC_ARITHMETIC, 2, 0)),
            (
                libc::SIGILL,
                2,
                0x40_1000,
                6,
                0,
                is(EXC_BAD_INSTRUCTION, 1, 0),
            ),
            (libc::SIGBUS, 0x80, 0, 12, 0, is(EXC_BAD_INSTRUCTION, 12, 0)),
            (
                libc::SIGSEGV,
                0x80,
                0,
                13,
                0x2a,
                is(EXC_BAD_ACCESS, 13, 0x2a),
            ),
            (libc::SIGSEGV, 1, 0x10, 14, 4, is(EXC_BAD_ACCESS, 1, 0x10)),
            (
                libc::SIGSEGV,
                2,
                0x7000,
                14,
                7,
                is(EXC_BAD_ACCESS, 2, 0x7000),
            ),
            (
                libc::SIGSEGV,
                4,
                0x7000,
                14,
                0x24,
                is(EXC_BAD_ACCESS, 2, 0x7000),
            ),
            (
                libc::SIGBUS,
                2,
                0x7000,
                14,
                4,
                is(EXC_BAD_ACCESS, 10, 0x7000),
            ),
            (
                libc::SIGFPE,
                3,
                0x40_1000,
                16,
                0,
                is(EXC_ARITHMETIC, 5, 0xb084),
            ),
            (
                libc::SIGFPE,
                3,
                0x40_1000,
                19,
                0,
                is(EXC_ARITHMETIC, 8, 0x1d84),
            ),
            // No exceptions: alignment check, shadow stack, performance event, bad frame after a page fault (G1.6).
            (libc::SIGBUS, 1, 0, 17, 0, None),
            (libc::SIGSEGV, 10, 0, 21, 0, None),
            (libc::SIGTRAP, 6, 0x7000, 3, 0, None),
            (libc::SIGSEGV, 0x80, 0, 14, 4, None),
        ];
        for (signal, si_code, si_addr, trap, error, expected) in rows {
            let row = delivered(signal, si_code, si_addr, trap, error);
            assert_eq!(x86_64(row, Trust::Hardware), expected, "{row:?}");
        }
    }

    #[test]
    fn g1_12_the_interrupts_whose_gates_are_open_on_xnu() {
        assert_eq!(software_interrupt(0x2a, [0xcd, 5]), is(EXC_SOFTWARE, 7, 0));
        assert_eq!(
            software_interrupt(0x3fa, [0xcd, 0x7f]),
            is(EXC_BAD_INSTRUCTION, 1, 0)
        );
        for (error, instruction) in [(0, [0xcd, 5]), (0x2a, [0xf4, 0x90]), (0x32, [0xcd, 6])] {
            assert_eq!(software_interrupt(error, instruction), None);
        }
    }

    #[test]
    fn f6_7_which_breakpoints_end_a_process() {
        let brk = |operand: u32| 0xd420_0000 | operand << 5;
        for operand in [0xb000, 0xb123, 0xbfff] {
            assert!(is_fatal_breakpoint(brk(operand)), "{operand:#x}");
        }
        for operand in [0, 1, 0xafff, 0xc000, 0xc470, 0xffff] {
            assert!(!is_fatal_breakpoint(brk(operand)), "{operand:#x}");
        }
        // `hlt`, and an undefined instruction.
        for other in [0xd440_0000 | 0xb000 << 5, 0xb000, brk(0xb000) | 1] {
            assert!(!is_fatal_breakpoint(other), "{other:#x}");
        }
    }

    #[test]
    fn g1_1_signals_sent_by_software_are_no_exceptions() {
        for signal in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
        ] {
            for si_code in [0, -1, -2, -6, -60] {
                for trap in [0, 3, 6, 13, 14] {
                    let row = delivered(signal, si_code, 0, trap, 0);
                    for trust in [Trust::Hardware, Trust::SignalOnly] {
                        assert_eq!(x86_64(row, trust), None, "{row:?}");
                        assert_eq!(arm64(row, trust), None, "{row:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn r22_without_hardware_words_the_signal_decides() {
        let rows = [
            (libc::SIGSEGV, 1, 0x10, is(EXC_BAD_ACCESS, 1, 0x10)),
            (libc::SIGSEGV, 2, 0x10, is(EXC_BAD_ACCESS, 2, 0x10)),
            (libc::SIGBUS, 2, 0x10, is(EXC_BAD_ACCESS, 10, 0x10)),
            (libc::SIGSEGV, 0x80, 0, is(EXC_BAD_ACCESS, 13, 0)),
            (libc::SIGFPE, 1, 0, is(EXC_ARITHMETIC, 1, 0)),
            (libc::SIGILL, 2, 0, is(EXC_BAD_INSTRUCTION, 1, 0)),
            (libc::SIGTRAP, 0x80, 0, is(EXC_BREAKPOINT, 2, 0)),
            (libc::SIGTRAP, 2, 0, is(EXC_BREAKPOINT, 1, 0)),
            (libc::SIGSEGV, 10, 0, None),
        ];
        for (signal, si_code, si_addr, expected) in rows {
            let row = delivered(signal, si_code, si_addr, 0, 0);
            assert_eq!(x86_64(row, Trust::SignalOnly), expected, "{row:?}");
        }
        // With words that can be trusted the same pair with trap number 0 is no exception.
        let stale = delivered(libc::SIGSEGV, 1, 0x10, 0, 0);
        assert_eq!(x86_64(stale, Trust::Hardware), None);
        // In both modes a division is one.
        let division = delivered(libc::SIGFPE, 1, 0, 0, 0);
        assert_eq!(x86_64(division, Trust::Hardware), is(EXC_ARITHMETIC, 1, 0));
    }

    #[test]
    fn a12_11_every_row_of_the_arm64_table() {
        const DATA: u64 = 0x24 << 26;
        let rows = [
            (libc::SIGSEGV, 1, 0x10, DATA, is(EXC_BAD_ACCESS, 1, 0x10)),
            (libc::SIGSEGV, 2, 0x10, DATA, is(EXC_BAD_ACCESS, 2, 0x10)),
            (
                libc::SIGBUS,
                1,
                0x13,
                DATA | 0x21,
                is(EXC_BAD_ACCESS, 0x101, 0x13),
            ),
            (
                libc::SIGBUS,
                1,
                0,
                0x22 << 26,
                is(EXC_BAD_ACCESS, 0x101, 0x40_1000),
            ),
            (
                libc::SIGBUS,
                1,
                0,
                0x26 << 26,
                is(EXC_BAD_ACCESS, 0x103, 0x7fff_0008),
            ),
            (libc::SIGBUS, 2, 0x10, DATA, is(EXC_BAD_ACCESS, 10, 0x10)),
            (
                libc::SIGTRAP,
                1,
                0x40_1000,
                DATA,
                is(EXC_BREAKPOINT, 1, 0x40_1000),
            ),
            (libc::SIGTRAP, 2, 0x40_1000, DATA, is(EXC_BREAKPOINT, 1, 0)),
            (
                libc::SIGTRAP,
                4,
                0x40_1000,
                0,
                is(EXC_BREAKPOINT, 1, 0x40_1000),
            ),
            (libc::SIGTRAP, 4, 0x10, 0, is(EXC_BREAKPOINT, 0x102, 0x10)),
        ];
        for (signal, si_code, si_addr, error, expected) in rows {
            let row = delivered(signal, si_code, si_addr, si_addr & WITHOUT_TOP_BYTE, error);
            assert_eq!(arm64(row, Trust::Hardware), expected, "{row:?}");
        }
        // G1.8: the top byte is the exception's, and not part of the address that was translated.
        let tagged = delivered(libc::SIGSEGV, 1, 0xab << 56 | 0x10, 0x10, DATA);
        assert_eq!(
            arm64(tagged, Trust::Hardware),
            is(EXC_BAD_ACCESS, 1, 0xab << 56 | 0x10)
        );
        // G1.6: a bad frame.
        let bad = delivered(libc::SIGSEGV, 2, 0x7fff_0008, 0, 0);
        assert_eq!(arm64(bad, Trust::Hardware), None);
        assert_eq!(
            arm64(bad, Trust::SignalOnly),
            is(EXC_BAD_ACCESS, 2, 0x7fff_0008)
        );
        let mut undefined = delivered(libc::SIGILL, 1, 0x40_1000, 0, DATA);
        undefined.hardware.detail = 0x0000_dead;
        assert_eq!(
            arm64(undefined, Trust::Hardware),
            is(EXC_BAD_INSTRUCTION, 1, 0xdead)
        );
    }
}
