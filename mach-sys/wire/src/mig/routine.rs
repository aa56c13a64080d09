//! The nine routines of `exc` and `mach_exc`: ids, sizes, and offsets in their messages.

use core::mem::{offset_of, size_of};

use crate::exception::{Behavior, BehaviorKind, BehaviorModifiers};
use crate::message::MACH_MSG_TRAILER_MINIMUM_SIZE;
use crate::thread_state::THREAD_STATE_MAX;
use crate::types::mach_msg_id_t;

use super::{exc, mach_exc, mig_reply_error_t};

/// The difference between a reply's id and its request's: 100.
pub const REPLY_ID_OFFSET: mach_msg_id_t = 100;
/// The largest number of codes in a request (`EXCEPTION_CODE_MAX`).
pub const CODES_MAX: usize = crate::exception::EXCEPTION_CODE_MAX;
/// Size in bytes of the largest request of any routine, without its trailer.
pub const REQUEST_SIZE_MAX: usize =
    size_of::<mach_exc::__Request__mach_exception_raise_state_identity_t>();
/// Size in bytes of the largest reply of any routine, without its trailer.
pub const REPLY_SIZE_MAX: usize =
    size_of::<mach_exc::__Reply__mach_exception_raise_state_identity_t>();

/// A MIG subsystem: the routines that one server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subsystem {
    /// `exc`: messages 2401 to 2403, with 32-bit codes.
    Exc,
    /// `mach_exc`: messages 2405 to 2410, with 64-bit codes.
    MachExc,
}

/// A routine of `exc` or `mach_exc`.
///
/// ```
/// use mach_wire::exception::{Behavior, BehaviorKind};
/// use mach_wire::mig::Routine;
///
/// let routine = Routine::for_behavior(Behavior::with_codes(BehaviorKind::STATE));
/// assert_eq!(routine, Some(Routine::MachExceptionRaiseState));
/// assert_eq!(Routine::MachExceptionRaiseState.id(), 2406);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Routine {
    /// Message 2401, `exception_raise`.
    ExceptionRaise,
    /// Message 2402, `exception_raise_state`.
    ExceptionRaiseState,
    /// Message 2403, `exception_raise_state_identity`.
    ExceptionRaiseStateIdentity,
    /// Message 2405, `mach_exception_raise`.
    MachExceptionRaise,
    /// Message 2406, `mach_exception_raise_state`.
    MachExceptionRaiseState,
    /// Message 2407, `mach_exception_raise_state_identity`.
    MachExceptionRaiseStateIdentity,
    /// Message 2408, `mach_exception_raise_identity_protected`.
    MachExceptionRaiseIdentityProtected,
    /// Message 2409, `mach_exception_raise_backtrace`.
    MachExceptionRaiseBacktrace,
    /// Message 2410, `mach_exception_raise_state_identity_protected`.
    MachExceptionRaiseStateIdentityProtected,
}

/// The kind of identity that the descriptors of a request carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityKind {
    /// No descriptor: the message is not complex.
    None,
    /// Rights of the thread and of its task.
    ThreadAndTask,
    /// A task identity token. The message also has the thread's id.
    Token,
    /// A kcdata object with a backtrace.
    Kcdata,
}

impl IdentityKind {
    /// Returns the number of descriptors in the message.
    pub const fn descriptors(self) -> u32 {
        match self {
            Self::None => 0,
            Self::ThreadAndTask => 2,
            Self::Token | Self::Kcdata => 1,
        }
    }
}

/// The layout of a request. Offsets and sizes are in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) routine: Routine,
    pub(super) identity: IdentityKind,
    /// Size of a code.
    pub(super) code_size: usize,
    pub(super) state: bool,
    pub(super) thread_id_at: usize,
    /// Offset of the codes. The word before is their count, and the word before that the exception type.
    pub(super) code_at: usize,
    /// Size without codes and state.
    pub(super) minimum: usize,
    /// Size of MIG's structure.
    pub(super) maximum: usize,
}

impl Shape {
    /// Creates a layout from the offsets and the size of the structure that MIG declares.
    const fn new<Code>(
        routine: Routine,
        identity: IdentityKind,
        code_at: usize,
        state: bool,
        thread_id_at: usize,
        maximum: usize,
    ) -> Self {
        let minimum = code_at + if state { STATE_HEADER } else { 0 };
        let arrays = CODES_MAX * size_of::<Code>() + if state { 4 * THREAD_STATE_MAX } else { 0 };
        assert!(maximum == minimum + arrays);
        Self {
            routine,
            identity,
            code_size: size_of::<Code>(),
            state,
            thread_id_at,
            code_at,
            minimum,
            maximum,
        }
    }
}

/// Bytes of flavor and count, before the words of a state.
pub(super) const STATE_HEADER: usize = 8;

macro_rules! shape {
    ($routine:ident, $type:path, $identity:ident, $code:ty, state $state:literal) => {
        shape!($routine, $type, $identity, $code, state $state, thread id 0)
    };
    ($routine:ident, $type:path, $identity:ident, $code:ty, state $state:literal, thread id) => {
        shape!($routine, $type, $identity, $code, state $state, thread id offset_of!($type, thread_id))
    };
    ($routine:ident, $type:path, $identity:ident, $code:ty, state $state:literal, thread id $at:expr) => {{
        assert!(offset_of!($type, codeCnt) == offset_of!($type, code) - 4);
        assert!(offset_of!($type, exception) == offset_of!($type, code) - 8);
        Shape::new::<$code>(
            Routine::$routine,
            IdentityKind::$identity,
            offset_of!($type, code),
            $state,
            $at,
            size_of::<$type>(),
        )
    }};
}

/// The layouts, in the order of [`Routine`] and of ids.
pub(super) const SHAPES: [Shape; 9] = [
    shape!(ExceptionRaise, exc::__Request__exception_raise_t, ThreadAndTask, i32, state false),
    shape!(ExceptionRaiseState, exc::__Request__exception_raise_state_t, None, i32, state true),
    shape!(ExceptionRaiseStateIdentity, exc::__Request__exception_raise_state_identity_t, ThreadAndTask, i32, state true),
    shape!(MachExceptionRaise, mach_exc::__Request__mach_exception_raise_t, ThreadAndTask, i64, state false),
    shape!(MachExceptionRaiseState, mach_exc::__Request__mach_exception_raise_state_t, None, i64, state true),
    shape!(MachExceptionRaiseStateIdentity, mach_exc::__Request__mach_exception_raise_state_identity_t, ThreadAndTask, i64, state true),
    shape!(MachExceptionRaiseIdentityProtected, mach_exc::__Request__mach_exception_raise_identity_protected_t, Token, i64, state false, thread id),
    shape!(MachExceptionRaiseBacktrace, mach_exc::__Request__mach_exception_raise_backtrace_t, Kcdata, i64, state false),
    shape!(MachExceptionRaiseStateIdentityProtected, mach_exc::__Request__mach_exception_raise_state_identity_protected_t, Token, i64, state true, thread id),
];

impl Routine {
    /// All routines, in the order of their ids.
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

    /// Returns the routine of a request's id; `None` if no routine has this id.
    #[inline]
    pub const fn from_id(id: mach_msg_id_t) -> Option<Self> {
        match Subsystem::MachExc.routine(id) {
            None => Subsystem::Exc.routine(id),
            found => found,
        }
    }

    /// Returns the id of the request.
    pub const fn id(self) -> mach_msg_id_t {
        // 2404, between the subsystems, is unused.
        match self.subsystem() {
            Subsystem::Exc => 2401 + self as mach_msg_id_t,
            Subsystem::MachExc => 2402 + self as mach_msg_id_t,
        }
    }

    /// Returns the id of the reply.
    pub const fn reply_id(self) -> mach_msg_id_t {
        self.id() + REPLY_ID_OFFSET
    }

    /// Returns MIG's name of the routine.
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

    /// Returns the subsystem that the routine belongs to.
    pub const fn subsystem(self) -> Subsystem {
        match self {
            Self::ExceptionRaise
            | Self::ExceptionRaiseState
            | Self::ExceptionRaiseStateIdentity => Subsystem::Exc,
            _ => Subsystem::MachExc,
        }
    }

    /// Returns the routine that the kernel calls for a behavior (A3); `None` for an unknown kind, and for a protected kind or a backtrace
    /// without 64-bit codes.
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

    /// Returns the kind of identity that the request's descriptors carry.
    pub const fn identity(self) -> IdentityKind {
        self.shape().identity
    }

    /// Returns `true` if request and reply carry a thread state.
    pub const fn has_state(self) -> bool {
        self.shape().state
    }

    /// Returns the size of a code in bytes: 4 or 8.
    pub const fn code_size(self) -> usize {
        self.shape().code_size
    }

    /// Returns the size in bytes of a request with `codes` codes and `words` words of state. `words` is ignored for a routine without
    /// state.
    pub const fn request_size(self, codes: usize, words: usize) -> usize {
        let shape = self.shape();
        shape.minimum + codes * shape.code_size + if shape.state { words * 4 } else { 0 }
    }

    /// Returns the sizes in bytes of the smallest and the largest request.
    pub const fn request_size_range(self) -> (usize, usize) {
        let shape = self.shape();
        (shape.minimum, shape.maximum)
    }

    /// Returns the size in bytes of a reply of success with `words` words of state. `words` is ignored for a routine without state.
    pub const fn reply_size(self, words: usize) -> usize {
        if self.has_state() {
            STATE_AT + 4 * words
        } else {
            size_of::<mig_reply_error_t>()
        }
    }

    /// Returns the size in bytes of the buffer in which the kernel of macOS 15 and before waits for the reply: the largest reply and the
    /// smallest trailer (A6.4). Never send a larger reply: the kernel leaves the reply port inconsistent, and the thread's next
    /// exceptions receive the wrong reply (A6.13).
    pub const fn reply_buffer_size(self) -> usize {
        self.reply_size(THREAD_STATE_MAX) + MACH_MSG_TRAILER_MINIMUM_SIZE as usize
    }

    #[inline]
    pub(super) const fn shape(self) -> &'static Shape {
        const TABLE: &[Shape; 9] = &SHAPES;
        &TABLE[self as usize]
    }
}

impl Subsystem {
    /// Returns the routine of a request's id; `None` if the subsystem has none with this id.
    #[inline]
    pub const fn routine(self, id: mach_msg_id_t) -> Option<Routine> {
        match (self, id) {
            (Self::Exc, 2401) => Some(Routine::ExceptionRaise),
            (Self::Exc, 2402) => Some(Routine::ExceptionRaiseState),
            (Self::Exc, 2403) => Some(Routine::ExceptionRaiseStateIdentity),
            (Self::MachExc, 2405) => Some(Routine::MachExceptionRaise),
            (Self::MachExc, 2406) => Some(Routine::MachExceptionRaiseState),
            (Self::MachExc, 2407) => Some(Routine::MachExceptionRaiseStateIdentity),
            (Self::MachExc, 2408) => Some(Routine::MachExceptionRaiseIdentityProtected),
            (Self::MachExc, 2409) => Some(Routine::MachExceptionRaiseBacktrace),
            (Self::MachExc, 2410) => Some(Routine::MachExceptionRaiseStateIdentityProtected),
            _ => None,
        }
    }
}

impl core::fmt::Display for Routine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// Offset of a reply's return code.
pub(super) const RET_CODE_AT: usize = offset_of!(mig_reply_error_t, RetCode);
/// Offset of the flavor in a reply with state.
pub(super) const FLAVOR_AT: usize = offset_of!(exc::__Reply__exception_raise_state_t, flavor);
/// Offset of the count of words in a reply with state.
pub(super) const COUNT_AT: usize = offset_of!(exc::__Reply__exception_raise_state_t, new_stateCnt);
/// Offset of the words in a reply with state.
pub(super) const STATE_AT: usize = offset_of!(exc::__Reply__exception_raise_state_t, new_state);
