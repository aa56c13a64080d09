//! Trailers that the kernel appends to a received message (`mach/message.h`).
//!
//! A trailer starts at `msgh_size` rounded up to 4, is not counted in it, and has at least 8 bytes. A longer one is asked
//! for with [`MACH_RCV_TRAILER_ELEMENTS`](super::MACH_RCV_TRAILER_ELEMENTS); each contains the shorter ones.

use crate::pod::plain_struct;
use crate::types::{
    mach_msg_filter_id, mach_msg_size_t, mach_msg_trailer_size_t, mach_msg_trailer_type_t,
    mach_port_context_t, mach_port_name_t, mach_port_seqno_t,
};

/// The only format of trailers (`MACH_MSG_TRAILER_FORMAT_0`).
pub const MACH_MSG_TRAILER_FORMAT_0: mach_msg_trailer_type_t = 0;
/// Size of the trailer that always follows (`MACH_MSG_TRAILER_MINIMUM_SIZE`).
pub const MACH_MSG_TRAILER_MINIMUM_SIZE: mach_msg_size_t = 8;
/// Size of the largest trailer (`MAX_TRAILER_SIZE`).
pub const MAX_TRAILER_SIZE: mach_msg_size_t = 68;
/// Size of the trailer with sequence number and sender (`MACH_MSG_TRAILER_FORMAT_0_SIZE`).
pub const MACH_MSG_TRAILER_FORMAT_0_SIZE: mach_msg_size_t = 20;
/// The filter that lets everything pass (`MACH_MSG_FILTER_POLICY_ALLOW`).
pub const MACH_MSG_FILTER_POLICY_ALLOW: mach_msg_filter_id = 0;

plain_struct! {
    /// The trailer that always follows.
    pub struct mach_msg_trailer_t: 8, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
    }
}

plain_struct! {
    /// With the port's sequence number.
    pub struct mach_msg_seqno_trailer_t: 12, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
        8 msgh_seqno: mach_port_seqno_t,
    }
}

plain_struct! {
    /// The sender's user and group; {0, 1} is the kernel's.
    pub struct security_token_t: 8, align 4 {
        0 val: [u32; 2],
    }
}

plain_struct! {
    /// With the sender's user and group.
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
    /// The sender's identity, opaque; all zero is the kernel's.
    pub struct audit_token_t: 32, align 4 {
        0 val: [u32; 8],
    }
}

plain_struct! {
    /// With the sender's identity.
    pub struct mach_msg_audit_trailer_t: 52, align 4, packed 4 {
        0 msgh_trailer_type: mach_msg_trailer_type_t,
        4 msgh_trailer_size: mach_msg_trailer_size_t,
        8 msgh_seqno: mach_port_seqno_t,
        12 msgh_sender: security_token_t,
        20 msgh_audit: audit_token_t,
    }
}

plain_struct! {
    /// With the context of the port that the message was received from.
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
    /// With filter and labels.
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

/// Where the trailer of a message of `size` bytes starts (`round_msg`).
pub const fn round_msg(size: mach_msg_size_t) -> mach_msg_size_t {
    size.saturating_add(3) & !3
}
