//! `kern_return_t`: the results of kernel calls, `mach_msg` and MIG routines
//! (`mach/kern_return.h`, `mach/message.h`, `mach/mig_errors.h`, `mach/error.h`).

use crate::names::{ParseNameError, open_set, raw_constants};
use crate::types::kern_return_t;
use core::num::NonZeroI32;

/// Declares the constants of [`KernReturn`], and the errors among them also as constants of [`KernError`].
macro_rules! kern_returns {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($raw:ty);
        successes { $($(#[$success_doc:meta])* $success:ident = $success_c:ident = $success_value:expr;)* }
        errors { $($(#[$doc:meta])* $short:ident = $c:ident = $value:expr;)* }
    ) => {
        open_set! {
            $(#[$meta])*
            pub struct $name($raw);
            $($(#[$success_doc])* $success = $success_c = $success_value;)*
            $($(#[$doc])* $short = $c = $value;)*
        }

        impl KernError {
            $(
                $(#[$doc])*
                #[doc = concat!("`", stringify!($c), "`")]
                pub const $short: Self = Self::of($c);
            )*
        }
    };
}

kern_returns! {
    /// A `kern_return_t`, `mach_msg_return_t` or MIG `RetCode`: the three share one number space.
    ///
    /// A newtype rather than an enum, because the kernel and servers may return any value. A value that is an error is a [`KernError`].
    ///
    /// ```
    /// use mach_wire::kern_return::{KernError, KernReturn};
    ///
    /// assert_eq!(KernReturn::new(0).ok(), Ok(()));
    /// assert_eq!(KernReturn::new(5).ok(), Err(KernError::FAILURE));
    /// assert_eq!(KernReturn::new(0x1000_4003).to_string(), "MACH_RCV_TIMED_OUT");
    /// ```
    #[doc(alias("kern_return_t", "mach_msg_return_t", "mach_error_string"))]
    #[must_use]
    pub struct KernReturn(kern_return_t);
    successes {
        /// No error.
        ///
        SUCCESS = KERN_SUCCESS = 0;
        MSG_SUCCESS = MACH_MSG_SUCCESS = 0;
    }
    errors {
        /// The address is not mapped.
        ///
        INVALID_ADDRESS = KERN_INVALID_ADDRESS = 1;
        /// The address is mapped, but the access is not permitted.
        ///
        PROTECTION_FAILURE = KERN_PROTECTION_FAILURE = 2;
        /// No room in the address or name space.
        ///
        NO_SPACE = KERN_NO_SPACE = 3;
        /// An argument is not valid.
        ///
        INVALID_ARGUMENT = KERN_INVALID_ARGUMENT = 4;
        /// The call failed for an unspecified reason.
        ///
        FAILURE = KERN_FAILURE = 5;
        /// The kernel is out of a resource.
        ///
        RESOURCE_SHORTAGE = KERN_RESOURCE_SHORTAGE = 6;
        NOT_RECEIVER = KERN_NOT_RECEIVER = 7;
        NO_ACCESS = KERN_NO_ACCESS = 8;
        MEMORY_FAILURE = KERN_MEMORY_FAILURE = 9;
        MEMORY_ERROR = KERN_MEMORY_ERROR = 10;
        ALREADY_IN_SET = KERN_ALREADY_IN_SET = 11;
        NOT_IN_SET = KERN_NOT_IN_SET = 12;
        NAME_EXISTS = KERN_NAME_EXISTS = 13;
        /// The call was interrupted.
        ///
        ABORTED = KERN_ABORTED = 14;
        /// The name denotes no right.
        ///
        INVALID_NAME = KERN_INVALID_NAME = 15;
        INVALID_TASK = KERN_INVALID_TASK = 16;
        /// The name denotes a right of another kind.
        ///
        INVALID_RIGHT = KERN_INVALID_RIGHT = 17;
        INVALID_VALUE = KERN_INVALID_VALUE = 18;
        /// The number of user references would exceed its maximum.
        ///
        UREFS_OVERFLOW = KERN_UREFS_OVERFLOW = 19;
        INVALID_CAPABILITY = KERN_INVALID_CAPABILITY = 20;
        RIGHT_EXISTS = KERN_RIGHT_EXISTS = 21;
        INVALID_HOST = KERN_INVALID_HOST = 22;
        MEMORY_PRESENT = KERN_MEMORY_PRESENT = 23;
        MEMORY_DATA_MOVED = KERN_MEMORY_DATA_MOVED = 24;
        MEMORY_RESTART_COPY = KERN_MEMORY_RESTART_COPY = 25;
        INVALID_PROCESSOR_SET = KERN_INVALID_PROCESSOR_SET = 26;
        POLICY_LIMIT = KERN_POLICY_LIMIT = 27;
        INVALID_POLICY = KERN_INVALID_POLICY = 28;
        INVALID_OBJECT = KERN_INVALID_OBJECT = 29;
        ALREADY_WAITING = KERN_ALREADY_WAITING = 30;
        DEFAULT_SET = KERN_DEFAULT_SET = 31;
        EXCEPTION_PROTECTED = KERN_EXCEPTION_PROTECTED = 32;
        INVALID_LEDGER = KERN_INVALID_LEDGER = 33;
        INVALID_MEMORY_CONTROL = KERN_INVALID_MEMORY_CONTROL = 34;
        INVALID_SECURITY = KERN_INVALID_SECURITY = 35;
        NOT_DEPRESSED = KERN_NOT_DEPRESSED = 36;
        /// The object has been terminated.
        ///
        TERMINATED = KERN_TERMINATED = 37;
        LOCK_SET_DESTROYED = KERN_LOCK_SET_DESTROYED = 38;
        LOCK_UNSTABLE = KERN_LOCK_UNSTABLE = 39;
        LOCK_OWNED = KERN_LOCK_OWNED = 40;
        LOCK_OWNED_SELF = KERN_LOCK_OWNED_SELF = 41;
        SEMAPHORE_DESTROYED = KERN_SEMAPHORE_DESTROYED = 42;
        RPC_SERVER_TERMINATED = KERN_RPC_SERVER_TERMINATED = 43;
        RPC_TERMINATE_ORPHAN = KERN_RPC_TERMINATE_ORPHAN = 44;
        RPC_CONTINUE_ORPHAN = KERN_RPC_CONTINUE_ORPHAN = 45;
        NOT_SUPPORTED = KERN_NOT_SUPPORTED = 46;
        NODE_DOWN = KERN_NODE_DOWN = 47;
        NOT_WAITING = KERN_NOT_WAITING = 48;
        OPERATION_TIMED_OUT = KERN_OPERATION_TIMED_OUT = 49;
        CODESIGN_ERROR = KERN_CODESIGN_ERROR = 50;
        POLICY_STATIC = KERN_POLICY_STATIC = 51;
        INSUFFICIENT_BUFFER_SIZE = KERN_INSUFFICIENT_BUFFER_SIZE = 52;
        /// A policy refused the call.
        ///
        DENIED = KERN_DENIED = 53;
        MISSING_KC = KERN_MISSING_KC = 54;
        INVALID_KC = KERN_INVALID_KC = 55;
        NOT_FOUND = KERN_NOT_FOUND = 56;
                /// Defined since macOS 26.
                ///
                INVALID_GUARD_OBJECT_SLOT = KERN_INVALID_GUARD_OBJECT_SLOT = 57;
        RETURN_MAX = KERN_RETURN_MAX = 256;
        SEND_IN_PROGRESS = MACH_SEND_IN_PROGRESS = 0x1000_0001;
        SEND_INVALID_DATA = MACH_SEND_INVALID_DATA = 0x1000_0002;
        /// The destination is not a send or send-once right, or is dead.
        ///
        SEND_INVALID_DEST = MACH_SEND_INVALID_DEST = 0x1000_0003;
        SEND_TIMED_OUT = MACH_SEND_TIMED_OUT = 0x1000_0004;
        SEND_INVALID_VOUCHER = MACH_SEND_INVALID_VOUCHER = 0x1000_0005;
        SEND_INTERRUPTED = MACH_SEND_INTERRUPTED = 0x1000_0007;
        SEND_MSG_TOO_SMALL = MACH_SEND_MSG_TOO_SMALL = 0x1000_0008;
        SEND_INVALID_REPLY = MACH_SEND_INVALID_REPLY = 0x1000_0009;
        SEND_INVALID_RIGHT = MACH_SEND_INVALID_RIGHT = 0x1000_000a;
        SEND_INVALID_NOTIFY = MACH_SEND_INVALID_NOTIFY = 0x1000_000b;
        SEND_INVALID_MEMORY = MACH_SEND_INVALID_MEMORY = 0x1000_000c;
        SEND_NO_BUFFER = MACH_SEND_NO_BUFFER = 0x1000_000d;
        SEND_TOO_LARGE = MACH_SEND_TOO_LARGE = 0x1000_000e;
        SEND_INVALID_TYPE = MACH_SEND_INVALID_TYPE = 0x1000_000f;
        SEND_INVALID_HEADER = MACH_SEND_INVALID_HEADER = 0x1000_0010;
        SEND_INVALID_TRAILER = MACH_SEND_INVALID_TRAILER = 0x1000_0011;
        SEND_INVALID_CONTEXT = MACH_SEND_INVALID_CONTEXT = 0x1000_0012;
        SEND_INVALID_OPTIONS = MACH_SEND_INVALID_OPTIONS = 0x1000_0013;
        SEND_INVALID_RT_OOL_SIZE = MACH_SEND_INVALID_RT_OOL_SIZE = 0x1000_0015;
        SEND_NO_GRANT_DEST = MACH_SEND_NO_GRANT_DEST = 0x1000_0016;
        SEND_MSG_FILTERED = MACH_SEND_MSG_FILTERED = 0x1000_0017;
        SEND_AUX_TOO_SMALL = MACH_SEND_AUX_TOO_SMALL = 0x1000_0018;
        SEND_AUX_TOO_LARGE = MACH_SEND_AUX_TOO_LARGE = 0x1000_0019;
        RCV_IN_PROGRESS = MACH_RCV_IN_PROGRESS = 0x1000_4001;
        RCV_INVALID_NAME = MACH_RCV_INVALID_NAME = 0x1000_4002;
        /// No message arrived in time.
        ///
        RCV_TIMED_OUT = MACH_RCV_TIMED_OUT = 0x1000_4003;
        /// The message is larger than the receiver's buffer.
        ///
        RCV_TOO_LARGE = MACH_RCV_TOO_LARGE = 0x1000_4004;
        RCV_INTERRUPTED = MACH_RCV_INTERRUPTED = 0x1000_4005;
        RCV_PORT_CHANGED = MACH_RCV_PORT_CHANGED = 0x1000_4006;
        RCV_INVALID_NOTIFY = MACH_RCV_INVALID_NOTIFY = 0x1000_4007;
        RCV_INVALID_DATA = MACH_RCV_INVALID_DATA = 0x1000_4008;
        /// The port was destroyed during a receive. As a server's RetCode it ends the search for a handler without a new state (A6.5).
        ///
        RCV_PORT_DIED = MACH_RCV_PORT_DIED = 0x1000_4009;
        RCV_IN_SET = MACH_RCV_IN_SET = 0x1000_400a;
        RCV_HEADER_ERROR = MACH_RCV_HEADER_ERROR = 0x1000_400b;
        RCV_BODY_ERROR = MACH_RCV_BODY_ERROR = 0x1000_400c;
        RCV_INVALID_TYPE = MACH_RCV_INVALID_TYPE = 0x1000_400d;
        RCV_SCATTER_SMALL = MACH_RCV_SCATTER_SMALL = 0x1000_400e;
        RCV_INVALID_TRAILER = MACH_RCV_INVALID_TRAILER = 0x1000_400f;
        RCV_IN_PROGRESS_TIMED = MACH_RCV_IN_PROGRESS_TIMED = 0x1000_4011;
        RCV_INVALID_REPLY = MACH_RCV_INVALID_REPLY = 0x1000_4012;
        RCV_INVALID_ARGUMENTS = MACH_RCV_INVALID_ARGUMENTS = 0x1000_4013;
        /// A descriptor or the reply does not have the declared type.
        ///
        MIG_TYPE_ERROR = MIG_TYPE_ERROR = -300;
        /// The reply belongs to another request.
        ///
        MIG_REPLY_MISMATCH = MIG_REPLY_MISMATCH = -301;
        MIG_REMOTE_ERROR = MIG_REMOTE_ERROR = -302;
        /// The subsystem has no routine with this id.
        ///
        MIG_BAD_ID = MIG_BAD_ID = -303;
        /// The request does not have the declared shape.
        ///
        MIG_BAD_ARGUMENTS = MIG_BAD_ARGUMENTS = -304;
        /// The server keeps the request and replies later.
        ///
        MIG_NO_REPLY = MIG_NO_REPLY = -305;
        MIG_EXCEPTION = MIG_EXCEPTION = -306;
        /// A variable array does not fit in the caller's.
        ///
        MIG_ARRAY_TOO_LARGE = MIG_ARRAY_TOO_LARGE = -307;
        /// The reply right was destroyed without a reply.
        ///
        MIG_SERVER_DIED = MIG_SERVER_DIED = -308;
        /// The trailer does not have the required format.
        ///
        MIG_TRAILER_ERROR = MIG_TRAILER_ERROR = -309;
    }
}

impl KernReturn {
    /// Returns a kernel call's result as a `Result`.
    ///
    /// # Errors
    /// `raw` as a [`KernError`], unless it is `KERN_SUCCESS`.
    pub const fn check(raw: kern_return_t) -> Result<(), KernError> {
        Self(raw).ok()
    }

    /// Returns `true` if this is `KERN_SUCCESS`.
    pub const fn is_success(self) -> bool {
        self.0 == KERN_SUCCESS
    }

    /// Returns this value as a `Result`.
    ///
    /// # Errors
    /// This value as a [`KernError`], unless it is `KERN_SUCCESS`.
    pub const fn ok(self) -> Result<(), KernError> {
        match KernError::new(self) {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Returns the value without the bits that `mach_msg` adds to an error of its copy of rights or memory (`MACH_MSG_MASK`).
    pub const fn without_space_bits(self) -> Self {
        // Only mach_msg's own errors (system err_mach_ipc) carry these bits.
        if self.0 & system_emask == err_mach_ipc {
            Self(self.0 & !MACH_MSG_MASK)
        } else {
            self
        }
    }
}

impl core::fmt::Display for KernReturn {
    /// Prints the C name, with `|MACH_MSG_…` for each space bit; a number if the value has no name.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if let Some(name) = self.name() {
            return f.pad(name);
        }
        let base = self.without_space_bits();
        match base.name() {
            Some(name) if base != *self => {
                f.write_str(name)?;
                for &(bit_name, bit) in SPACE_BITS {
                    if bit != MACH_MSG_MASK && self.0 & bit != 0 {
                        write!(f, "|{bit_name}")?;
                    }
                }
                Ok(())
            }
            _ if self.0 & system_emask == err_mach_ipc => write!(f, "{:#x}", self.0),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl core::str::FromStr for KernReturn {
    type Err = ParseNameError;

    /// Parses the output of `Display`: C names, numbers, and an error of `mach_msg` with space bits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = ParseNameError::new("KernReturn");
        let mut parts = text.split('|').map(str::trim);
        let base = parts.next().and_then(Self::parse).ok_or(refused)?;
        let mut raw = base.raw();
        for part in parts {
            let bit = SPACE_BITS.iter().find(|(name, _)| *name == part);
            raw |= bit.ok_or(refused)?.1;
        }
        Ok(Self(raw))
    }
}

/// A [`KernReturn`] that is an error: any value but `KERN_SUCCESS`.
///
/// Functions that call the kernel return it as their error, so that an error is never a success. It has the same error constants and
/// prints the same names as [`KernReturn`], and converts to it. A message carries a `KernReturn`.
///
/// ```
/// use mach_wire::kern_return::{KernError, KernReturn};
///
/// let refused = KernReturn::check(17);
/// assert_eq!(refused, Err(KernError::INVALID_RIGHT));
/// assert_eq!(KernError::INVALID_RIGHT.to_string(), "KERN_INVALID_RIGHT");
/// assert_eq!(KernError::new(KernReturn::SUCCESS), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct KernError(NonZeroI32);

impl KernError {
    /// Returns `code` as an error; `None` for `KERN_SUCCESS`.
    pub const fn new(code: KernReturn) -> Option<Self> {
        match NonZeroI32::new(code.0) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Returns the error of a constant, which is not 0. Evaluated at compile time only.
    const fn of(raw: kern_return_t) -> Self {
        match NonZeroI32::new(raw) {
            Some(raw) => Self(raw),
            None => Self(NonZeroI32::MIN),
        }
    }

    /// Returns the value as a [`KernReturn`].
    pub const fn kern_return(self) -> KernReturn {
        KernReturn(self.0.get())
    }

    /// Returns the C value, never 0.
    pub const fn raw(self) -> kern_return_t {
        self.0.get()
    }

    /// Returns the C name, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        self.kern_return().name()
    }

    /// Returns the stable numeric code of this error, for callers in C: the bits of the C value. The codes of other errors have their own
    /// numbers, so a caller must distinguish the two by the error's type.
    pub const fn code(self) -> u32 {
        self.0.get() as u32
    }

    /// Returns the error without the bits that `mach_msg` adds to an error of its copy ([`KernReturn::without_space_bits`]).
    pub const fn without_space_bits(self) -> Self {
        match Self::new(self.kern_return().without_space_bits()) {
            Some(error) => error,
            None => self,
        }
    }
}

impl core::fmt::Display for KernError {
    /// Prints the same text as [`KernReturn`].
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.kern_return().fmt(f)
    }
}

impl core::fmt::Debug for KernError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KernError({self})")
    }
}

impl core::error::Error for KernError {}

impl From<KernError> for KernReturn {
    fn from(error: KernError) -> Self {
        error.kern_return()
    }
}

impl From<KernError> for kern_return_t {
    fn from(error: KernError) -> Self {
        error.raw()
    }
}

impl PartialEq<KernReturn> for KernError {
    fn eq(&self, other: &KernReturn) -> bool {
        self.kern_return() == *other
    }
}

impl From<KernReturn> for kern_return_t {
    fn from(value: KernReturn) -> Self {
        value.raw()
    }
}

impl From<kern_return_t> for KernReturn {
    fn from(raw: kern_return_t) -> Self {
        Self::new(raw)
    }
}

raw_constants! {
    kern_return_t; SPACE_BITS;
    /// All bits that `mach_msg` may add to an error of its copy of a message's body.
    ///
    MACH_MSG_MASK = 0x3e00;
    /// No room in the IPC name space.
    ///
    MACH_MSG_IPC_SPACE = 0x2000;
    /// No room in the address space.
    ///
    MACH_MSG_VM_SPACE = 0x1000;
    /// The kernel ran out of memory for IPC.
    ///
    MACH_MSG_IPC_KERNEL = 0x0800;
    /// The kernel ran out of memory for the copy.
    ///
    MACH_MSG_VM_KERNEL = 0x0400;
}

/// The bit fields of a `mach_error_t`: system (6 bits), subsystem (12 bits), code (14 bits).
#[allow(non_upper_case_globals)]
mod parts {
    use super::{kern_return_t, raw_constants};

    raw_constants! {
        kern_return_t; ERROR_PARTS;
        err_none = 0;
        ERR_SUCCESS = 0;
        system_emask = 0x3f << 26;
        sub_emask = 0xfff << 14;
        code_emask = 0x3fff;
        err_kern = 0;
        err_us = 1 << 26;
        err_server = 2 << 26;
        err_ipc = 3 << 26;
        err_mach_ipc = 4 << 26;
        err_dipc = 7 << 26;
        err_vm = 8 << 26;
        err_local = 0x3e << 26;
        err_ipc_compat = 0x3f << 26;
        err_max_system = 0x3f;
    }
}
pub use parts::*;
