//! Every way in which a message can be malformed.
//!
//! Each error has a stable numeric `code`, unique in this crate and between 0x1000 and 0x1fff.

use crate::kern_return::{KernError, KernReturn};
use crate::types::{mach_msg_id_t, mach_port_t};

/// A message that does not have the form that its id requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than a header. There is no reply right to answer through.
    #[error("{length} bytes are no message")]
    NoHeader {
        /// Bytes there are.
        length: usize,
    },
    /// The server has no routine of this id.
    #[error("no routine has message id {id}")]
    UnknownId {
        /// The message's id.
        id: mach_msg_id_t,
    },
    /// `msgh_size` says more than there is.
    #[error("message of {size} bytes in {length}")]
    Truncated {
        /// `msgh_size`.
        size: u32,
        /// Bytes there are.
        length: usize,
    },
    /// A message that must have descriptors has none.
    #[error("the message is not complex")]
    NotComplex,
    /// A message that must not have descriptors says that it has.
    #[error("the message is complex")]
    Complex,
    /// Another number of descriptors.
    #[error("{found} descriptors instead of {wanted}")]
    DescriptorCount {
        /// The message's number.
        found: u32,
        /// The routine's number.
        wanted: u32,
    },
    /// Smaller than the smallest or larger than the largest of this id.
    #[error("{found} bytes, not {minimum} to {maximum}")]
    SizeRange {
        /// `msgh_size`.
        found: u32,
        /// With no element in any array.
        minimum: u32,
        /// With all arrays full.
        maximum: u32,
    },
    /// A descriptor of another kind.
    #[error("descriptor {index} is of kind {found}, not a port")]
    DescriptorKind {
        /// Which descriptor.
        index: u32,
        /// Its kind.
        found: u8,
    },
    /// A descriptor with another right.
    #[error("descriptor {index} has disposition {found} instead of {wanted}")]
    Disposition {
        /// Which descriptor.
        index: u32,
        /// Its disposition.
        found: u8,
        /// The routine's.
        wanted: u8,
    },
    /// More codes than there may be.
    #[error("{found} codes")]
    CodeCount {
        /// `codeCnt`.
        found: u32,
    },
    /// More words of state than there may be.
    #[error("{found} words of state")]
    StateCount {
        /// `old_stateCnt` or `new_stateCnt`.
        found: u32,
    },
    /// The size is not what the counts make.
    #[error("{found} bytes, not the {wanted} that the counts make")]
    Size {
        /// `msgh_size`.
        found: u32,
        /// What the counts make; with the codes alone, when they already do not fit.
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

    /// Returns what Apple's generated server replies.
    pub const fn kern_return(self) -> KernReturn {
        match self {
            Self::UnknownId { .. } => KernReturn::MIG_BAD_ID,
            Self::DescriptorKind { .. } | Self::Disposition { .. } => KernReturn::MIG_TYPE_ERROR,
            _ => KernReturn::MIG_BAD_ARGUMENTS,
        }
    }
}

/// A message that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    #[error("{needed} bytes do not fit into {length}")]
    Buffer {
        /// Bytes needed.
        needed: usize,
        /// Bytes there are.
        length: usize,
    },
    /// More codes than a message has room for.
    #[error("{found} codes")]
    CodeCount {
        /// Codes given.
        found: usize,
    },
    /// More words of state than a message may carry, or any where it carries none.
    #[error("{found} words of state, at most {maximum}")]
    StateCount {
        /// Words given.
        found: usize,
        /// The most there may be.
        maximum: usize,
    },
    /// The routine's descriptors carry something else.
    #[error("the routine does not carry this identity")]
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

/// Why a reply does not mean "handled".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Larger than the buffer in which it was awaited.
    #[error("reply of {found} bytes, at most {limit} are received")]
    TooLarge {
        /// `msgh_size`.
        found: usize,
        /// Size of the buffer.
        limit: usize,
    },
    /// No reply but the notification that the reply right is gone.
    #[error("the server destroyed the reply right")]
    ServerDied,
    /// The reply to another message.
    #[error("message id {found} instead of {wanted}")]
    Id {
        /// The reply's id.
        found: mach_msg_id_t,
        /// The routine's.
        wanted: mach_msg_id_t,
    },
    /// The reply has descriptors.
    #[error("the reply is complex")]
    Complex,
    /// A size that no reply of the routine has.
    #[error("reply of {found} bytes")]
    Size {
        /// `msgh_size`.
        found: usize,
    },
    /// The reply wants a reply.
    #[error("the reply carries reply port {port:#x}")]
    ReplyPort {
        /// The port.
        port: mach_port_t,
    },
    /// More words of state than there may be.
    #[error("{found} words of state")]
    StateCount {
        /// `new_stateCnt`.
        found: u32,
    },
    /// A good reply with a return code other than success.
    #[error("the server answered with an error")]
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

    /// Returns what MIG's client code, and so the kernel, takes as the result.
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
