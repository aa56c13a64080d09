//! Trailers that the kernel appends to a received message (`mach/message.h`).
//!
//! A trailer starts at `msgh_size` rounded up to 4, is not counted in it, and has at least 8 bytes. A receiver requests a longer
//! one with [`MACH_RCV_TRAILER_ELEMENTS`](super::MACH_RCV_TRAILER_ELEMENTS). Each trailer contains the shorter ones.

use super::header::mach_msg_header_t;
use crate::kern_return::KernReturn;
use crate::pod::{self, Pod, plain_struct};
use crate::types::{
    mach_msg_filter_id, mach_msg_size_t, mach_msg_trailer_size_t, mach_msg_trailer_type_t,
    mach_port_context_t, mach_port_name_t, mach_port_seqno_t,
};

/// The only format of trailers (`MACH_MSG_TRAILER_FORMAT_0`).
pub const MACH_MSG_TRAILER_FORMAT_0: mach_msg_trailer_type_t = 0;
/// Size in bytes of the trailer that every received message has (`MACH_MSG_TRAILER_MINIMUM_SIZE`).
pub const MACH_MSG_TRAILER_MINIMUM_SIZE: mach_msg_size_t = 8;
/// Size in bytes of the largest trailer (`MAX_TRAILER_SIZE`).
pub const MAX_TRAILER_SIZE: mach_msg_size_t = 68;
/// Size in bytes of the trailer with sequence number and sender (`MACH_MSG_TRAILER_FORMAT_0_SIZE`).
pub const MACH_MSG_TRAILER_FORMAT_0_SIZE: mach_msg_size_t = 20;
/// The filter that lets everything pass (`MACH_MSG_FILTER_POLICY_ALLOW`).
pub const MACH_MSG_FILTER_POLICY_ALLOW: mach_msg_filter_id = 0;

plain_struct! {
    /// The trailer that every received message has.
    pub struct mach_msg_trailer_t: 8, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
    }
}

plain_struct! {
    /// The smallest message as received, with the smallest trailer.
    pub struct mach_msg_empty_rcv_t: 32, align 4, packed 4 {
        0 header: mach_msg_header_t,
        24 trailer: mach_msg_trailer_t,
    }
}

plain_struct! {
    /// The trailer with the port's sequence number.
    pub struct mach_msg_seqno_trailer_t: 12, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
        8 msgh_seqno: mach_port_seqno_t,
    }
}

plain_struct! {
    /// The sender's user and group; {0, 1} for the kernel.
    pub struct security_token_t: 8, align 4 {
        0 val: [u32; 2],
    }
}

plain_struct! {
    /// The trailer with the sender's user and group.
    pub struct mach_msg_security_trailer_t: 20, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
        8 msgh_seqno: mach_port_seqno_t,
        12 msgh_sender: security_token_t,
    }
}
/// The trailer of format 0.
#[allow(non_camel_case_types)]
pub type mach_msg_format_0_trailer_t = mach_msg_security_trailer_t;

plain_struct! {
    /// The sender's identity, opaque; all zero for the kernel.
    pub struct audit_token_t: 32, align 4 {
        0 val: [u32; 8],
    }
}

plain_struct! {
    /// The trailer with the sender's identity.
    pub struct mach_msg_audit_trailer_t: 52, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
        8 msgh_seqno: mach_port_seqno_t,
        12 msgh_sender: security_token_t,
        20 msgh_audit: audit_token_t,
    }
}

plain_struct! {
    /// The trailer with the context of the port that received the message.
    pub struct mach_msg_context_trailer_t: 60, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
        8 msgh_seqno: mach_port_seqno_t,
        12 msgh_sender: security_token_t,
        20 msgh_audit: audit_token_t,
        52 msgh_context: mach_port_context_t,
    }
}

plain_struct! {
    /// Labels of the sender.
    pub struct msg_labels_t: 4, align 4, packed 4 {
        0 sender: mach_port_name_t,
    }
}

plain_struct! {
    /// The trailer with filter and labels.
    pub struct mach_msg_mac_trailer_t: 68, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
        8 msgh_seqno: mach_port_seqno_t,
        12 msgh_sender: security_token_t,
        20 msgh_audit: audit_token_t,
        52 msgh_context: mach_port_context_t,
        60 msgh_ad: mach_msg_filter_id,
        64 msgh_labels: msg_labels_t,
    }
}
/// The largest trailer.
#[allow(non_camel_case_types)]
pub type mach_msg_max_trailer_t = mach_msg_mac_trailer_t;

/// A trailer of format 0, with all elements up to its last one. Sealed, as [`Pod`] is: only this crate's structures implement it.
pub trait Trailer: Pod {}
impl Trailer for mach_msg_trailer_t {}
impl Trailer for mach_msg_seqno_trailer_t {}
impl Trailer for mach_msg_security_trailer_t {}
impl Trailer for mach_msg_audit_trailer_t {}
impl Trailer for mach_msg_context_trailer_t {}
impl Trailer for mach_msg_mac_trailer_t {}

/// The error of a message without the requested trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrailerError {
    /// The buffer ends before the end of the trailer.
    #[error("no trailer of {needed} bytes after a message of {size} in {length}")]
    Missing {
        /// Bytes of the message.
        size: mach_msg_size_t,
        /// Bytes of the trailer.
        needed: usize,
        /// Bytes in the buffer.
        length: usize,
    },
    /// The trailer has another format.
    #[error("trailer of format {found}")]
    Format {
        /// The trailer's format.
        found: mach_msg_trailer_type_t,
    },
    /// The trailer has fewer elements.
    #[error("trailer of {found} bytes instead of {needed}")]
    Short {
        /// The trailer's size in bytes.
        found: mach_msg_trailer_size_t,
        /// The requested size in bytes.
        needed: usize,
    },
}

impl TrailerError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    pub const fn code(self) -> u32 {
        match self {
            Self::Missing { .. } => 0x1401,
            Self::Format { .. } => 0x1402,
            Self::Short { .. } => 0x1403,
        }
    }

    /// Returns the code that MIG's servers reply if they need a trailer: `MIG_TRAILER_ERROR`.
    pub const fn kern_return(self) -> KernReturn {
        KernReturn::MIG_TRAILER_ERROR
    }
}

/// Returns the trailer of a received message. `bytes` is the receive buffer; the trailer starts at the message's size, rounded up to
/// 4 bytes.
///
/// MIG's servers that need the audit token accept a trailer of 32 bytes, although the token ends at 52. This function requires the
/// whole structure.
///
/// # Errors
/// - [`TrailerError::Missing`]: the buffer ends before the end of a trailer of `T`'s size.
/// - [`TrailerError::Format`]: the trailer is not of format 0.
/// - [`TrailerError::Short`]: the trailer has fewer elements than `T`; request more with
///   [`MACH_RCV_TRAILER_ELEMENTS`](super::MACH_RCV_TRAILER_ELEMENTS).
pub fn read_trailer<T: Trailer>(bytes: &[u8]) -> Result<T, TrailerError> {
    let length = bytes.len();
    let needed = size_of::<T>();
    let header: mach_msg_header_t = pod::read(bytes).unwrap_or_default();
    let size = header.msgh_size;
    let missing = TrailerError::Missing {
        size,
        needed,
        length,
    };
    let trailer = bytes.get(round_msg(size) as usize..).ok_or(missing)?;
    let start: mach_msg_trailer_t = pod::read(trailer).ok_or(missing)?;
    match (start.msgh_trailer_type, start.msgh_trailer_size) {
        (MACH_MSG_TRAILER_FORMAT_0, found) if (found as usize) < needed => {
            Err(TrailerError::Short { found, needed })
        }
        (MACH_MSG_TRAILER_FORMAT_0, _) => pod::read(trailer).ok_or(missing),
        (found, _) => Err(TrailerError::Format { found }),
    }
}

/// Returns the offset in bytes of the trailer in the message's buffer: `size` rounded up to a multiple of 4 (`round_msg`).
pub const fn round_msg(size: mach_msg_size_t) -> mach_msg_size_t {
    size.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a buffer of 128 bytes with a message of `size` bytes, and a trailer with the size field `trailer`.
    fn message(size: u32, format: u32, trailer: u32) -> [u8; 128] {
        let mut bytes = [0; 128];
        bytes[4..8].copy_from_slice(&size.to_ne_bytes());
        let at = round_msg(size) as usize;
        if let Some(to) = bytes.get_mut(at..at + 60) {
            to[..4].copy_from_slice(&format.to_ne_bytes());
            to[4..8].copy_from_slice(&trailer.to_ne_bytes());
            to[52..].copy_from_slice(&0x1122_3344_5566_7788_u64.to_ne_bytes());
        }
        bytes
    }

    fn context(bytes: &[u8]) -> Result<u64, TrailerError> {
        read_trailer::<mach_msg_context_trailer_t>(bytes).map(|trailer| trailer.msgh_context)
    }

    #[test]
    fn the_trailer_starts_at_the_next_multiple_of_4() {
        for size in 36..=40 {
            assert_eq!(context(&message(size, 0, 60)), Ok(0x1122_3344_5566_7788));
        }
    }

    #[test]
    fn a_trailer_without_the_element_is_an_error() {
        let found = 52;
        assert_eq!(
            context(&message(36, 0, found)),
            Err(TrailerError::Short { found, needed: 60 })
        );
        assert_eq!(
            context(&message(36, 7, 60)),
            Err(TrailerError::Format { found: 7 })
        );
        let cut = &message(36, 0, 60)[..90];
        assert!(matches!(
            context(cut),
            Err(TrailerError::Missing { length: 90, .. })
        ));
        for size in [124, 128, 200, u32::MAX] {
            assert!(matches!(
                context(&message(size, 0, 60)),
                Err(TrailerError::Missing { .. })
            ));
        }
        assert!(context(&[]).is_err());
    }
}
