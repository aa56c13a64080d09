//! C names of an exception's first code.

use crate::exception::ExceptionType;
use crate::kern_return::KernReturn;
use crate::machine::Machine;

use super::numbers::*;

/// Evaluates to the name of the `$name` that equals a code, if there is one.
macro_rules! named {
    ($code:expr; $($name:ident)*) => {
        match $code {
            $($name => Some(stringify!($name)),)*
            _ => None,
        }
    };
}

/// Returns the C name of an exception's first code on a machine, such as `EXC_I386_DIV` or `KERN_INVALID_ADDRESS`.
///
/// `None` for a code without a name, and for exception types with encoded codes (crash, resource, guard, system call).
pub fn code_name(machine: Machine, exception: ExceptionType, code: i64) -> Option<&'static str> {
    use ExceptionType as E;
    match (exception, machine) {
        (E::BAD_ACCESS, Machine::X86_64) => {
            named!(code; EXC_I386_GPFLT EXC_I386_ALIGNFLT).or_else(|| fault_result(code))
        }
        (E::BAD_ACCESS, Machine::Arm64) => named!(code;
            EXC_ARM_DA_ALIGN EXC_ARM_DA_DEBUG EXC_ARM_SP_ALIGN EXC_ARM_SWP EXC_ARM_PAC_FAIL
            EXC_ARM_MTE_TAGCHECK_FAIL EXC_ARM_MTE_CANONICAL_FAIL
        )
        .or_else(|| fault_result(code)),
        (E::BAD_INSTRUCTION, Machine::X86_64) => named!(code;
            EXC_I386_INVOP EXC_I386_INVTSSFLT EXC_I386_SEGNPFLT EXC_I386_STKFLT
        ),
        (E::BAD_INSTRUCTION, Machine::Arm64) => {
            named!(code; EXC_ARM_UNDEFINED EXC_ARM_SME_DISALLOWED)
        }
        (E::ARITHMETIC, Machine::X86_64) => named!(code;
            EXC_I386_DIV EXC_I386_INTO EXC_I386_NOEXT EXC_I386_EXTOVR EXC_I386_EXTERR EXC_I386_EMERR
            EXC_I386_BOUND EXC_I386_SSEEXTERR
        ),
        (E::ARITHMETIC, Machine::Arm64) => named!(code;
            EXC_ARM_FP_UNDEFINED EXC_ARM_FP_IO EXC_ARM_FP_DZ EXC_ARM_FP_OF EXC_ARM_FP_UF EXC_ARM_FP_IX
            EXC_ARM_FP_ID
        ),
        (E::SOFTWARE, Machine::X86_64) => named!(code; EXC_I386_BOUND).or_else(|| software(code)),
        (E::SOFTWARE, Machine::Arm64) => software(code),
        (E::BREAKPOINT, Machine::X86_64) => named!(code; EXC_I386_SGL EXC_I386_BPT),
        (E::BREAKPOINT, Machine::Arm64) => named!(code; EXC_ARM_BREAKPOINT EXC_ARM_DA_DEBUG),
        _ => None,
    }
}

/// Returns the C name of the fault handler's result.
fn fault_result(code: i64) -> Option<&'static str> {
    KernReturn::new(i32::try_from(code).ok()?).name()
}

fn software(code: i64) -> Option<&'static str> {
    named!(code; EXC_UNIX_BAD_SYSCALL EXC_UNIX_BAD_PIPE EXC_UNIX_ABORT EXC_SOFT_SIGNAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_8_a_code_has_the_name_of_its_exception_type_and_machine() {
        use ExceptionType as E;
        use Machine::{Arm64, X86_64};
        for (machine, exception, code, name) in [
            (X86_64, E::BAD_ACCESS, 1, Some("KERN_INVALID_ADDRESS")),
            (X86_64, E::BAD_ACCESS, 13, Some("EXC_I386_GPFLT")),
            (Arm64, E::BAD_ACCESS, 13, Some("KERN_NAME_EXISTS")),
            (Arm64, E::BAD_ACCESS, 0x105, Some("EXC_ARM_PAC_FAIL")),
            (X86_64, E::BAD_INSTRUCTION, 1, Some("EXC_I386_INVOP")),
            (Arm64, E::BAD_INSTRUCTION, 1, Some("EXC_ARM_UNDEFINED")),
            (X86_64, E::ARITHMETIC, 1, Some("EXC_I386_DIV")),
            (Arm64, E::ARITHMETIC, 0, Some("EXC_ARM_FP_UNDEFINED")),
            (X86_64, E::BREAKPOINT, 2, Some("EXC_I386_BPT")),
            (Arm64, E::BREAKPOINT, 0x102, Some("EXC_ARM_DA_DEBUG")),
            (X86_64, E::SOFTWARE, 7, Some("EXC_I386_BOUND")),
            (Arm64, E::SOFTWARE, 7, None),
            (Arm64, E::SOFTWARE, 0x10003, Some("EXC_SOFT_SIGNAL")),
            (X86_64, E::CRASH, 1, None),
            (X86_64, E::BAD_ACCESS, i64::MIN, None),
        ] {
            assert_eq!(
                code_name(machine, exception, code),
                name,
                "{machine} {exception} {code}"
            );
        }
    }
}
