//! Flavors of thread states and their sizes in words (`mach/i386/thread_status.h`, `mach/arm/thread_status.h`).
//!
//! The numbers of the two machines overlap: 6 is `x86_EXCEPTION_STATE64` and `ARM_THREAD_STATE64`. The meaning of a flavor depends on
//! its [`Machine`].
#![allow(non_upper_case_globals)]

use crate::machine::Machine;
use crate::names::raw_constants;
use crate::types::{mach_msg_type_number_t, thread_state_flavor_t};

raw_constants! {
    thread_state_flavor_t; X86_FLAVORS;
    x86_THREAD_STATE32 = 1;
    x86_FLOAT_STATE32 = 2;
    x86_EXCEPTION_STATE32 = 3;
    x86_THREAD_STATE64 = 4;
    x86_FLOAT_STATE64 = 5;
    x86_EXCEPTION_STATE64 = 6;
    x86_THREAD_STATE = 7;
    x86_FLOAT_STATE = 8;
    x86_EXCEPTION_STATE = 9;
    x86_DEBUG_STATE32 = 10;
    x86_DEBUG_STATE64 = 11;
    x86_DEBUG_STATE = 12;
    x86_AVX_STATE32 = 16;
    x86_AVX_STATE64 = 17;
    x86_AVX_STATE = 18;
    x86_AVX512_STATE32 = 19;
    x86_AVX512_STATE64 = 20;
    x86_AVX512_STATE = 21;
    x86_PAGEIN_STATE = 22;
    x86_THREAD_FULL_STATE64 = 23;
    x86_INSTRUCTION_STATE = 24;
    x86_LAST_BRANCH_STATE = 25;
    i386_THREAD_STATE = 1;
    i386_FLOAT_STATE = 2;
    i386_EXCEPTION_STATE = 3;
}

raw_constants! {
    thread_state_flavor_t; ARM_FLAVORS;
    ARM_THREAD_STATE = 1;
    ARM_UNIFIED_THREAD_STATE = 1;
    ARM_VFP_STATE = 2;
    ARM_EXCEPTION_STATE = 3;
    ARM_DEBUG_STATE = 4;
    ARM_THREAD_STATE64 = 6;
    ARM_EXCEPTION_STATE64 = 7;
    ARM_THREAD_STATE32 = 9;
    ARM_EXCEPTION_STATE64_V2 = 10;
    ARM_DEBUG_STATE32 = 14;
    ARM_DEBUG_STATE64 = 15;
    ARM_NEON_STATE = 16;
    ARM_NEON_STATE64 = 17;
    ARM_CPMU_STATE64 = 18;
    ARM_PAGEIN_STATE = 27;
    ARM_SME_STATE = 28;
    ARM_SVE_Z_STATE1 = 29;
    ARM_SVE_Z_STATE2 = 30;
    ARM_SVE_P_STATE = 31;
    ARM_SME_ZA_STATE1 = 32;
    ARM_SME_ZA_STATE2 = 33;
    ARM_SME_ZA_STATE3 = 34;
    ARM_SME_ZA_STATE4 = 35;
    ARM_SME_ZA_STATE5 = 36;
    ARM_SME_ZA_STATE6 = 37;
    ARM_SME_ZA_STATE7 = 38;
    ARM_SME_ZA_STATE8 = 39;
    ARM_SME_ZA_STATE9 = 40;
    ARM_SME_ZA_STATE10 = 41;
    ARM_SME_ZA_STATE11 = 42;
    /// 42 in Apple's header up to macOS 15, the same as `ARM_SME_ZA_STATE11` by mistake; 43 since macOS 26.
    ///
    ARM_SME_ZA_STATE12 = 42;
    ARM_SME_ZA_STATE13 = 44;
    ARM_SME_ZA_STATE14 = 45;
    ARM_SME_ZA_STATE15 = 46;
    ARM_SME_ZA_STATE16 = 47;
    ARM_SME2_STATE = 48;
}

raw_constants! {
    mach_msg_type_number_t; X86_COUNTS;
    i386_THREAD_STATE_COUNT = 16;
    x86_THREAD_STATE32_COUNT = 16;
    i386_FLOAT_STATE_COUNT = 131;
    x86_FLOAT_STATE32_COUNT = 131;
    x86_AVX_STATE32_COUNT = 179;
    x86_AVX512_STATE32_COUNT = 259;
    i386_EXCEPTION_STATE_COUNT = 3;
    x86_EXCEPTION_STATE32_COUNT = 3;
    I386_EXCEPTION_STATE_COUNT = 3;
    x86_DEBUG_STATE32_COUNT = 8;
    X86_DEBUG_STATE32_COUNT = 8;
    x86_THREAD_STATE64_COUNT = 42;
    x86_THREAD_FULL_STATE64_COUNT = 50;
    x86_FLOAT_STATE64_COUNT = 131;
    x86_AVX_STATE64_COUNT = 211;
    x86_AVX512_STATE64_COUNT = 611;
    x86_EXCEPTION_STATE64_COUNT = 4;
    X86_EXCEPTION_STATE64_COUNT = 4;
    x86_DEBUG_STATE64_COUNT = 16;
    X86_DEBUG_STATE64_COUNT = 16;
    x86_PAGEIN_STATE_COUNT = 1;
    X86_PAGEIN_STATE_COUNT = 1;
    x86_INSTRUCTION_STATE_COUNT = 614;
    X86_INSTRUCTION_STATE_COUNT = 614;
    x86_LAST_BRANCH_STATE_COUNT = 194;
    X86_LAST_BRANCH_STATE_COUNT = 194;
    x86_THREAD_STATE_COUNT = 44;
    x86_FLOAT_STATE_COUNT = 133;
    x86_EXCEPTION_STATE_COUNT = 6;
    x86_DEBUG_STATE_COUNT = 18;
    x86_AVX_STATE_COUNT = 213;
    x86_AVX512_STATE_COUNT = 613;
}

raw_constants! {
    mach_msg_type_number_t; ARM_COUNTS;
    /// Words of the 32-bit structure. On arm64 `ARM_THREAD_STATE` carries `ARM_UNIFIED_THREAD_STATE_COUNT` words.
    ///
    ARM_THREAD_STATE_COUNT = 17;
    ARM_THREAD_STATE32_COUNT = 17;
    ARM_THREAD_STATE64_COUNT = 68;
    ARM_UNIFIED_THREAD_STATE_COUNT = 70;
    ARM_VFP_STATE_COUNT = 65;
    ARM_EXCEPTION_STATE_COUNT = 3;
    ARM_EXCEPTION_STATE64_COUNT = 4;
    ARM_EXCEPTION_STATE64_V2_COUNT = 4;
    ARM_DEBUG_STATE_COUNT = 64;
    ARM_DEBUG_STATE32_COUNT = 66;
    ARM_PAGEIN_STATE_COUNT = 1;
    ARM_DEBUG_STATE64_COUNT = 130;
    ARM_NEON_STATE_COUNT = 68;
    ARM_NEON_STATE64_COUNT = 132;
    ARM_SME_STATE_COUNT = 6;
    ARM_SVE_Z_STATE_COUNT = 1024;
    ARM_SVE_P_STATE_COUNT = 128;
    ARM_SME_ZA_STATE_COUNT = 1024;
    ARM_SME2_STATE_COUNT = 16;
}

raw_constants! {
    u32; SELECTORS;
    USER_CODE_SELECTOR = 0x17;
    USER_DATA_SELECTOR = 0x1f;
    KERN_CODE_SELECTOR = 0x08;
    KERN_DATA_SELECTOR = 0x10;
}

/// The largest number of words in a message, on both machines (`THREAD_STATE_MAX`, since macOS 12).
pub const THREAD_STATE_MAX: usize = 1296;
/// Words of x86's largest state (`I386_THREAD_STATE_MAX`).
pub const I386_THREAD_STATE_MAX: usize = 614;
/// Words of arm's largest state (`ARM_THREAD_STATE_MAX`).
pub const ARM_THREAD_STATE_MAX: usize = 1296;
/// The largest number of words of a machine's state (`THREAD_MACHINE_STATE_MAX`).
pub const THREAD_MACHINE_STATE_MAX: usize = THREAD_STATE_MAX;

impl Machine {
    /// Returns the flavor of no state (`THREAD_STATE_NONE`).
    #[doc(alias = "THREAD_STATE_NONE")]
    pub const fn thread_state_none(self) -> Flavor {
        let raw = match self {
            Self::X86_64 => 13,
            Self::Arm64 => 5,
        };
        Flavor::new(self, raw)
    }

    /// Returns one more than the number of the last flavor (`THREAD_STATE_FLAVORS`).
    #[doc(alias = "THREAD_STATE_FLAVORS")]
    pub const fn thread_state_flavors(self) -> thread_state_flavor_t {
        match self {
            Self::X86_64 => 26,
            Self::Arm64 => 50,
        }
    }

    /// Returns the flavor of the machine's unified thread state (`MACHINE_THREAD_STATE`), and its number of words.
    #[doc(alias("MACHINE_THREAD_STATE", "MACHINE_THREAD_STATE_COUNT"))]
    pub const fn machine_thread_state(self) -> (Flavor, mach_msg_type_number_t) {
        let (raw, count) = match self {
            Self::X86_64 => (x86_THREAD_STATE, x86_THREAD_STATE_COUNT),
            Self::Arm64 => (ARM_UNIFIED_THREAD_STATE, ARM_UNIFIED_THREAD_STATE_COUNT),
        };
        (Flavor::new(self, raw), count)
    }
}

/// A flavor of one machine.
///
/// Prints its C name; a flavor without one prints as its number. The same number is another flavor on the other machine.
///
/// ```
/// use mach_wire::machine::Machine;
/// use mach_wire::thread_state::Flavor;
///
/// assert_eq!(Flavor::new(Machine::X86_64, 6).to_string(), "x86_EXCEPTION_STATE64");
/// assert_eq!(Flavor::new(Machine::Arm64, 6).to_string(), "ARM_THREAD_STATE64");
/// assert_eq!("x86_THREAD_STATE64".parse(), Ok(Flavor::new(Machine::X86_64, 4)));
/// # assert_eq!("x86_THREAD_STATE64".parse::<Flavor>().ok().and_then(Flavor::count), Some(42));
/// ```
#[doc(alias = "thread_state_flavor_t")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Flavor {
    /// The machine.
    pub machine: Machine,
    /// The number, as in a message.
    pub raw: thread_state_flavor_t,
}

impl Flavor {
    /// Returns the flavor of a thread state.
    ///
    /// ```
    /// use mach_wire::thread_state::{Flavor, arm_thread_state64_t};
    ///
    /// assert_eq!(Flavor::of::<arm_thread_state64_t>().to_string(), "ARM_THREAD_STATE64");
    /// ```
    pub const fn of<S: super::ThreadState>() -> Self {
        Self::new(S::MACHINE, S::FLAVOR)
    }

    /// Creates a flavor of a machine, known or not.
    pub const fn new(machine: Machine, raw: thread_state_flavor_t) -> Self {
        Self { machine, raw }
    }

    /// Returns the C name; `None` for a flavor without one.
    pub fn name(self) -> Option<&'static str> {
        let names = match self.machine {
            Machine::X86_64 => X86_FLAVORS,
            Machine::Arm64 => ARM_FLAVORS,
        };
        let known = names.iter().find(|(_, raw)| *raw == self.raw);
        let none =
            (self.raw == self.machine.thread_state_none().raw).then_some("THREAD_STATE_NONE");
        known.map(|(name, _)| *name).or(none)
    }

    /// Parses the C name of one of the machine's flavors, or a number.
    ///
    /// # Errors
    /// [`ParseNameError`](crate::ParseNameError): the text is neither a name of a flavor of this machine nor a 32-bit number.
    pub fn parse(machine: Machine, text: &str) -> Result<Self, crate::ParseNameError> {
        let text = text.trim();
        let names = match machine {
            Machine::X86_64 => X86_FLAVORS,
            Machine::Arm64 => ARM_FLAVORS,
        };
        let known = names.iter().find(|(name, _)| *name == text);
        let raw = match known {
            Some(&(_, raw)) => Some(raw),
            None if text == "THREAD_STATE_NONE" => Some(machine.thread_state_none().raw),
            None => crate::names::parse_number(text).and_then(|number| number.try_into().ok()),
        };
        raw.map(|raw| Self::new(machine, raw))
            .ok_or(crate::ParseNameError::new("Flavor"))
    }

    /// Returns the number of 32-bit words that the kernel sends for this flavor in a message, and requires to set the state (A4.1, H3);
    /// `None` if no exception port can be registered with this flavor.
    pub const fn count(self) -> Option<mach_msg_type_number_t> {
        let count = match (self.machine, self.raw) {
            (Machine::X86_64, x86_THREAD_STATE32) => x86_THREAD_STATE32_COUNT,
            (Machine::X86_64, x86_FLOAT_STATE32) => x86_FLOAT_STATE32_COUNT,
            (Machine::X86_64, x86_EXCEPTION_STATE32) => x86_EXCEPTION_STATE32_COUNT,
            (Machine::X86_64, x86_THREAD_STATE64) => x86_THREAD_STATE64_COUNT,
            (Machine::X86_64, x86_FLOAT_STATE64) => x86_FLOAT_STATE64_COUNT,
            (Machine::X86_64, x86_EXCEPTION_STATE64) => x86_EXCEPTION_STATE64_COUNT,
            (Machine::X86_64, x86_THREAD_STATE) => x86_THREAD_STATE_COUNT,
            (Machine::X86_64, x86_FLOAT_STATE) => x86_FLOAT_STATE_COUNT,
            (Machine::X86_64, x86_EXCEPTION_STATE) => x86_EXCEPTION_STATE_COUNT,
            (Machine::X86_64, x86_DEBUG_STATE32) => x86_DEBUG_STATE32_COUNT,
            (Machine::X86_64, x86_DEBUG_STATE64) => x86_DEBUG_STATE64_COUNT,
            (Machine::X86_64, x86_DEBUG_STATE) => x86_DEBUG_STATE_COUNT,
            (Machine::X86_64, x86_AVX_STATE32) => x86_AVX_STATE32_COUNT,
            (Machine::X86_64, x86_AVX_STATE64) => x86_AVX_STATE64_COUNT,
            (Machine::X86_64, x86_AVX_STATE) => x86_AVX_STATE_COUNT,
            (Machine::X86_64, x86_AVX512_STATE32) => x86_AVX512_STATE32_COUNT,
            (Machine::X86_64, x86_AVX512_STATE64) => x86_AVX512_STATE64_COUNT,
            (Machine::X86_64, x86_AVX512_STATE) => x86_AVX512_STATE_COUNT,
            (Machine::X86_64, x86_PAGEIN_STATE) => x86_PAGEIN_STATE_COUNT,
            (Machine::X86_64, x86_THREAD_FULL_STATE64) => x86_THREAD_FULL_STATE64_COUNT,
            (Machine::X86_64, x86_INSTRUCTION_STATE) => x86_INSTRUCTION_STATE_COUNT,
            (Machine::X86_64, x86_LAST_BRANCH_STATE) => x86_LAST_BRANCH_STATE_COUNT,
            (Machine::Arm64, ARM_THREAD_STATE) => ARM_UNIFIED_THREAD_STATE_COUNT,
            (Machine::Arm64, ARM_VFP_STATE) => ARM_VFP_STATE_COUNT,
            (Machine::Arm64, ARM_EXCEPTION_STATE) => ARM_EXCEPTION_STATE_COUNT,
            (Machine::Arm64, ARM_DEBUG_STATE) => ARM_DEBUG_STATE_COUNT,
            (Machine::Arm64, ARM_THREAD_STATE64) => ARM_THREAD_STATE64_COUNT,
            (Machine::Arm64, ARM_EXCEPTION_STATE64) => ARM_EXCEPTION_STATE64_COUNT,
            (Machine::Arm64, ARM_THREAD_STATE32) => ARM_THREAD_STATE32_COUNT,
            (Machine::Arm64, ARM_EXCEPTION_STATE64_V2) => ARM_EXCEPTION_STATE64_V2_COUNT,
            (Machine::Arm64, ARM_DEBUG_STATE32) => ARM_DEBUG_STATE32_COUNT,
            (Machine::Arm64, ARM_DEBUG_STATE64) => ARM_DEBUG_STATE64_COUNT,
            (Machine::Arm64, ARM_NEON_STATE) => ARM_NEON_STATE_COUNT,
            (Machine::Arm64, ARM_NEON_STATE64) => ARM_NEON_STATE64_COUNT,
            (Machine::Arm64, ARM_PAGEIN_STATE) => ARM_PAGEIN_STATE_COUNT,
            _ => return None,
        };
        Some(count)
    }
}

impl core::str::FromStr for Flavor {
    type Err = crate::ParseNameError;

    /// Parses a C name. Numbers and `THREAD_STATE_NONE` exist on both machines and need [`Flavor::parse`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let of = |machine, names: &[(&str, thread_state_flavor_t)]| {
            let known = names.iter().find(|(name, _)| *name == text);
            known.map(|(_, raw)| Self::new(machine, *raw))
        };
        of(Machine::X86_64, X86_FLAVORS)
            .or_else(|| of(Machine::Arm64, ARM_FLAVORS))
            .ok_or(crate::ParseNameError::new("Flavor"))
    }
}

impl core::fmt::Display for Flavor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => core::fmt::Display::fmt(&self.raw, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_is_another_flavor_on_the_other_machine() {
        let x86 = Flavor::new(Machine::X86_64, 6);
        let arm = Flavor::new(Machine::Arm64, 6);
        assert_eq!(
            (x86.to_string(), x86.count()),
            ("x86_EXCEPTION_STATE64".into(), Some(4))
        );
        assert_eq!(
            (arm.to_string(), arm.count()),
            ("ARM_THREAD_STATE64".into(), Some(68))
        );
        assert_eq!(Flavor::parse(Machine::Arm64, "ARM_THREAD_STATE64"), Ok(arm));
        assert!(Flavor::parse(Machine::X86_64, "ARM_THREAD_STATE64").is_err());
        assert_eq!("x86_EXCEPTION_STATE64".parse(), Ok(x86));
        assert_eq!("ARM_THREAD_STATE64".parse(), Ok(arm));
        assert!("6".parse::<Flavor>().is_err());
    }

    #[test]
    fn b2_4_sme_and_unknown_flavors_have_no_count() {
        assert_eq!(Flavor::new(Machine::Arm64, ARM_SME_STATE).count(), None);
        assert_eq!(Flavor::new(Machine::Arm64, 18).count(), None);
        let none = Flavor::new(Machine::X86_64, 13);
        assert_eq!(
            (none.to_string(), none.count()),
            ("THREAD_STATE_NONE".into(), None)
        );
        assert_eq!(Flavor::new(Machine::X86_64, -7).to_string(), "-7");
    }
}
