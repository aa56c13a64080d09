//! The ids and messages of `notify.defs`, as MIG declares them and, with a trailer of format 0, as `mach/notify.h` does.
#![allow(non_snake_case)]

use crate::message::{
    mach_msg_body_t, mach_msg_format_0_trailer_t, mach_msg_header_t, mach_msg_port_descriptor_t,
};
use crate::names::raw_constants;
use crate::pod::plain_struct;
use crate::types::{
    alarm_type_t, kern_return_t, mach_msg_id_t, mach_msg_type_number_t, mach_port_mscount_t,
    mach_port_name_t, mach_timespec_t,
};

use super::ndr::NDR_record_t;

raw_constants! {
    mach_msg_id_t; NOTIFY_IDS;
    MACH_NOTIFY_FIRST = 64;
    MACH_NOTIFY_PORT_DELETED = 65;
    MACH_NOTIFY_SEND_POSSIBLE = 66;
    MACH_NOTIFY_PORT_DESTROYED = 69;
    MACH_NOTIFY_NO_SENDERS = 70;
    MACH_NOTIFY_SEND_ONCE = 71;
    MACH_NOTIFY_DEAD_NAME = 72;
    MACH_NOTIFY_LAST = 77;
}

plain_struct! {
    /// Message 65. A name with a requested dead-name notification was deleted.
    pub struct __Request__mach_notify_port_deleted_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 name: mach_port_name_t,
    }
}

plain_struct! {
    /// Message 65 as received, with a trailer. A name with a requested dead-name notification was deleted.
    pub struct mach_port_deleted_notification_t: 56, align 4, packed 4 {
        0 not_header: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 not_port: mach_port_name_t,
        36 trailer: mach_msg_format_0_trailer_t,
    }
}

plain_struct! {
    /// Message 66. The port can receive a message again.
    pub struct __Request__mach_notify_send_possible_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 name: mach_port_name_t,
    }
}

plain_struct! {
    /// Message 66 as received, with a trailer. The port can receive a message again.
    pub struct mach_send_possible_notification_t: 56, align 4, packed 4 {
        0 not_header: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 not_port: mach_port_name_t,
        36 trailer: mach_msg_format_0_trailer_t,
    }
}

plain_struct! {
    /// Message 69. It carries a receive right that would have been destroyed.
    pub struct __Request__mach_notify_port_destroyed_t: 40, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 msgh_body: mach_msg_body_t,
        28 rights: mach_msg_port_descriptor_t,
    }
}

plain_struct! {
    /// Message 69 as received, with a trailer. It carries a receive right that would have been destroyed.
    pub struct mach_port_destroyed_notification_t: 60, align 4, packed 4 {
        0 not_header: mach_msg_header_t,
        24 not_body: mach_msg_body_t,
        28 not_port: mach_msg_port_descriptor_t,
        40 trailer: mach_msg_format_0_trailer_t,
    }
}

plain_struct! {
    /// Message 70. The last send right is gone.
    pub struct __Request__mach_notify_no_senders_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 mscount: mach_port_mscount_t,
    }
}

plain_struct! {
    /// Message 70 as received, with a trailer. The last send right is gone.
    pub struct mach_no_senders_notification_t: 56, align 4, packed 4 {
        0 not_header: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 not_count: mach_msg_type_number_t,
        36 trailer: mach_msg_format_0_trailer_t,
    }
}

plain_struct! {
    /// Message 71. A send-once right was destroyed unused.
    pub struct __Request__mach_notify_send_once_t: 24, align 4, packed 4 {
        0 Head: mach_msg_header_t,
    }
}

plain_struct! {
    /// Message 71 as received, with a trailer. A send-once right was destroyed unused.
    pub struct mach_send_once_notification_t: 44, align 4, packed 4 {
        0 not_header: mach_msg_header_t,
        24 trailer: mach_msg_format_0_trailer_t,
    }
}

plain_struct! {
    /// Message 72. The port of a send right died; the name has one more reference.
    pub struct __Request__mach_notify_dead_name_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 name: mach_port_name_t,
    }
}

plain_struct! {
    /// Message 72 as received, with a trailer. The port of a send right died; the name has one more reference.
    pub struct mach_dead_name_notification_t: 56, align 4, packed 4 {
        0 not_header: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 not_port: mach_port_name_t,
        36 trailer: mach_msg_format_0_trailer_t,
    }
}

plain_struct! {
    /// The message of a timer, whose time has come (`mach/mk_timer.h`). Its identifier is 0.
    pub struct mk_timer_expire_msg_t: 48, align 4, packed 4 {
        0 header: mach_msg_header_t,
        /// Zeroes.
        ///
        24 unused: [u64; 3],
    }
}

/// Message of an alarm that `clock_alarm` set (`mach/clock_reply.defs`).
pub const CLOCK_ALARM_REPLY: mach_msg_id_t = 3_125_107;

plain_struct! {
    /// Message 3125107, [`CLOCK_ALARM_REPLY`]. The time of an alarm has come.
    pub struct __Request__clock_alarm_reply_t: 48, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        /// `KERN_SUCCESS`, or why the alarm was not set.
        ///
        32 alarm_code: kern_return_t,
        /// `TIME_ABSOLUTE` or `TIME_RELATIVE`.
        ///
        36 alarm_type: alarm_type_t,
        /// The time that the clock shows.
        ///
        40 alarm_time: mach_timespec_t,
    }
}
