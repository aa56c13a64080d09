//! Behaviors: the ways in which exceptions are delivered (`mach/exception_types.h`).

use crate::names::{ParseNameError, display_by_name, flag_set, open_set, parse_number};
use crate::types::exception_behavior_t;

open_set! {
    /// The kind of a behavior, without its modifiers. It selects what a request carries.
    pub struct BehaviorKind(exception_behavior_t);
        /// The request carries thread and task rights.
        ///
        DEFAULT = EXCEPTION_DEFAULT = 1;
    /// The request carries the thread state and no rights. The reply sets the state.
    ///
    STATE = EXCEPTION_STATE = 2;
    /// The request carries thread and task rights and the thread state. The reply sets the state.
    ///
    STATE_IDENTITY = EXCEPTION_STATE_IDENTITY = 3;
    /// The request carries a task identity token and the thread's id, which give no control over either.
    ///
    IDENTITY_PROTECTED = EXCEPTION_IDENTITY_PROTECTED = 4;
    /// The request carries a task identity token, the thread's id and the thread state. The reply sets the state.
    ///
    STATE_IDENTITY_PROTECTED = EXCEPTION_STATE_IDENTITY_PROTECTED = 5;
}
display_by_name!(BehaviorKind);

impl BehaviorKind {
    /// Returns `true` if the request carries the thread state and the reply sets it.
    pub const fn has_state(self) -> bool {
        matches!(
            self,
            Self::STATE | Self::STATE_IDENTITY | Self::STATE_IDENTITY_PROTECTED
        )
    }
}

flag_set! {
    /// The modifiers of a behavior.
    pub struct BehaviorModifiers(exception_behavior_t), show c;
    /// Codes are 64 bits wide: the message is one of `mach_exc`.
    ///
    CODES = MACH_EXCEPTION_CODES = 0x8000_0000_u32 as exception_behavior_t;
    /// Kernel-internal errors are delivered too.
    ///
    ERRORS = MACH_EXCEPTION_ERRORS = 0x4000_0000;
    /// A request with a backtrace is preferred, if the kernel has one.
    ///
    BACKTRACE_PREFERRED = MACH_EXCEPTION_BACKTRACE_PREFERRED = 0x2000_0000;
}
/// All modifiers (`MACH_EXCEPTION_MASK`).
pub const MACH_EXCEPTION_MASK: exception_behavior_t = 0xe000_0000_u32 as exception_behavior_t;

/// An `exception_behavior_t`: a kind with modifiers.
///
/// Prints as `EXCEPTION_STATE|MACH_EXCEPTION_CODES`. Unknown kinds and bits are kept.
///
/// ```
/// use mach_wire::exception::{Behavior, BehaviorKind};
///
/// let behavior = Behavior::with_codes(BehaviorKind::STATE);
/// assert_eq!("EXCEPTION_STATE|MACH_EXCEPTION_CODES".parse(), Ok(behavior));
/// assert!(behavior.has_codes());
/// ```
#[doc(alias("exception_behavior_t", "MACH_EXCEPTION_CODES"))]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Behavior(exception_behavior_t);

impl Behavior {
    /// Creates a behavior from any C value, known or not.
    pub const fn new(raw: exception_behavior_t) -> Self {
        Self(raw)
    }

    /// Creates a behavior from a kind and modifiers.
    pub const fn of(kind: BehaviorKind, modifiers: BehaviorModifiers) -> Self {
        Self(kind.raw() | modifiers.bits())
    }

    /// Creates a behavior with 64-bit codes (`MACH_EXCEPTION_CODES`).
    pub const fn with_codes(kind: BehaviorKind) -> Self {
        Self::of(kind, BehaviorModifiers::CODES)
    }

    /// Returns the C value.
    pub const fn raw(self) -> exception_behavior_t {
        self.0
    }

    /// Returns the value without its modifiers.
    pub const fn kind(self) -> BehaviorKind {
        BehaviorKind::new(self.0 & !MACH_EXCEPTION_MASK)
    }

    /// Returns the modifiers.
    pub const fn modifiers(self) -> BehaviorModifiers {
        BehaviorModifiers::from_bits_retain(self.0 & MACH_EXCEPTION_MASK)
    }

    /// Returns `true` if codes are 64 bits wide.
    pub const fn has_codes(self) -> bool {
        self.modifiers().contains(BehaviorModifiers::CODES)
    }
}

impl core::fmt::Display for Behavior {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match (self.kind().raw(), self.modifiers()) {
            (0, modifiers) => write!(f, "{modifiers}"),
            (_, modifiers) if modifiers.is_empty() => write!(f, "{}", self.kind()),
            (_, modifiers) => write!(f, "{}|{modifiers}", self.kind()),
        }
    }
}

impl core::fmt::Debug for Behavior {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Behavior({self})")
    }
}

impl core::str::FromStr for Behavior {
    type Err = ParseNameError;

    /// Accepts one kind and any modifiers, by name or number, joined by `|`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = ParseNameError::new("Behavior");
        let mut raw = 0;
        for part in text.split('|').map(str::trim) {
            let bits = if let Ok(kind) = part.parse::<BehaviorKind>() {
                kind.raw()
            } else if let Ok(modifiers) = part.parse::<BehaviorModifiers>() {
                modifiers.bits()
            } else {
                return Err(refused);
            };
            // Two names of kinds combined would be a third kind. Numbers may be any.
            let two_kinds = bits & !MACH_EXCEPTION_MASK != 0 && raw & !MACH_EXCEPTION_MASK != 0;
            if two_kinds && parse_number(part).is_none() {
                return Err(refused);
            }
            raw |= bits;
        }
        Ok(Self(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_behavior_prints_kind_and_modifiers_and_parses_them_back() {
        let state = Behavior::with_codes(BehaviorKind::STATE);
        assert_eq!(state.to_string(), "EXCEPTION_STATE|MACH_EXCEPTION_CODES");
        assert_eq!("EXCEPTION_STATE|MACH_EXCEPTION_CODES".parse(), Ok(state));
        assert_eq!(state.raw(), 0x8000_0002_u32 as i32);
        for raw in [0, 1, 7, -1, 0x6000_0003, 0x0100_0002, i32::MIN] {
            let behavior = Behavior::new(raw);
            assert_eq!(behavior.to_string().parse(), Ok(behavior), "{behavior}");
        }
        assert!(
            "EXCEPTION_DEFAULT|EXCEPTION_STATE"
                .parse::<Behavior>()
                .is_err()
        );
        assert!("EXCEPTION_STATES".parse::<Behavior>().is_err());
    }
}
