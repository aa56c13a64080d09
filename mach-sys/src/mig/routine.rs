//! The nine routines of `exc` and `mach_exc`: ids, and where everything stands in their messages.

use core::mem::{offset_of, size_of};

use crate::exception::{Behavior, BehaviorKind, BehaviorModifiers};
use crate::message::MACH_MSG_TRAILER_MINIMUM_SIZE;
use crate::thread_state::THREAD_STATE_MAX;
use crate::types::mach_msg_id_t;

use super::{exc, mach_exc, mig_reply_error_t};

/// Added to a request's id in its reply.
pub const REPLY_ID_OFFSET: mach_msg_id_t = 100;
/// The most codes of a request (`EXCEPTION_CODE_MAX`).
pub const CODES_MAX: usize = crate::exception::EXCEPTION_CODE_MAX;
/// The largest request of any routine, without its trailer.
pub const REQUEST_SIZE_MAX: usize =
    size_of::<mach_exc::__Request__mach_exception_raise_state_identity_t>();
/// The largest reply of any routine, without its trailer.
pub const REPLY_SIZE_MAX: usize =
    size_of::<mach_exc::__Reply__mach_exception_raise_state_identity_t>();

/// Which routines a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subsystem {
    /// 2401 to 2403: codes have 32 bits.
    Exc,
    /// 2405 to 2410: codes have 64 bits.
    MachExc,
}

/// A routine of `exc` or `mach_exc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Routine {
    /// 2401
    ExceptionRaise,
    /// 2402
    ExceptionRaiseState,
    /// 2403
    ExceptionRaiseStateIdentity,
    /// 2405
    MachExceptionRaise,
    /// 2406
    MachExceptionRaiseState,
    /// 2407
    MachExceptionRaiseStateIdentity,
    /// 2408
    MachExceptionRaiseIdentityProtected,
    /// 2409
    MachExceptionRaiseBacktrace,
    /// 2410
    MachExceptionRaiseStateIdentityProtected,
}

/// What the descriptors of a request carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// No descriptor: the message is not complex.
    None,
    /// Thread and task.
    ThreadAndTask,
    /// A task identity token; the thread's id is a number after it.
    Token,
    /// A kcdata object with a backtrace.
    Kcdata,
}

impl IdentityKind {
    /// Number of descriptors.
    pub const fn descriptors(self) -> u32 {
        match self {
            Self::None => 0,
            Self::ThreadAndTask => 2,
            Self::Token | Self::Kcdata => 1,
        }
    }
}

/// Where the parts of a request stand. Offsets and sizes are in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) identity: IdentityKind,
    /// Size of a code.
    pub(super) code_size: usize,
    pub(super) state: bool,
    pub(super) thread_id_at: usize,
    pub(super) exception_at: usize,
    /// The codes; their count is the word before, the exception the word before that.
    pub(super) code_at: usize,
    /// Size without codes and state.
    pub(super) minimum: usize,
    /// Size of MIG's structure.
    pub(super) maximum: usize,
}

/// Takes a shape from the structure that MIG declares.
macro_rules! shape {
    ($type:path, $identity:ident, $code:ty, state $state:literal, thread id $thread_id:expr) => {{
        const CODE_AT: usize = offset_of!($type, code);
        const STATE_HEADER: usize = if $state { 8 } else { 0 };
        const _: () = assert!(offset_of!($type, codeCnt) == CODE_AT - 4);
        const _: () = assert!(offset_of!($type, exception) == CODE_AT - 8);
        const MAXIMUM: usize = size_of::<$type>();
        const _: () = assert!(
            MAXIMUM
                == CODE_AT
                    + CODES_MAX * size_of::<$code>()
                    + STATE_HEADER
                    + if $state { THREAD_STATE_MAX * 4 } else { 0 }
        );
        Shape {
            identity: IdentityKind::$identity,
            code_size: size_of::<$code>(),
            state: $state,
            thread_id_at: $thread_id,
            exception_at: CODE_AT - 8,
            code_at: CODE_AT,
            minimum: CODE_AT + STATE_HEADER,
            maximum: MAXIMUM,
        }
    }};
}

impl Routine {
    /// All routines, by id.
    pub const ALL: [Self; 9] = [
        Self::ExceptionRaise,
        Self::ExceptionRaiseState,
        Self::ExceptionRaiseStateIdentity,
        Self::MachExceptionRaise,
        Self::MachExceptionRaiseState,
        Self::MachExceptionRaiseStateIdentity,
        Self::MachExceptionRaiseIdentityProtected,
        Self::MachExceptionRaiseBacktrace,
        Self::MachExceptionRaiseStateIdentityProtected,
    ];

    /// The routine of a request's id.
    pub const fn from_id(id: mach_msg_id_t) -> Option<Self> {
        Some(match id {
            2401 => Self::ExceptionRaise,
            2402 => Self::ExceptionRaiseState,
            2403 => Self::ExceptionRaiseStateIdentity,
            2405 => Self::MachExceptionRaise,
            2406 => Self::MachExceptionRaiseState,
            2407 => Self::MachExceptionRaiseStateIdentity,
            2408 => Self::MachExceptionRaiseIdentityProtected,
            2409 => Self::MachExceptionRaiseBacktrace,
            2410 => Self::MachExceptionRaiseStateIdentityProtected,
            _ => return None,
        })
    }

    /// The id of the request.
    pub const fn id(self) -> mach_msg_id_t {
        match self {
            Self::ExceptionRaise => 2401,
            Self::ExceptionRaiseState => 2402,
            Self::ExceptionRaiseStateIdentity => 2403,
            Self::MachExceptionRaise => 2405,
            Self::MachExceptionRaiseState => 2406,
            Self::MachExceptionRaiseStateIdentity => 2407,
            Self::MachExceptionRaiseIdentityProtected => 2408,
            Self::MachExceptionRaiseBacktrace => 2409,
            Self::MachExceptionRaiseStateIdentityProtected => 2410,
        }
    }

    /// The id of the reply.
    pub const fn reply_id(self) -> mach_msg_id_t {
        self.id() + REPLY_ID_OFFSET
    }

    /// MIG's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExceptionRaise => "exception_raise",
            Self::ExceptionRaiseState => "exception_raise_state",
            Self::ExceptionRaiseStateIdentity => "exception_raise_state_identity",
            Self::MachExceptionRaise => "mach_exception_raise",
            Self::MachExceptionRaiseState => "mach_exception_raise_state",
            Self::MachExceptionRaiseStateIdentity => "mach_exception_raise_state_identity",
            Self::MachExceptionRaiseIdentityProtected => "mach_exception_raise_identity_protected",
            Self::MachExceptionRaiseBacktrace => "mach_exception_raise_backtrace",
            Self::MachExceptionRaiseStateIdentityProtected => {
                "mach_exception_raise_state_identity_protected"
            }
        }
    }

    /// The subsystem that it belongs to.
    pub const fn subsystem(self) -> Subsystem {
        match self {
            Self::ExceptionRaise
            | Self::ExceptionRaiseState
            | Self::ExceptionRaiseStateIdentity => Subsystem::Exc,
            _ => Subsystem::MachExc,
        }
    }

    /// The routine that the kernel calls for a behavior (A3); `None` where it has none: an unknown kind, or a protected
    /// one or a backtrace without 64-bit codes.
    pub const fn for_behavior(behavior: Behavior) -> Option<Self> {
        let modifiers = behavior.modifiers();
        if modifiers.contains(BehaviorModifiers::BACKTRACE_PREFERRED) {
            return match behavior.has_codes() {
                true => Some(Self::MachExceptionRaiseBacktrace),
                false => None,
            };
        }
        Some(match (behavior.kind(), behavior.has_codes()) {
            (BehaviorKind::DEFAULT, false) => Self::ExceptionRaise,
            (BehaviorKind::STATE, false) => Self::ExceptionRaiseState,
            (BehaviorKind::STATE_IDENTITY, false) => Self::ExceptionRaiseStateIdentity,
            (BehaviorKind::DEFAULT, true) => Self::MachExceptionRaise,
            (BehaviorKind::STATE, true) => Self::MachExceptionRaiseState,
            (BehaviorKind::STATE_IDENTITY, true) => Self::MachExceptionRaiseStateIdentity,
            (BehaviorKind::IDENTITY_PROTECTED, true) => Self::MachExceptionRaiseIdentityProtected,
            (BehaviorKind::STATE_IDENTITY_PROTECTED, true) => {
                Self::MachExceptionRaiseStateIdentityProtected
            }
            _ => return None,
        })
    }

    /// What the descriptors carry.
    pub const fn identity(self) -> IdentityKind {
        self.shape().identity
    }

    /// Whether request and reply carry a thread state.
    pub const fn has_state(self) -> bool {
        self.shape().state
    }

    /// Size of a code: 4 or 8.
    pub const fn code_size(self) -> usize {
        self.shape().code_size
    }

    /// Size of a request with so many codes and words of state. A routine without state takes none.
    pub const fn request_size(self, codes: usize, words: usize) -> usize {
        let shape = self.shape();
        shape.minimum + codes * shape.code_size + if shape.state { words * 4 } else { 0 }
    }

    /// The smallest and the largest request.
    pub const fn request_size_range(self) -> (usize, usize) {
        let shape = self.shape();
        (shape.minimum, shape.maximum)
    }

    /// Size of a reply that reports success with so many words of state. A routine without state takes none.
    pub const fn reply_size(self, words: usize) -> usize {
        if self.has_state() {
            STATE_AT + 4 * words
        } else {
            size_of::<mig_reply_error_t>()
        }
    }

    /// The size of the buffer in which the kernel of macOS 15 and before waits for the reply: the largest reply and the
    /// smallest trailer (A6.4). A larger reply is the worst of all answers (A6.13).
    pub const fn reply_buffer_size(self) -> usize {
        self.reply_size(THREAD_STATE_MAX) + MACH_MSG_TRAILER_MINIMUM_SIZE as usize
    }

    pub(super) const fn shape(self) -> &'static Shape {
        match self {
            Self::ExceptionRaise => {
                &const {
                    shape!(exc::__Request__exception_raise_t, ThreadAndTask, i32, state false, thread id 0)
                }
            }
            Self::ExceptionRaiseState => {
                &const {
                    shape!(exc::__Request__exception_raise_state_t, None, i32, state true, thread id 0)
                }
            }
            Self::ExceptionRaiseStateIdentity => {
                &const {
                    shape!(exc::__Request__exception_raise_state_identity_t, ThreadAndTask, i32, state true, thread id 0)
                }
            }
            Self::MachExceptionRaise => {
                &const {
                    shape!(mach_exc::__Request__mach_exception_raise_t, ThreadAndTask, i64, state false, thread id 0)
                }
            }
            Self::MachExceptionRaiseState => {
                &const {
                    shape!(mach_exc::__Request__mach_exception_raise_state_t, None, i64, state true, thread id 0)
                }
            }
            Self::MachExceptionRaiseStateIdentity => {
                &const {
                    shape!(mach_exc::__Request__mach_exception_raise_state_identity_t, ThreadAndTask, i64, state true, thread id 0)
                }
            }
            Self::MachExceptionRaiseIdentityProtected => {
                &const {
                    shape!(
                        mach_exc::__Request__mach_exception_raise_identity_protected_t, Token, i64, state false,
                        thread id offset_of!(mach_exc::__Request__mach_exception_raise_identity_protected_t, thread_id)
                    )
                }
            }
            Self::MachExceptionRaiseBacktrace => {
                &const {
                    shape!(mach_exc::__Request__mach_exception_raise_backtrace_t, Kcdata, i64, state false, thread id 0)
                }
            }
            Self::MachExceptionRaiseStateIdentityProtected => {
                &const {
                    shape!(
                        mach_exc::__Request__mach_exception_raise_state_identity_protected_t, Token, i64, state true,
                        thread id offset_of!(mach_exc::__Request__mach_exception_raise_state_identity_protected_t, thread_id)
                    )
                }
            }
        }
    }
}

impl core::fmt::Display for Routine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// Where a reply's return code stands.
pub(super) const RET_CODE_AT: usize = offset_of!(mig_reply_error_t, RetCode);
/// Where a state reply's flavor stands.
pub(super) const FLAVOR_AT: usize = offset_of!(exc::__Reply__exception_raise_state_t, flavor);
/// Where a state reply's count of words stands.
pub(super) const COUNT_AT: usize = offset_of!(exc::__Reply__exception_raise_state_t, new_stateCnt);
/// Where a state reply's words start.
pub(super) const STATE_AT: usize = offset_of!(exc::__Reply__exception_raise_state_t, new_state);
