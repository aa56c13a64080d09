//! Codes of `EXC_GUARD` (`kern/exc_guard.h`, `mach/port.h`; rules A13.1, A13.3).

use crate::names::{display_by_name, open_set, raw_constants};

open_set! {
    /// The kind of the guarded resource.
    pub struct GuardType(u32);
    NONE = GUARD_TYPE_NONE = 0;
    MACH_PORT = GUARD_TYPE_MACH_PORT = 1;
    FD = GUARD_TYPE_FD = 2;
    USER = GUARD_TYPE_USER = 3;
    VN = GUARD_TYPE_VN = 4;
    VIRT_MEMORY = GUARD_TYPE_VIRT_MEMORY = 5;
    REJECTED_SC = GUARD_TYPE_REJECTED_SC = 6;
}
display_by_name!(GuardType);

/// Constants with names that are not in capitals in C.
#[allow(non_upper_case_globals)]
mod flavors {
    use super::{display_by_name, open_set, raw_constants};

    open_set! {
        /// The operation on a guarded port that raised the exception.
        pub struct PortGuardFlavor(u32);
        DESTROY = kGUARD_EXC_DESTROY = 1;
        MOD_REFS = kGUARD_EXC_MOD_REFS = 2;
        INVALID_OPTIONS = kGUARD_EXC_INVALID_OPTIONS = 3;
        SET_CONTEXT = kGUARD_EXC_SET_CONTEXT = 4;
        THREAD_SET_STATE = kGUARD_EXC_THREAD_SET_STATE = 5;
        EXCEPTION_BEHAVIOR_ENFORCE = kGUARD_EXC_EXCEPTION_BEHAVIOR_ENFORCE = 6;
        SERVICE_PORT_VIOLATION_FATAL = kGUARD_EXC_SERVICE_PORT_VIOLATION_FATAL = 7;
        UNGUARDED = kGUARD_EXC_UNGUARDED = 8;
        INCORRECT_GUARD = kGUARD_EXC_INCORRECT_GUARD = 16;
        IMMOVABLE = kGUARD_EXC_IMMOVABLE = 32;
        STRICT_REPLY = kGUARD_EXC_STRICT_REPLY = 64;
        MSG_FILTERED = kGUARD_EXC_MSG_FILTERED = 128;
        INVALID_RIGHT = kGUARD_EXC_INVALID_RIGHT = 256;
        INVALID_NAME = kGUARD_EXC_INVALID_NAME = 512;
        INVALID_VALUE = kGUARD_EXC_INVALID_VALUE = 1024;
        INVALID_ARGUMENT = kGUARD_EXC_INVALID_ARGUMENT = 2048;
        RIGHT_EXISTS = kGUARD_EXC_RIGHT_EXISTS = 4096;
        KERN_NO_SPACE = kGUARD_EXC_KERN_NO_SPACE = 8192;
        KERN_FAILURE = kGUARD_EXC_KERN_FAILURE = 16384;
        KERN_RESOURCE = kGUARD_EXC_KERN_RESOURCE = 32768;
        SEND_INVALID_REPLY = kGUARD_EXC_SEND_INVALID_REPLY = 65536;
        SEND_INVALID_VOUCHER = kGUARD_EXC_SEND_INVALID_VOUCHER = 131072;
        SEND_INVALID_RIGHT = kGUARD_EXC_SEND_INVALID_RIGHT = 262144;
        RCV_INVALID_NAME = kGUARD_EXC_RCV_INVALID_NAME = 524288;
        RCV_GUARDED_DESC = kGUARD_EXC_RCV_GUARDED_DESC = 1048576;
        SERVICE_PORT_VIOLATION_NON_FATAL = kGUARD_EXC_SERVICE_PORT_VIOLATION_NON_FATAL = 1048577;
        PROVISIONAL_REPLY_PORT = kGUARD_EXC_PROVISIONAL_REPLY_PORT = 1048578;
        MOD_REFS_NON_FATAL = kGUARD_EXC_MOD_REFS_NON_FATAL = 2097152;
        IMMOVABLE_NON_FATAL = kGUARD_EXC_IMMOVABLE_NON_FATAL = 4194304;
        REQUIRE_REPLY_PORT_SEMANTICS = kGUARD_EXC_REQUIRE_REPLY_PORT_SEMANTICS = 8388608;
    }
    display_by_name!(PortGuardFlavor);

    raw_constants! {
        u32; GUARD_FLAVOR_LIMITS;
        /// The last flavor that is fatal to every process.
        ///
        MAX_FATAL_kGUARD_EXC_CODE = 128;
        /// The last flavor that a policy may make fatal.
        ///
        MAX_OPTIONAL_kGUARD_EXC_CODE = 0x8_0000;
    }
}
pub use flavors::*;

raw_constants! {
    u64; GUARD_PAYLOADS;
    MPG_FLAGS_NONE = 0x0000_0000_0000_0000;
    MPG_FLAGS_STRICT_REPLY_INVALID_REPLY_DISP = 0x0100_0000_0000_0000;
    MPG_FLAGS_STRICT_REPLY_INVALID_REPLY_PORT = 0x0200_0000_0000_0000;
    MPG_FLAGS_STRICT_REPLY_INVALID_VOUCHER = 0x0400_0000_0000_0000;
    MPG_FLAGS_STRICT_REPLY_NO_BANK_ATTR = 0x0800_0000_0000_0000;
    MPG_FLAGS_STRICT_REPLY_MISMATCHED_PERSONA = 0x1000_0000_0000_0000;
    MPG_FLAGS_STRICT_REPLY_MASK = 0xff00_0000_0000_0000;
    MPG_FLAGS_MOD_REFS_PINNED_DEALLOC = 0x0100_0000_0000_0000;
    MPG_FLAGS_MOD_REFS_PINNED_DESTROY = 0x0200_0000_0000_0000;
    MPG_FLAGS_MOD_REFS_PINNED_COPYIN = 0x0400_0000_0000_0000;
    MPG_FLAGS_IMMOVABLE_PINNED = 0x0100_0000_0000_0000;
}

/// The decoded codes of an `EXC_GUARD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuardCode {
    /// The kind of resource (bits 61 to 63 of the code).
    pub kind: GuardType,
    /// The operation (bits 32 to 60); for a port, a [`PortGuardFlavor`].
    pub flavor: u32,
    /// The resource (bits 0 to 31), such as a port's name or a file descriptor.
    pub target: u32,
    /// The subcode: the guard, or a value that depends on the flavor (A13.9).
    pub payload: u64,
}

impl GuardCode {
    /// Decodes code and subcode.
    pub const fn decode(code: i64, subcode: i64) -> Self {
        let code = code as u64;
        Self {
            kind: GuardType::new((code >> 61) as u32),
            flavor: (code >> 32) as u32 & 0x1fff_ffff,
            target: code as u32,
            payload: subcode as u64,
        }
    }

    /// Encodes code and subcode. Only the low 3 bits of the kind and the low 29 bits of the flavor are kept.
    pub const fn encode(self) -> [i64; 2] {
        let kind = (self.kind.raw() as u64) << 61;
        let flavor = ((self.flavor & 0x1fff_ffff) as u64) << 32;
        [
            (kind | flavor | self.target as u64) as i64,
            self.payload as i64,
        ]
    }

    /// Returns the flavor if the resource is a port; `None` otherwise.
    pub const fn port_flavor(self) -> Option<PortGuardFlavor> {
        match self.kind {
            GuardType::MACH_PORT => Some(PortGuardFlavor::new(self.flavor)),
            _ => None,
        }
    }
}

impl PortGuardFlavor {
    /// Returns `true` if the kernel ends the process whatever the handler replies (A13.5).
    pub const fn is_always_fatal(self) -> bool {
        self.raw() <= MAX_FATAL_kGUARD_EXC_CODE
    }
}

impl core::fmt::Display for GuardCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.port_flavor() {
            Some(flavor) => write!(
                f,
                "{flavor} on port {:#x}, payload {:#x}",
                self.target, self.payload
            ),
            None => write!(
                f,
                "{} flavor {} on {:#x}, payload {:#x}",
                self.kind, self.flavor, self.target, self.payload
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a13_1_type_flavor_and_name_share_the_code() {
        let code = GuardCode {
            kind: GuardType::MACH_PORT,
            flavor: PortGuardFlavor::MOD_REFS.raw(),
            target: 0x1403,
            payload: 0x0100_0000_0000_0000,
        };
        let [first, second] = code.encode();
        assert_eq!(first as u64, 1 << 61 | 2 << 32 | 0x1403);
        assert_eq!(GuardCode::decode(first, second), code);
        assert_eq!(
            code.to_string(),
            "kGUARD_EXC_MOD_REFS on port 0x1403, payload 0x100000000000000"
        );
        assert!(PortGuardFlavor::MOD_REFS.is_always_fatal());
        assert!(!PortGuardFlavor::INVALID_NAME.is_always_fatal());
    }

    /// In the order of the rule: those that always end the process, those that a policy may make fatal, those that never do.
    #[test]
    fn a13_3_each_flavor_has_its_number_and_its_class() {
        use PortGuardFlavor as P;
        let always = [
            (P::DESTROY, 1),
            (P::MOD_REFS, 2),
            (P::INVALID_OPTIONS, 3),
            (P::SET_CONTEXT, 4),
            (P::THREAD_SET_STATE, 5),
            (P::EXCEPTION_BEHAVIOR_ENFORCE, 6),
            (P::SERVICE_PORT_VIOLATION_FATAL, 7),
            (P::UNGUARDED, 8),
            (P::INCORRECT_GUARD, 16),
            (P::IMMOVABLE, 32),
            (P::STRICT_REPLY, 64),
            (P::MSG_FILTERED, 128),
        ];
        let optional = [
            (P::INVALID_RIGHT, 256),
            (P::INVALID_NAME, 512),
            (P::INVALID_VALUE, 1024),
            (P::INVALID_ARGUMENT, 2048),
            (P::RIGHT_EXISTS, 4096),
            (P::KERN_NO_SPACE, 8192),
            (P::KERN_FAILURE, 16384),
            (P::KERN_RESOURCE, 32768),
            (P::SEND_INVALID_REPLY, 1 << 16),
            (P::SEND_INVALID_VOUCHER, 1 << 17),
            (P::SEND_INVALID_RIGHT, 1 << 18),
            (P::RCV_INVALID_NAME, 1 << 19),
        ];
        let never = [
            (P::RCV_GUARDED_DESC, 1 << 20),
            (P::SERVICE_PORT_VIOLATION_NON_FATAL, (1 << 20) + 1),
            (P::PROVISIONAL_REPLY_PORT, (1 << 20) + 2),
            (P::MOD_REFS_NON_FATAL, 1 << 21),
            (P::IMMOVABLE_NON_FATAL, 1 << 22),
            (P::REQUIRE_REPLY_PORT_SEMANTICS, 1 << 23),
        ];
        for (class, flavors) in [&always[..], &optional, &never].into_iter().enumerate() {
            for (flavor, number) in flavors {
                assert_eq!(flavor.raw(), *number, "{flavor}");
                assert_eq!(flavor.is_always_fatal(), class == 0, "{flavor}");
                let may_be_fatal = *number <= MAX_OPTIONAL_kGUARD_EXC_CODE;
                assert_eq!(may_be_fatal, class < 2, "{flavor}");
            }
        }
    }

    #[test]
    fn a13_5_flavors_up_to_128_are_always_fatal() {
        for (raw, fatal) in [
            (1, true),
            (66, true),
            (128, true),
            (129, false),
            (256, false),
        ] {
            assert_eq!(PortGuardFlavor::new(raw).is_always_fatal(), fatal, "{raw}");
        }
        assert!(PortGuardFlavor::MSG_FILTERED.is_always_fatal());
        assert!(!PortGuardFlavor::INVALID_RIGHT.is_always_fatal());
    }
}
