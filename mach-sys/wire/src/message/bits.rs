//! `msgh_bits`, the first word of a message: dispositions of the header's ports, and flags (`mach/message.h`).

use crate::names::{display_by_name, flag_set, open_set, raw_constants};
use crate::types::{mach_msg_bits_t, mach_msg_type_name_t};

open_set! {
    /// The disposition of a right in a message: the operation on the sender's right, or the kind of right that arrives.
    ///
    /// A receiver sees `MOVE_RECEIVE`, `MOVE_SEND` or `MOVE_SEND_ONCE`, which C also names `MACH_MSG_TYPE_PORT_*`.
    pub struct Disposition(mach_msg_type_name_t);
        /// The message carries no right.
        ///
        PORT_NONE = MACH_MSG_TYPE_PORT_NONE = 0;
    /// The message carries a name without a right.
    ///
    PORT_NAME = MACH_MSG_TYPE_PORT_NAME = 15;
    MOVE_RECEIVE = MACH_MSG_TYPE_MOVE_RECEIVE = 16;
    MOVE_SEND = MACH_MSG_TYPE_MOVE_SEND = 17;
    MOVE_SEND_ONCE = MACH_MSG_TYPE_MOVE_SEND_ONCE = 18;
    COPY_SEND = MACH_MSG_TYPE_COPY_SEND = 19;
    MAKE_SEND = MACH_MSG_TYPE_MAKE_SEND = 20;
    MAKE_SEND_ONCE = MACH_MSG_TYPE_MAKE_SEND_ONCE = 21;
    COPY_RECEIVE = MACH_MSG_TYPE_COPY_RECEIVE = 22;
    DISPOSE_RECEIVE = MACH_MSG_TYPE_DISPOSE_RECEIVE = 24;
    DISPOSE_SEND = MACH_MSG_TYPE_DISPOSE_SEND = 25;
    DISPOSE_SEND_ONCE = MACH_MSG_TYPE_DISPOSE_SEND_ONCE = 26;
    PORT_RECEIVE = MACH_MSG_TYPE_PORT_RECEIVE = 16;
    PORT_SEND = MACH_MSG_TYPE_PORT_SEND = 17;
    PORT_SEND_ONCE = MACH_MSG_TYPE_PORT_SEND_ONCE = 18;
    /// MIG's value for a disposition chosen at run time.
    ///
    POLYMORPHIC = MACH_MSG_TYPE_POLYMORPHIC = !0;
}
display_by_name!(Disposition);
/// The last disposition of a sender (`MACH_MSG_TYPE_LAST`).
pub const MACH_MSG_TYPE_LAST: mach_msg_type_name_t = 22;

impl Disposition {
    /// Returns the disposition that the receiver sees if a right is sent with this one; `None` if a right cannot be sent with it.
    pub const fn as_received(self) -> Option<Self> {
        match self {
            Self::MOVE_RECEIVE => Some(Self::MOVE_RECEIVE),
            Self::MOVE_SEND | Self::COPY_SEND | Self::MAKE_SEND => Some(Self::MOVE_SEND),
            Self::MOVE_SEND_ONCE | Self::MAKE_SEND_ONCE => Some(Self::MOVE_SEND_ONCE),
            _ => None,
        }
    }
}

flag_set! {
    /// The flags in a message's first word, without the dispositions.
    pub struct MessageFlags(mach_msg_bits_t), show c, unknown !0;
    /// The body starts with descriptors.
    ///
    COMPLEX = MACH_MSGH_BITS_COMPLEX = 0x8000_0000;
    /// The sender raised the receiver's importance.
    ///
    RAISEIMP = MACH_MSGH_BITS_RAISEIMP = 0x2000_0000;
    DENAP = MACH_MSGH_BITS_DENAP = 0x2000_0000;
    IMPHOLDASRT = MACH_MSGH_BITS_IMPHOLDASRT = 0x1000_0000;
    DENAPHOLDASRT = MACH_MSGH_BITS_DENAPHOLDASRT = 0x1000_0000;
    /// Kernel only: the message may make a circle of queues.
    ///
    CIRCULAR = MACH_MSGH_BITS_CIRCULAR = 0x1000_0000;
}

raw_constants! {
    mach_msg_bits_t; MSGH_BITS;
    MACH_MSGH_BITS_ZERO = 0x0;
    MACH_MSGH_BITS_REMOTE_MASK = 0x1f;
    MACH_MSGH_BITS_LOCAL_MASK = 0x1f00;
    MACH_MSGH_BITS_VOUCHER_MASK = 0x001f_0000;
    MACH_MSGH_BITS_PORTS_MASK = 0x001f_1f1f;
    MACH_MSGH_BITS_USER = 0x801f_1f1f;
    MACH_MSGH_BITS_USED = 0xb01f_1f1f;
}

/// Returns the first word of a message with the dispositions of its remote and local port (`MACH_MSGH_BITS`).
#[allow(non_snake_case)]
pub const fn MACH_MSGH_BITS(
    remote: mach_msg_type_name_t,
    local: mach_msg_type_name_t,
) -> mach_msg_bits_t {
    remote | local << 8
}

/// Returns the first word of a message with all dispositions and other flags (`MACH_MSGH_BITS_SET`).
#[allow(non_snake_case)]
pub const fn MACH_MSGH_BITS_SET(
    remote: mach_msg_type_name_t,
    local: mach_msg_type_name_t,
    voucher: mach_msg_type_name_t,
    other: mach_msg_bits_t,
) -> mach_msg_bits_t {
    remote & MACH_MSGH_BITS_REMOTE_MASK
        | local << 8 & MACH_MSGH_BITS_LOCAL_MASK
        | voucher << 16 & MACH_MSGH_BITS_VOUCHER_MASK
        | other & !MACH_MSGH_BITS_PORTS_MASK
}

/// Returns the disposition of the remote port (`MACH_MSGH_BITS_REMOTE`).
#[allow(non_snake_case)]
pub const fn MACH_MSGH_BITS_REMOTE(bits: mach_msg_bits_t) -> mach_msg_type_name_t {
    bits & MACH_MSGH_BITS_REMOTE_MASK
}

/// Returns the disposition of the local port (`MACH_MSGH_BITS_LOCAL`).
#[allow(non_snake_case)]
pub const fn MACH_MSGH_BITS_LOCAL(bits: mach_msg_bits_t) -> mach_msg_type_name_t {
    (bits & MACH_MSGH_BITS_LOCAL_MASK) >> 8
}

/// Returns the disposition of the voucher port (`MACH_MSGH_BITS_VOUCHER`).
#[allow(non_snake_case)]
pub const fn MACH_MSGH_BITS_VOUCHER(bits: mach_msg_bits_t) -> mach_msg_type_name_t {
    (bits & MACH_MSGH_BITS_VOUCHER_MASK) >> 16
}

/// Returns `true` if the message has descriptors (`MACH_MSGH_BITS_IS_COMPLEX`).
#[allow(non_snake_case)]
pub const fn MACH_MSGH_BITS_IS_COMPLEX(bits: mach_msg_bits_t) -> bool {
    bits & MACH_MSGH_BITS_COMPLEX != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_first_word_are_read_as_written() {
        let bits = MACH_MSGH_BITS_SET(18, 17, 19, MACH_MSGH_BITS_COMPLEX | 0x1f);
        assert_eq!(bits, 0x8013_1112);
        assert_eq!(MACH_MSGH_BITS_REMOTE(bits), 18);
        assert_eq!(MACH_MSGH_BITS_LOCAL(bits), 17);
        assert_eq!(MACH_MSGH_BITS_VOUCHER(bits), 19);
        assert!(MACH_MSGH_BITS_IS_COMPLEX(bits));
        assert_eq!(MACH_MSGH_BITS(19, 21), 0x1513);
    }

    #[test]
    fn a_received_disposition_has_the_name_of_the_move() {
        assert_eq!(Disposition::new(17).to_string(), "MACH_MSG_TYPE_MOVE_SEND");
        assert_eq!(
            "MACH_MSG_TYPE_PORT_SEND".parse(),
            Ok(Disposition::MOVE_SEND)
        );
        assert_eq!(
            Disposition::COPY_SEND.as_received(),
            Some(Disposition::PORT_SEND)
        );
        assert_eq!(Disposition::COPY_RECEIVE.as_received(), None);
        assert_eq!(Disposition::new(23).to_string(), "23");
    }
}
