//! Header and body of a message (`mach/message.h`).

use crate::pod::plain_struct;
use crate::types::{mach_msg_bits_t, mach_msg_id_t, mach_msg_size_t, mach_port_t};

plain_struct! {
    /// The header, with which every message starts.
    ///
    /// In a received message `msgh_remote_port` is the reply right, and `msgh_local_port` the name of the receiver's own receive right,
    /// which has no reference to release.
    pub struct mach_msg_header_t: 24, align 4, packed 4 {
        /// Dispositions and flags.
        ///
        0 msgh_bits: mach_msg_bits_t,
        /// Size of the message in bytes, without its trailer.
        ///
        4 msgh_size: mach_msg_size_t,
        8 msgh_remote_port: mach_port_t,
        12 msgh_local_port: mach_port_t,
        16 msgh_voucher_port: mach_port_t,
        20 msgh_id: mach_msg_id_t,
    }
}

plain_struct! {
    /// The body of a complex message, between its header and its descriptors.
    pub struct mach_msg_body_t: 4, align 4, packed 4 {
        0 msgh_descriptor_count: mach_msg_size_t,
    }
}

plain_struct! {
    /// Header and body of a complex message.
    pub struct mach_msg_base_t: 28, align 4, packed 4 {
        0 header: mach_msg_header_t,
        24 body: mach_msg_body_t,
    }
}

plain_struct! {
    /// The smallest message that can be sent.
    pub struct mach_msg_empty_send_t: 24, align 4, packed 4 {
        0 header: mach_msg_header_t,
    }
}
