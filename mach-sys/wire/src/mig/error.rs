//! The errors of malformed messages.
//!
//! Each error has a stable numeric `code`, unique in this crate and between 0x1000 and 0x1fff.

use crate::kern_return::{KernError, KernReturn};
use crate::types::{mach_msg_id_t, mach_port_t};

/// The error of a message that does not have the form that its id requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message is shorter than a header. There is no reply right.
    #[error("{length} bytes are too few for a message")]
    NoHeader {
        /// Bytes in the buffer.
        length: usize,
    },
    /// The server has no routine with this id.
    #[error("no routine has message id {id}")]
    UnknownId {
        /// The message's id.
        id: mach_msg_id_t,
    },
    /// `msgh_size` is larger than the buffer.
    #[error("message of {size} bytes in a buffer of {length}")]
    Truncated {
        /// `msgh_size`.
        size: u32,
        /// Bytes in the buffer.
        length: usize,
    },
    /// A message that must have descriptors has none.
    #[error("the message is not complex")]
    NotComplex,
    /// A message that must not have descriptors is marked as complex.
    #[error("the message is complex")]
    Complex,
    /// The message has another number of descriptors than the routine.
    #[error("{found} descriptors instead of {wanted}")]
    DescriptorCount {
        /// The message's number.
        found: u32,
        /// The routine's number.
        wanted: u32,
    },
    /// The message is smaller than the smallest or larger than the largest with this id.
    #[error("{found} bytes, not {minimum} to {maximum}")]
    SizeRange {
        /// `msgh_size`.
        found: u32,
        /// The size with all arrays empty.
        minimum: u32,
        /// The size with all arrays full.
        maximum: u32,
    },
    /// A descriptor has another kind.
    #[error("descriptor {index} is of kind {found}, not a port")]
    DescriptorKind {
        /// The descriptor's index.
        index: u32,
        /// The descriptor's kind.
        found: u8,
    },
    /// A descriptor has another disposition.
    #[error("descriptor {index} has disposition {found} instead of {wanted}")]
    Disposition {
        /// The descriptor's index.
        index: u32,
        /// The descriptor's disposition.
        found: u8,
        /// The routine's disposition.
        wanted: u8,
    },
    /// There are more than 2 codes.
    #[error("{found} codes")]
    CodeCount {
        /// `codeCnt`.
        found: u32,
    },
    /// There are more than 1296 words of state.
    #[error("{found} words of state")]
    StateCount {
        /// `old_stateCnt` or `new_stateCnt`.
        found: u32,
    },
    /// The size is not the one that the counts require.
    #[error("{found} bytes instead of the {wanted} that the counts require")]
    Size {
        /// `msgh_size`.
        found: u32,
        /// The size that the counts require; that of the codes alone if these already do not fit.
        wanted: u32,
    },
}

impl DecodeError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    pub const fn code(self) -> u32 {
        match self {
            Self::NoHeader { .. } => 0x1101,
            Self::UnknownId { .. } => 0x1102,
            Self::Truncated { .. } => 0x1103,
            Self::NotComplex => 0x1104,
            Self::Complex => 0x1105,
            Self::DescriptorCount { .. } => 0x1106,
            Self::SizeRange { .. } => 0x1107,
            Self::DescriptorKind { .. } => 0x1108,
            Self::Disposition { .. } => 0x1109,
            Self::CodeCount { .. } => 0x110a,
            Self::StateCount { .. } => 0x110b,
            Self::Size { .. } => 0x110c,
        }
    }

    /// Returns the code that Apple's generated server replies.
    pub const fn kern_return(self) -> KernReturn {
        match self {
            Self::UnknownId { .. } => KernReturn::MIG_BAD_ID,
            Self::DescriptorKind { .. } | Self::Disposition { .. } => KernReturn::MIG_TYPE_ERROR,
            _ => KernReturn::MIG_BAD_ARGUMENTS,
        }
    }
}

/// The error of a message that cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    #[error("{needed} bytes do not fit into {length}")]
    Buffer {
        /// Bytes needed.
        needed: usize,
        /// Bytes in the buffer.
        length: usize,
    },
    /// There are more codes than a message has room for.
    #[error("{found} codes")]
    CodeCount {
        /// Codes given.
        found: usize,
    },
    /// There are more words of state than the message can carry; a routine without state carries none.
    #[error("{found} words of state, at most {maximum}")]
    StateCount {
        /// Words given.
        found: usize,
        /// The largest number allowed.
        maximum: usize,
    },
    /// The routine carries another kind of identity.
    #[error("the routine carries another kind of identity")]
    Identity,
}

impl EncodeError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    pub const fn code(self) -> u32 {
        match self {
            Self::Buffer { .. } => 0x1201,
            Self::CodeCount { .. } => 0x1202,
            Self::StateCount { .. } => 0x1203,
            Self::Identity => 0x1204,
        }
    }
}

/// The error of a reply that does not mean "handled".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The reply is larger than the receiver's buffer.
    #[error("reply of {found} bytes for a buffer of {limit}")]
    TooLarge {
        /// `msgh_size`.
        found: usize,
        /// Size of the buffer in bytes.
        limit: usize,
    },
    /// Instead of a reply, the notification that the reply right was destroyed arrived.
    #[error("the server destroyed the reply right")]
    ServerDied,
    /// The reply belongs to another request.
    #[error("message id {found} instead of {wanted}")]
    Id {
        /// The reply's id.
        found: mach_msg_id_t,
        /// The id of the routine's reply.
        wanted: mach_msg_id_t,
    },
    /// The reply has descriptors.
    #[error("the reply is complex")]
    Complex,
    /// The size is impossible for a reply of the routine.
    #[error("reply of {found} bytes")]
    Size {
        /// `msgh_size`.
        found: usize,
    },
    /// The reply has a reply port of its own.
    #[error("the reply carries reply port {port:#x}")]
    ReplyPort {
        /// The port.
        port: mach_port_t,
    },
    /// There are more than 1296 words of state.
    #[error("{found} words of state")]
    StateCount {
        /// `new_stateCnt`.
        found: u32,
    },
    /// The reply is well-formed, and its return code is an error.
    #[error("the server replied with an error")]
    Refused(#[source] KernError),
}

impl ReplyError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    pub const fn code(self) -> u32 {
        match self {
            Self::TooLarge { .. } => 0x1301,
            Self::ServerDied => 0x1302,
            Self::Id { .. } => 0x1303,
            Self::Complex => 0x1304,
            Self::Size { .. } => 0x1305,
            Self::ReplyPort { .. } => 0x1306,
            Self::StateCount { .. } => 0x1307,
            Self::Refused(_) => 0x1308,
        }
    }

    /// Returns the result that MIG's client code, and so the kernel, derives from the reply.
    pub const fn kern_return(self) -> KernReturn {
        match self {
            Self::TooLarge { .. } => KernReturn::RCV_TOO_LARGE,
            Self::ServerDied => KernReturn::MIG_SERVER_DIED,
            Self::Id { .. } => KernReturn::MIG_REPLY_MISMATCH,
            Self::Complex
            | Self::Size { .. }
            | Self::ReplyPort { .. }
            | Self::StateCount { .. } => KernReturn::MIG_TYPE_ERROR,
            Self::Refused(error) => error.kern_return(),
        }
    }
}
