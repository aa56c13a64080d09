//! Options of `mach_msg` and the elements of a requested trailer (`mach/message.h`).

use crate::names::{flag_set, raw_constants};
use crate::types::{mach_msg_option_t, mach_msg_size_t, mach_msg_timeout_t};

flag_set! {
    /// The options of `mach_msg`. The bits of a requested trailer (24 to 31) are kept as unknown bits.
    #[doc(alias = "mach_msg_option_t")]
    pub struct MessageOptions(mach_msg_option_t), show c, unknown !0;
    SEND_MSG = MACH_SEND_MSG = 0x1;
    RCV_MSG = MACH_RCV_MSG = 0x2;
    RCV_LARGE = MACH_RCV_LARGE = 0x4;
    RCV_LARGE_IDENTITY = MACH_RCV_LARGE_IDENTITY = 0x8;
    SEND_TIMEOUT = MACH_SEND_TIMEOUT = 0x10;
    SEND_OVERRIDE = MACH_SEND_OVERRIDE = 0x20;
    SEND_INTERRUPT = MACH_SEND_INTERRUPT = 0x40;
    SEND_NOTIFY = MACH_SEND_NOTIFY = 0x80;
    SEND_ALWAYS = MACH_SEND_ALWAYS = 0x0001_0000;
    SEND_FILTER_NONFATAL = MACH_SEND_FILTER_NONFATAL = 0x0001_0000;
    SEND_TRAILER = MACH_SEND_TRAILER = 0x0002_0000;
    SEND_NOIMPORTANCE = MACH_SEND_NOIMPORTANCE = 0x0004_0000;
    SEND_NODENAP = MACH_SEND_NODENAP = 0x0004_0000;
    SEND_IMPORTANCE = MACH_SEND_IMPORTANCE = 0x0008_0000;
    SEND_SYNC_OVERRIDE = MACH_SEND_SYNC_OVERRIDE = 0x0010_0000;
    SEND_PROPAGATE_QOS = MACH_SEND_PROPAGATE_QOS = 0x0020_0000;
    SEND_SYNC_USE_THRPRI = MACH_SEND_SYNC_USE_THRPRI = 0x0020_0000;
    SEND_KERNEL = MACH_SEND_KERNEL = 0x0040_0000;
    SEND_SYNC_BOOTSTRAP_CHECKIN = MACH_SEND_SYNC_BOOTSTRAP_CHECKIN = 0x0080_0000;
    RCV_TIMEOUT = MACH_RCV_TIMEOUT = 0x100;
    RCV_INTERRUPT = MACH_RCV_INTERRUPT = 0x400;
    RCV_VOUCHER = MACH_RCV_VOUCHER = 0x800;
    RCV_GUARDED_DESC = MACH_RCV_GUARDED_DESC = 0x1000;
    RCV_SYNC_WAIT = MACH_RCV_SYNC_WAIT = 0x4000;
    RCV_SYNC_PEEK = MACH_RCV_SYNC_PEEK = 0x8000;
    STRICT_REPLY = MACH_MSG_STRICT_REPLY = 0x200;
}

raw_constants! {
    mach_msg_option_t; TRAILER_OPTIONS;
    MACH_MSG_OPTION_NONE = 0;
    MACH_RCV_NOTIFY = 0;
    MACH_RCV_OVERWRITE = 0;
    MACH_RCV_TRAILER_NULL = 0x0;
    MACH_RCV_TRAILER_SEQNO = 0x1;
    MACH_RCV_TRAILER_SENDER = 0x2;
    MACH_RCV_TRAILER_AUDIT = 0x3;
    MACH_RCV_TRAILER_CTX = 0x4;
    MACH_RCV_TRAILER_AV = 0x7;
    MACH_RCV_TRAILER_LABELS = 0x8;
    MACH_RCV_TRAILER_MASK = 0x0f00_0000;
}

/// No timeout (`MACH_MSG_TIMEOUT_NONE`).
pub const MACH_MSG_TIMEOUT_NONE: mach_msg_timeout_t = 0;

/// Returns the option bits that request a trailer of `format` (`MACH_RCV_TRAILER_TYPE`).
#[allow(non_snake_case)]
pub const fn MACH_RCV_TRAILER_TYPE(format: u32) -> mach_msg_option_t {
    ((format & 0xf) << 28) as mach_msg_option_t
}

/// Returns the option bits that request a trailer's elements up to `elements` (`MACH_RCV_TRAILER_ELEMENTS`).
#[allow(non_snake_case)]
pub const fn MACH_RCV_TRAILER_ELEMENTS(elements: mach_msg_option_t) -> mach_msg_option_t {
    (elements & 0xf) << 24
}

/// Returns the size of the trailer that `options` request, in bytes (`REQUESTED_TRAILER_SIZE`).
#[allow(non_snake_case)]
pub const fn REQUESTED_TRAILER_SIZE(options: mach_msg_option_t) -> mach_msg_size_t {
    match options >> 24 & 0xf {
        MACH_RCV_TRAILER_NULL => 8,
        MACH_RCV_TRAILER_SEQNO => 12,
        MACH_RCV_TRAILER_SENDER => 20,
        MACH_RCV_TRAILER_AUDIT => 52,
        MACH_RCV_TRAILER_CTX => 60,
        _ => 68,
    }
}
