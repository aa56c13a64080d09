//! Codes of `EXC_CRASH` (rule A14.1).

use crate::exception::ExceptionType;

/// The decoded codes of an `EXC_CRASH`: the reason why the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CrashCode {
    /// Darwin's number of the fatal signal (bits 24 and up of the code).
    pub signal: u32,
    /// The original exception (bits 20 to 23); 0 if there was none.
    pub exception: ExceptionType,
    /// The low 20 bits of the original code.
    pub code: u32,
    /// The original subcode.
    pub subcode: i64,
}

impl CrashCode {
    /// Decodes code and subcode.
    pub const fn decode(code: i64, subcode: i64) -> Self {
        Self {
            signal: (code >> 24) as u32,
            exception: ExceptionType::new((code >> 20 & 0xf) as i32),
            code: (code & 0xf_ffff) as u32,
            subcode,
        }
    }

    /// Encodes code and subcode. Only the low 4 bits of the exception and the low 20 bits of the code are kept.
    pub const fn encode(self) -> [i64; 2] {
        let signal = (self.signal as i64) << 24;
        let exception = (self.exception.raw() as i64 & 0xf) << 20;
        [
            signal | exception | (self.code & 0xf_ffff) as i64,
            self.subcode,
        ]
    }
}

impl core::fmt::Display for CrashCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "signal {}, originally {} {{{:#x}, {:#x}}}",
            self.signal, self.exception, self.code, self.subcode
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a14_1_signal_exception_and_code_share_the_word() {
        let crash = CrashCode {
            signal: 11,
            exception: ExceptionType::BAD_ACCESS,
            code: 2,
            subcode: 0x1000,
        };
        assert_eq!(crash.encode(), [0x0b10_0002, 0x1000]);
        assert_eq!(CrashCode::decode(0x0b10_0002, 0x1000), crash);
        assert_eq!(
            crash.to_string(),
            "signal 11, originally EXC_BAD_ACCESS {0x2, 0x1000}"
        );
    }
}
