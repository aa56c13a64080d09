//! Capabilities: properties of a process that change what Apple's kernel allows (Rosetta, debugging, code signing, sandboxing).
//!
//! [`system::capabilities`](crate::kernel::system::capabilities) reads them with calls that no policy forbids. The kernel ends a process
//! at the first call that its policy forbids (B5.4), so a program must decide before such a call. The decisions are functions of a
//! [`Capabilities`] value, which a test can create from [`Capabilities::ORDINARY`].
//!
//! A field is `None` if the system does not report it. An unknown property counts as the stricter possibility.

use crate::exception::{Behavior, BehaviorKind};
use core::fmt;

/// The properties of a process that change what the kernel allows.
///
/// ```
/// use mach_sys::capabilities::{Capabilities, Policy};
/// use mach_sys::exception::{Behavior, BehaviorKind};
///
/// let mut hardened = Capabilities::ORDINARY;
/// hardened.policy = Some(Policy::Restricted);
/// assert!(!hardened.allows(Behavior::with_codes(BehaviorKind::DEFAULT)));
/// assert!(hardened.allows(Behavior::with_codes(BehaviorKind::STATE)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Capabilities {
    /// `true` if Rosetta translates the process: x86_64 code on Apple silicon.
    pub translated: Option<bool>,
    /// `true` if a debugger traces the process. Changes when a debugger attaches or detaches.
    pub debugged: Option<bool>,
    /// The flags of the code signature.
    pub code_signing: Option<CodeSigning>,
    /// The policy that the kernel applies to the process's ports (F6.3). Fixed when the program starts.
    pub policy: Option<Policy>,
    /// `true` if the process is in a sandbox.
    pub sandboxed: Option<bool>,
}

impl Capabilities {
    /// The capabilities of a process that is not translated, debugged, signed, hardened or in a sandbox.
    pub const ORDINARY: Self = Self {
        translated: Some(false),
        debugged: Some(false),
        code_signing: Some(CodeSigning::UNSIGNED),
        policy: Some(Policy::Ordinary),
        sandboxed: Some(false),
    };

    /// Returns `true` if Rosetta translates the process or the system does not report it.
    #[must_use]
    pub const fn may_be_translated(&self) -> bool {
        !matches!(self.translated, Some(false))
    }

    /// Returns `true` if the process may register an exception port with this behavior for itself and its threads (B5.3). Otherwise
    /// the kernel ends the process at the first attempt (B5.4).
    #[must_use]
    #[doc(alias = "EXC_GUARD")]
    pub const fn allows(&self, behavior: Behavior) -> bool {
        policy_allows(self.policy, behavior)
    }
}

/// Returns `true` if a process with this policy may register an exception port with this behavior for itself and its threads (B5.3).
/// `None` counts as restricted.
#[must_use]
pub const fn policy_allows(policy: Option<Policy>, behavior: Behavior) -> bool {
    matches!(policy, Some(policy) if !policy.is_restricted())
        || matches!(
            behavior.kind(),
            BehaviorKind::STATE
                | BehaviorKind::IDENTITY_PROTECTED
                | BehaviorKind::STATE_IDENTITY_PROTECTED
        )
}

/// Prints one line: `Rosetta: no; debugger: no; code signing: unsigned; policy: ordinary; sandbox: no`.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |known| match known {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        write!(
            f,
            "Rosetta: {}; debugger: {}; code signing: ",
            word(self.translated),
            word(self.debugged)
        )?;
        match self.code_signing {
            Some(flags) => write!(f, "{flags}")?,
            None => f.write_str("unknown")?,
        }
        f.write_str("; policy: ")?;
        match self.policy {
            Some(policy) => write!(f, "{policy}")?,
            None => f.write_str("unknown, treated as restricted")?,
        }
        write!(f, "; sandbox: {}", word(self.sandboxed))
    }
}

/// The policy that the kernel applies to a process's ports, from the least to the most strict (F6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// An ordinary program, or any program under Rosetta, whatever its signature.
    Ordinary,
    /// The hardened runtime (V0), which forbids nothing that this workspace does.
    HardenedRuntime,
    /// A program with an entitlement of hardened processes, or of a web browser's engine (V1 or more).
    Restricted,
    /// One of Apple's own programs.
    Platform,
}

impl Policy {
    /// Returns `true` if the policy is V1 or more: the kernel ends the process if it registers a behavior other than `EXCEPTION_STATE` or
    /// a protected one.
    #[must_use]
    pub const fn is_restricted(self) -> bool {
        matches!(self, Self::Restricted | Self::Platform)
    }

    /// Returns the policy of a process with these signature flags and entitlements (a property list as XML). An argument is `None` if the
    /// system does not report it.
    ///
    /// Returns `None` if the policy depends on an unknown argument.
    #[must_use]
    pub fn of(
        translated: Option<bool>,
        flags: Option<CodeSigning>,
        entitlements: Option<&[u8]>,
    ) -> Option<Self> {
        if translated == Some(true) {
            return Some(Self::Ordinary);
        }
        let flags = flags?;
        if flags.contains(CodeSigning::PLATFORM_BINARY) {
            return Some(Self::Platform);
        }
        Some(if is_restricted_by(entitlements?) {
            Self::Restricted
        } else if flags.contains(CodeSigning::RUNTIME) {
            Self::HardenedRuntime
        } else {
            Self::Ordinary
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordinary => "ordinary",
            Self::HardenedRuntime => "hardened runtime",
            Self::Restricted => "restricted (hardened process)",
            Self::Platform => "restricted (platform binary)",
        })
    }
}

/// Prefixes of the entitlements that make a process restricted.
const RESTRICTING: [&[u8]; 2] = [
    b"com.apple.security.hardened-process",
    b"com.apple.developer.web-browser-engine.",
];
/// Prefix of the entitlements that only make the kernel report violations (F6.3).
const REPORTING: &[u8] = b"com.apple.security.hardened-process.containment";

/// Returns `true` if a property list has a restricting entitlement with a value other than false.
fn is_restricted_by(entitlements: &[u8]) -> bool {
    let mut rest = entitlements;
    while let Some(key) = after(rest, b"<key>") {
        let Some(value) = after(key, b"</key>") else {
            return false;
        };
        rest = value;
        if RESTRICTING.iter().any(|name| key.starts_with(name))
            && !key.starts_with(REPORTING)
            && !value.trim_ascii_start().starts_with(b"<false")
        {
            return true;
        }
    }
    false
}

/// Returns the text after the first `mark`; `None` without a mark.
fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(mark.len()).position(|found| found == mark)?;
    text.get(at + mark.len()..)
}

/// The flags of a process's code signature (`CS_*` of `sys/codesign.h`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeSigning(u32);

impl CodeSigning {
    /// No flags.
    pub const UNSIGNED: Self = Self(0);
    /// `CS_VALID`: the signature is intact.
    pub const VALID: Self = Self(0x0000_0001);
    /// `CS_GET_TASK_ALLOW`: debuggers may get the task's port.
    pub const GET_TASK_ALLOW: Self = Self(0x0000_0004);
    /// `CS_RUNTIME`: the hardened runtime.
    pub const RUNTIME: Self = Self(0x0001_0000);
    /// `CS_PLATFORM_BINARY`: one of Apple's own programs.
    pub const PLATFORM_BINARY: Self = Self(0x0400_0000);
    /// `CS_DEBUGGED`: a debugger has attached, and pages without a signature are allowed.
    pub const DEBUGGED: Self = Self(0x1000_0000);

    const NAMES: [(Self, &'static str); 5] = [
        (Self::VALID, "valid"),
        (Self::GET_TASK_ALLOW, "get-task-allow"),
        (Self::RUNTIME, "hardened runtime"),
        (Self::PLATFORM_BINARY, "platform binary"),
        (Self::DEBUGGED, "debugged"),
    ];

    /// Creates flags from the number that `csops` returns. Unknown flags are kept.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the flags as a number.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Returns `true` if all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the flags of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Prints the named flags, then all flags as a number: `valid, hardened runtime (0x10001)`.
impl fmt::Display for CodeSigning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UNSIGNED {
            return f.write_str("unsigned");
        }
        let mut between = "";
        for (flag, name) in Self::NAMES {
            if self.contains(flag) {
                write!(f, "{between}{name}")?;
                between = ", ";
            }
        }
        let between = if between.is_empty() { "" } else { " " };
        write!(f, "{between}({:#x})", self.0)
    }
}

impl fmt::Debug for CodeSigning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeSigning({self})")
    }
}

/// Returns the real result of a `thread_get_state` call, from its return code `answer`.
///
/// Under Rosetta the call is reported to return `MACH_SEND_INVALID_DEST` (0x10000003) although it succeeded
/// (bugsnag/bugsnag-cocoa#992). For a thread that has exited it returns the same code, and does not change the caller's buffer. So
/// `written`, which is `true` if the call changed the buffer, distinguishes the two.
///
/// # Errors
/// The return code, if it is an error, except in the case above with `written`.
pub fn judge_thread_state(
    translated: Option<bool>,
    answer: crate::kern_return::KernReturn,
    written: bool,
) -> Result<(), crate::kern_return::KernError> {
    use crate::kern_return::{KernError, KernReturn};

    match KernReturn::check(answer.raw()) {
        Err(KernError::SEND_INVALID_DEST) if translated != Some(false) && written => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kern_return::{KernError, KernReturn};

    #[test]
    fn b5_3_a_restricted_process_may_register_states_and_protected_behaviors_only() {
        let policies = [
            (Some(Policy::Ordinary), true),
            (Some(Policy::HardenedRuntime), true),
            (Some(Policy::Restricted), false),
            (Some(Policy::Platform), false),
            (None, false),
        ];
        for (policy, everything) in policies {
            let capabilities = Capabilities {
                policy,
                ..Capabilities::ORDINARY
            };
            for (kind, always) in [
                (BehaviorKind::DEFAULT, false),
                (BehaviorKind::STATE, true),
                (BehaviorKind::STATE_IDENTITY, false),
                (BehaviorKind::IDENTITY_PROTECTED, true),
                (BehaviorKind::STATE_IDENTITY_PROTECTED, true),
            ] {
                let allowed = capabilities.allows(Behavior::with_codes(kind));
                assert_eq!(allowed, everything || always, "{policy:?} {kind}");
            }
        }
    }

    #[test]
    fn f6_3_the_policy_follows_from_flags_and_entitlements() {
        let plist = |body: &str| {
            format!("<?xml version=\"1.0\"?>\n<plist version=\"1.0\"><dict>{body}</dict></plist>")
        };
        let restricting = [
            "<key>com.apple.security.hardened-process</key><true/>",
            "<key>com.apple.security.hardened-process.platform-restrictions</key>\n\t<integer>2</integer>",
            "<key>com.apple.security.hardened-process.platform-restrictions-string</key><string>1</string>",
            "<key>a</key><true/><key>com.apple.developer.web-browser-engine.rendering</key><true/>",
        ];
        let harmless = [
            "",
            "<key>com.apple.security.cs.allow-jit</key><true/>",
            "<key>com.apple.security.hardened-process</key>\n<false/>",
            "<key>com.apple.security.hardened-process.containment.ipc</key><true/>",
            // A value is not a key.
            "<key>a</key><string>com.apple.security.hardened-process</string>",
            "<key>com.apple.security.hardened-process",
        ];
        let valid = CodeSigning::VALID;
        let runtime = valid.union(CodeSigning::RUNTIME);
        let platform = valid.union(CodeSigning::PLATFORM_BINARY);
        let of = |translated, flags, text: Option<&str>| {
            let text = text.map(plist);
            Policy::of(translated, flags, text.as_deref().map(str::as_bytes))
        };
        for text in restricting {
            for flags in [CodeSigning::UNSIGNED, valid, runtime] {
                let found = of(Some(false), Some(flags), Some(text));
                assert_eq!(found, Some(Policy::Restricted), "{flags} {text}");
            }
            let found = of(Some(false), Some(platform), Some(text));
            assert_eq!(found, Some(Policy::Platform), "{text}");
            // Rosetta disables every level.
            let found = of(Some(true), Some(platform), Some(text));
            assert_eq!(found, Some(Policy::Ordinary), "{text}");
        }
        for text in harmless {
            let found = |flags| of(Some(false), Some(flags), Some(text));
            assert_eq!(found(valid), Some(Policy::Ordinary), "{text}");
            assert_eq!(found(runtime), Some(Policy::HardenedRuntime), "{text}");
        }
        // Unknown, if an unknown argument could change the policy.
        assert_eq!(of(None, Some(valid), Some("")), Some(Policy::Ordinary));
        assert_eq!(of(Some(false), None, Some("")), None);
        assert_eq!(of(Some(false), Some(runtime), None), None);
        assert_eq!(
            of(Some(false), Some(platform), None),
            Some(Policy::Platform)
        );
        assert_eq!(of(Some(true), None, None), Some(Policy::Ordinary));
    }

    #[test]
    fn an_answer_of_thread_get_state_is_believed_by_what_was_written() {
        let lie = KernReturn::SEND_INVALID_DEST;
        let gone = Err(KernError::SEND_INVALID_DEST);
        let aborted = Err(KernError::ABORTED);
        // Translated, the return code, if the buffer changed, and the expected result.
        let table = [
            (Some(false), KernReturn::SUCCESS, false, Ok(())),
            (Some(false), KernReturn::SUCCESS, true, Ok(())),
            (Some(true), KernReturn::SUCCESS, true, Ok(())),
            (Some(true), lie, true, Ok(())),
            (None, lie, true, Ok(())),
            (Some(true), lie, false, gone),
            (None, lie, false, gone),
            (Some(false), lie, true, gone),
            (Some(false), lie, false, gone),
            (Some(true), KernReturn::ABORTED, true, aborted),
            (Some(true), KernReturn::ABORTED, false, aborted),
        ];
        for (translated, answer, written, expected) in table {
            let found = judge_thread_state(translated, answer, written);
            assert_eq!(found, expected, "{translated:?} {answer} {written}");
        }
        assert_eq!(lie.raw(), 0x1000_0003);
    }

    #[test]
    fn capabilities_print_as_one_line() {
        assert_eq!(
            Capabilities::ORDINARY.to_string(),
            "Rosetta: no; debugger: no; code signing: unsigned; policy: ordinary; sandbox: no"
        );
        let hardened = Capabilities {
            translated: None,
            debugged: Some(true),
            code_signing: Some(CodeSigning::from_raw(0x1001_0003)),
            policy: Some(Policy::Restricted),
            sandboxed: Some(true),
        };
        assert_eq!(
            hardened.to_string(),
            "Rosetta: unknown; debugger: yes; code signing: valid, hardened runtime, debugged (0x10010003); \
             policy: restricted (hardened process); sandbox: yes"
        );
        let unknown = Capabilities {
            code_signing: None,
            policy: None,
            ..hardened
        };
        assert!(
            unknown
                .to_string()
                .contains("code signing: unknown; policy: unknown, treated as restricted;")
        );
        assert_eq!(CodeSigning::from_raw(2).to_string(), "(0x2)");
    }
}
