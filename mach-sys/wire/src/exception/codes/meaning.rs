//! The meaning of an exception's codes (rules A12.10, A12.11, A12.16, A13.1, A14.1, A14.4).

use crate::exception::ExceptionType;
use crate::kern_return::KernReturn;
use crate::machine::Machine;

use super::numbers::*;
use super::{CrashCode, GuardCode, ResourceCode};

/// The decoded codes of an exception.
///
/// ```
/// use mach_wire::exception::{ExceptionType, Meaning};
/// use mach_wire::machine::Machine;
///
/// let meaning = Meaning::decode(Machine::X86_64, ExceptionType::BAD_ACCESS, &[1, 0x18]);
/// assert_eq!(meaning.to_string(), "KERN_INVALID_ADDRESS at 0x18");
/// assert_eq!(meaning.address(), Some(0x18));
/// ```
#[doc(alias(
    "mach_exception_code_t",
    "mach_exception_subcode_t",
    "mach_exception_data_t"
))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Meaning {
    /// A page could not be accessed: not mapped (`KERN_INVALID_ADDRESS`), not permitted (`KERN_PROTECTION_FAILURE`), or another result.
    #[error("{result} at {address:#x}")]
    PageFault {
        /// The result of the kernel's fault handler (A12.12).
        result: KernReturn,
        /// The address that was accessed.
        address: u64,
    },
    /// x86: general protection, for example an address that is not canonical. The codes contain no address.
    #[error("general protection, error code {error_code:#x}")]
    GeneralProtection {
        /// The hardware's error code.
        error_code: u64,
    },
    /// x86: x87 segment overrun.
    #[error("x87 segment overrun")]
    SegmentOverrun,
    /// An access, or arm64's program counter, is not aligned.
    #[error("misaligned access at {address:#x}")]
    Misaligned {
        /// The address.
        address: u64,
    },
    /// arm64: the stack pointer is not aligned.
    #[error("misaligned stack pointer {sp:#x}")]
    MisalignedStack {
        /// The stack pointer.
        sp: u64,
    },
    /// arm: a `swp` instruction.
    #[error("swp at {address:#x}")]
    Swp {
        /// The subcode.
        address: u64,
    },
    /// arm64e: a pointer's signature is wrong.
    #[error("pointer authentication failed, instruction {instruction:#010x}")]
    PointerAuthentication {
        /// The instruction word.
        instruction: u64,
    },
    /// arm64, macOS 26: the memory's tag differs from the pointer's.
    #[error("memory tag check failed at {address:#x}")]
    TagCheck {
        /// The address.
        address: u64,
    },
    /// arm64, macOS 26 with memory tagging: an address that is not canonical.
    #[error("address {address:#x} is not canonical")]
    NotCanonical {
        /// The address.
        address: u64,
    },
    /// x86: invalid opcode.
    #[error("invalid opcode")]
    InvalidOpcode,
    /// x86: a task-state, not-present or stack segment fault.
    #[error("segment fault {fault}, error code {error_code:#x}")]
    SegmentFault {
        /// `EXC_I386_INVTSSFLT`, `EXC_I386_SEGNPFLT` or `EXC_I386_STKFLT`.
        fault: i64,
        /// The hardware's error code.
        error_code: u64,
    },
    /// arm64: undefined or trapped instruction.
    #[error("undefined instruction {instruction:#010x}")]
    Undefined {
        /// The instruction word.
        instruction: u64,
    },
    /// arm64: an SME instruction that the thread may not use.
    #[error("SME instruction {instruction:#010x} not allowed")]
    SmeDisallowed {
        /// The instruction word.
        instruction: u64,
    },
    /// x86: divide error (by zero, or the quotient does not fit).
    #[error("divide error")]
    Divide,
    /// x86: `into` with the overflow flag.
    #[error("overflow")]
    Overflow,
    /// x86: an x87 exception.
    #[error("x87 exception, status {status:#x}")]
    X87 {
        /// The status word.
        status: u64,
    },
    /// x86: an SSE exception.
    #[error("SSE exception, MXCSR {mxcsr:#x}")]
    Sse {
        /// The control and status register.
        mxcsr: u64,
    },
    /// arm64: a trapped floating-point exception (`EXC_ARM_FP_*`).
    #[error("floating-point exception {cause}, instruction {instruction:#010x}")]
    ArmFloat {
        /// `EXC_ARM_FP_UNDEFINED` to `EXC_ARM_FP_ID`.
        cause: i64,
        /// The instruction word.
        instruction: u64,
    },
    /// x86: `bound` out of range.
    #[error("bound range exceeded")]
    Bound,
    /// A Unix signal, as ptrace delivers it to a debugger.
    #[error("signal {signal}")]
    SoftSignal {
        /// Darwin's number of the signal.
        signal: i64,
    },
    /// An error of a Unix system call: bad call, bad pipe, abort (`EXC_UNIX_*`).
    #[error("Unix code {code:#x}, {subcode:#x}")]
    Unix {
        /// The code.
        code: i64,
        /// The subcode.
        subcode: i64,
    },
    /// A code of the mandatory access control framework.
    #[error("access control code {code:#x}, {subcode:#x}")]
    AccessControl {
        /// `EXC_MACF_MIN` to `EXC_MACF_MAX`.
        code: i64,
        /// The subcode.
        subcode: i64,
    },
    /// x86: single step or watchpoint. arm64: single step.
    #[error("single step")]
    Step,
    /// `int3` on x86; `brk` or a hardware breakpoint on arm64.
    #[error("breakpoint, {detail:#x}")]
    Breakpoint {
        /// x86: 0. arm64: the program counter, or the trap's instruction word.
        detail: u64,
    },
    /// arm64: a watchpoint.
    #[error("watchpoint at {address:#x}")]
    Watchpoint {
        /// The address.
        address: u64,
    },
    /// A system call or Mach trap that does not exist.
    #[error("system call {number:#x}")]
    SystemCall {
        /// The number; on x86_64 with its class bits.
        number: i64,
    },
    /// The process is about to die.
    #[error("crash: {0}")]
    Crash(CrashCode),
    /// A limit was reached.
    #[error("resource: {0}")]
    Resource(ResourceCode),
    /// A guarded resource was misused.
    #[error("guard: {0}")]
    Guard(GuardCode),
    /// A corpse is ready to be examined.
    #[error("corpse of {exception}, {reason:#x}")]
    Corpse {
        /// The original exception type.
        exception: ExceptionType,
        /// The encoded exit reason, or 0.
        reason: u64,
    },
    /// Codes without a known meaning for this exception type. A missing code counts as 0.
    #[error("codes {code:#x}, {subcode:#x}")]
    Unknown {
        /// The first code.
        code: i64,
        /// The second code.
        subcode: i64,
    },
}

impl Meaning {
    /// Decodes the codes of an exception on a machine. Missing codes count as 0; further ones are ignored.
    pub fn decode(machine: Machine, exception: ExceptionType, codes: &[i64]) -> Self {
        let code = codes.first().copied().unwrap_or(0);
        let subcode = codes.get(1).copied().unwrap_or(0);
        match exception {
            ExceptionType::BAD_ACCESS => bad_access(machine, code, subcode),
            ExceptionType::BAD_INSTRUCTION => bad_instruction(machine, code, subcode),
            ExceptionType::ARITHMETIC => arithmetic(machine, code, subcode),
            ExceptionType::SOFTWARE => software(machine, code, subcode),
            ExceptionType::BREAKPOINT => breakpoint(machine, code, subcode),
            ExceptionType::SYSCALL | ExceptionType::MACH_SYSCALL => {
                Self::SystemCall { number: code }
            }
            ExceptionType::CRASH => Self::Crash(CrashCode::decode(code, subcode)),
            ExceptionType::RESOURCE => Self::Resource(ResourceCode::decode(code, subcode)),
            ExceptionType::GUARD => Self::Guard(GuardCode::decode(code, subcode)),
            ExceptionType::CORPSE_NOTIFY => Self::Corpse {
                exception: ExceptionType::new(code as i32),
                reason: subcode as u64,
            },
            _ => Self::Unknown { code, subcode },
        }
    }

    /// Returns the address that was accessed; `None` if the codes contain none.
    pub const fn address(self) -> Option<u64> {
        match self {
            Self::PageFault { address, .. }
            | Self::Misaligned { address }
            | Self::TagCheck { address }
            | Self::NotCanonical { address }
            | Self::Watchpoint { address } => Some(address),
            _ => None,
        }
    }
}

fn bad_access(machine: Machine, code: i64, subcode: i64) -> Meaning {
    let address = subcode as u64;
    match (machine, code) {
        (Machine::X86_64, EXC_I386_GPFLT) => Meaning::GeneralProtection {
            error_code: address,
        },
        // The kernel's fault handler never returns 5 (A12.12).
        (Machine::X86_64, EXC_I386_BOUNDFLT) => Meaning::SegmentOverrun,
        (Machine::X86_64, EXC_I386_ALIGNFLT) => Meaning::Misaligned { address },
        (Machine::Arm64, EXC_ARM_DA_ALIGN) => Meaning::Misaligned { address },
        (Machine::Arm64, EXC_ARM_DA_DEBUG) => Meaning::Watchpoint { address },
        (Machine::Arm64, EXC_ARM_SP_ALIGN) => Meaning::MisalignedStack { sp: address },
        (Machine::Arm64, EXC_ARM_SWP) => Meaning::Swp { address },
        (Machine::Arm64, EXC_ARM_PAC_FAIL) => Meaning::PointerAuthentication {
            instruction: address,
        },
        (Machine::Arm64, EXC_ARM_MTE_TAGCHECK_FAIL) => Meaning::TagCheck { address },
        (Machine::Arm64, EXC_ARM_MTE_CANONICAL_FAIL) => Meaning::NotCanonical { address },
        (_, code) => match i32::try_from(code) {
            Ok(result) => Meaning::PageFault {
                result: KernReturn::new(result),
                address,
            },
            Err(_) => Meaning::Unknown { code, subcode },
        },
    }
}

fn bad_instruction(machine: Machine, code: i64, subcode: i64) -> Meaning {
    let instruction = subcode as u64;
    match (machine, code) {
        (Machine::X86_64, EXC_I386_INVOP) => Meaning::InvalidOpcode,
        (Machine::X86_64, EXC_I386_INVTSSFLT..=EXC_I386_STKFLT) => Meaning::SegmentFault {
            fault: code,
            error_code: subcode as u64,
        },
        (Machine::Arm64, EXC_ARM_UNDEFINED) => Meaning::Undefined { instruction },
        (Machine::Arm64, EXC_ARM_SME_DISALLOWED) => Meaning::SmeDisallowed { instruction },
        _ => Meaning::Unknown { code, subcode },
    }
}

fn arithmetic(machine: Machine, code: i64, subcode: i64) -> Meaning {
    match (machine, code) {
        (Machine::X86_64, EXC_I386_DIV) => Meaning::Divide,
        (Machine::X86_64, EXC_I386_INTO) => Meaning::Overflow,
        (Machine::X86_64, EXC_I386_EXTERR) => Meaning::X87 {
            status: subcode as u64,
        },
        (Machine::X86_64, EXC_I386_SSEEXTERR) => Meaning::Sse {
            mxcsr: subcode as u64,
        },
        (Machine::Arm64, EXC_ARM_FP_UNDEFINED..=EXC_ARM_FP_ID) => Meaning::ArmFloat {
            cause: code,
            instruction: subcode as u64,
        },
        _ => Meaning::Unknown { code, subcode },
    }
}

fn software(machine: Machine, code: i64, subcode: i64) -> Meaning {
    match (machine, code) {
        (Machine::X86_64, EXC_I386_BOUND) => Meaning::Bound,
        (_, EXC_SOFT_SIGNAL) => Meaning::SoftSignal { signal: subcode },
        (_, EXC_UNIX_BAD_SYSCALL..=EXC_UNIX_ABORT) => Meaning::Unix { code, subcode },
        (_, EXC_MACF_MIN..=EXC_MACF_MAX) => Meaning::AccessControl { code, subcode },
        _ => Meaning::Unknown { code, subcode },
    }
}

fn breakpoint(machine: Machine, code: i64, subcode: i64) -> Meaning {
    match (machine, code, subcode) {
        (Machine::X86_64, EXC_I386_SGL, _) => Meaning::Step,
        (Machine::X86_64, EXC_I386_BPT, _) => Meaning::Breakpoint { detail: 0 },
        (Machine::Arm64, EXC_ARM_BREAKPOINT, 0) => Meaning::Step,
        (Machine::Arm64, EXC_ARM_BREAKPOINT, _) => Meaning::Breakpoint {
            detail: subcode as u64,
        },
        (Machine::Arm64, EXC_ARM_DA_DEBUG, _) => Meaning::Watchpoint {
            address: subcode as u64,
        },
        _ => Meaning::Unknown { code, subcode },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(machine: Machine, exception: ExceptionType, code: i64, subcode: i64) -> Meaning {
        Meaning::decode(machine, exception, &[code, subcode])
    }

    #[test]
    fn a12_10_general_protection_has_no_address() {
        let fault = meaning(Machine::X86_64, ExceptionType::BAD_ACCESS, 13, 0x1000);
        assert_eq!(fault, Meaning::GeneralProtection { error_code: 0x1000 });
        assert_eq!(fault.address(), None);
        // On arm64 the same number is a kern_return.
        let result = KernReturn::NAME_EXISTS;
        assert_eq!(
            meaning(Machine::Arm64, ExceptionType::BAD_ACCESS, 13, 0x1000),
            Meaning::PageFault {
                result,
                address: 0x1000
            }
        );
    }

    #[test]
    fn a12_12_a_page_fault_prints_result_and_address() {
        for machine in [Machine::X86_64, Machine::Arm64] {
            let fault = meaning(machine, ExceptionType::BAD_ACCESS, 2, -4096);
            assert_eq!(
                fault.to_string(),
                "KERN_PROTECTION_FAILURE at 0xfffffffffffff000"
            );
            assert_eq!(fault.address(), Some(-4096_i64 as u64));
        }
    }

    #[test]
    fn a12_10_and_a12_11_the_same_numbers_mean_different_things() {
        use ExceptionType as E;
        use Machine::{Arm64, X86_64};
        assert_eq!(
            meaning(X86_64, E::BAD_INSTRUCTION, 1, 0),
            Meaning::InvalidOpcode
        );
        assert_eq!(
            meaning(Arm64, E::BAD_INSTRUCTION, 1, 0xd4),
            Meaning::Undefined { instruction: 0xd4 }
        );
        assert_eq!(meaning(X86_64, E::ARITHMETIC, 1, 0), Meaning::Divide);
        assert_eq!(
            meaning(Arm64, E::ARITHMETIC, 1, 5),
            Meaning::ArmFloat {
                cause: 1,
                instruction: 5
            }
        );
        assert_eq!(meaning(X86_64, E::BREAKPOINT, 1, 0), Meaning::Step);
        assert_eq!(meaning(Arm64, E::BREAKPOINT, 1, 0), Meaning::Step);
        assert_eq!(
            meaning(Arm64, E::BREAKPOINT, 1, 0x4000),
            Meaning::Breakpoint { detail: 0x4000 }
        );
        assert_eq!(
            meaning(X86_64, E::ARITHMETIC, 8, 0x1f80),
            Meaning::Sse { mxcsr: 0x1f80 }
        );
        assert_eq!(
            meaning(X86_64, E::BAD_INSTRUCTION, 11, 8),
            Meaning::SegmentFault {
                fault: 11,
                error_code: 8
            }
        );
        assert_eq!(
            meaning(X86_64, E::SOFTWARE, 0x10003, 17),
            Meaning::SoftSignal { signal: 17 }
        );
        assert_eq!(meaning(X86_64, E::SOFTWARE, 7, 0), Meaning::Bound);
    }

    #[test]
    fn missing_codes_and_unknown_exception_types_are_decoded() {
        // A12.16: arm64 raises EXC_SYSCALL with one code.
        assert_eq!(
            Meaning::decode(Machine::Arm64, ExceptionType::SYSCALL, &[-3]),
            Meaning::SystemCall { number: -3 }
        );
        assert_eq!(
            Meaning::decode(Machine::X86_64, ExceptionType::new(40), &[]),
            Meaning::Unknown {
                code: 0,
                subcode: 0
            }
        );
        assert_eq!(
            meaning(Machine::X86_64, ExceptionType::BAD_ACCESS, i64::MAX, 1),
            Meaning::Unknown {
                code: i64::MAX,
                subcode: 1
            }
        );
    }
}
