//! Sets of exception types (`mach/exception_types.h`).

use crate::names::flag_set;
use crate::types::{exception_mask_t, exception_type_t};

use super::kind::{EXC_TYPES_COUNT, ExceptionType, FIRST_EXCEPTION};

flag_set! {
    /// A set of exception types, for which an exception port is registered.
    ///
    /// Prints as `BAD_ACCESS|ARITHMETIC`; C's spelling `EXC_MASK_BAD_ACCESS` is parsed too.
    ///
    /// `all()` is [`VALID`](Self::VALID), every exception type that exists; [`ALL`](Self::ALL) is Apple's `EXC_MASK_ALL`, without
    /// `CRASH` and `CORPSE_NOTIFY`. `!mask` has the other exception types, so no operator sets a bit that the kernel refuses.
    ///
    /// ```
    /// use mach_wire::exception::ExceptionMask;
    ///
    /// assert_eq!(ExceptionMask::all(), ExceptionMask::VALID);
    /// assert_eq!(!ExceptionMask::ALL, ExceptionMask::CRASH | ExceptionMask::CORPSE_NOTIFY);
    /// ```
    pub struct ExceptionMask(exception_mask_t), show short;
    BAD_ACCESS = EXC_MASK_BAD_ACCESS = 0x2;
    BAD_INSTRUCTION = EXC_MASK_BAD_INSTRUCTION = 0x4;
    ARITHMETIC = EXC_MASK_ARITHMETIC = 0x8;
    EMULATION = EXC_MASK_EMULATION = 0x10;
    SOFTWARE = EXC_MASK_SOFTWARE = 0x20;
    BREAKPOINT = EXC_MASK_BREAKPOINT = 0x40;
    SYSCALL = EXC_MASK_SYSCALL = 0x80;
    MACH_SYSCALL = EXC_MASK_MACH_SYSCALL = 0x100;
    RPC_ALERT = EXC_MASK_RPC_ALERT = 0x200;
    CRASH = EXC_MASK_CRASH = 0x400;
    RESOURCE = EXC_MASK_RESOURCE = 0x800;
    GUARD = EXC_MASK_GUARD = 0x1000;
    CORPSE_NOTIFY = EXC_MASK_CORPSE_NOTIFY = 0x2000;
    /// All exception types that a task handles itself: all but `CRASH` and `CORPSE_NOTIFY`.
    ///
    ALL = EXC_MASK_ALL = 0x1bfe;
    /// All exception types that exist.
    ///
    VALID = EXC_MASK_VALID = 0x3ffe;
}

/// The machine's own exception types, of which there are none (`EXC_MASK_MACHINE`).
pub const EXC_MASK_MACHINE: exception_mask_t = 0;

impl ExceptionType {
    /// Returns the mask with this exception type; an empty mask if it has no bit.
    pub const fn mask(self) -> ExceptionMask {
        let bit: exception_mask_t = match self.raw() {
            raw @ FIRST_EXCEPTION..=31 => 1 << raw,
            _ => 0,
        };
        ExceptionMask::from_bits_retain(bit)
    }
}

impl ExceptionMask {
    /// Returns `true` if an exception type is in the set.
    pub const fn has(self, kind: ExceptionType) -> bool {
        let bit = kind.mask();
        !bit.is_empty() && self.contains(bit)
    }

    /// Returns the exception types in the set, in ascending order. Unknown bits are skipped.
    pub fn kinds(self) -> impl Iterator<Item = ExceptionType> {
        (1..EXC_TYPES_COUNT as exception_type_t)
            .map(ExceptionType::new)
            .filter(move |kind| self.has(*kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_prints_the_short_names_and_keeps_unknown_bits() {
        let mask = ExceptionMask::BAD_ACCESS | ExceptionMask::ARITHMETIC;
        assert_eq!(mask.to_string(), "BAD_ACCESS|ARITHMETIC");
        assert_eq!("BAD_ACCESS|ARITHMETIC".parse(), Ok(mask));
        assert_eq!("EXC_MASK_ARITHMETIC | BAD_ACCESS".parse(), Ok(mask));
        let odd = ExceptionMask::from_bits_retain(0x8000_0002);
        assert_eq!(odd.to_string(), "BAD_ACCESS|0x80000000");
        assert_eq!(odd.to_string().parse(), Ok(odd));
        assert_eq!(ExceptionMask::empty().to_string(), "0");
        assert_eq!("0".parse(), Ok(ExceptionMask::empty()));
        assert!("BAD_ACCES".parse::<ExceptionMask>().is_err());
        assert!("".parse::<ExceptionMask>().is_err());
    }

    #[test]
    fn h1_1_all_is_neither_crash_nor_corpse() {
        assert!(!ExceptionMask::ALL.has(ExceptionType::CRASH));
        assert!(!ExceptionMask::ALL.has(ExceptionType::CORPSE_NOTIFY));
        assert_eq!(ExceptionMask::VALID.kinds().count(), 13);
        assert_eq!("ALL".parse(), Ok(ExceptionMask::ALL));
    }

    #[test]
    fn no_operator_sets_a_bit_that_the_kernel_refuses() {
        assert_eq!(ExceptionMask::all(), ExceptionMask::VALID);
        for mask in [
            ExceptionMask::empty(),
            ExceptionMask::GUARD,
            ExceptionMask::ALL,
        ] {
            assert!(ExceptionMask::VALID.contains(!mask));
            assert_eq!(!mask | mask, ExceptionMask::VALID);
            assert_eq!(!!mask, mask);
        }
        let odd = ExceptionMask::from_bits_retain(0x8000_0002);
        assert_eq!(
            odd | ExceptionMask::GUARD,
            ExceptionMask::from_bits_retain(0x8000_1002)
        );
    }

    #[test]
    fn h1_1_the_mask_bit_is_the_exception_type() {
        assert_eq!(ExceptionType::CORPSE_NOTIFY.mask().bits(), 0x2000);
        assert_eq!(ExceptionType::new(0).mask().bits(), 0);
        assert_eq!(ExceptionType::new(-3).mask().bits(), 0);
        assert_eq!(ExceptionType::new(200).mask().bits(), 0);
    }
}
